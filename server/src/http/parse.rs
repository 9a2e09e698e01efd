//! HTTP/1 requests out of bytes, with bounds. `serve` calls it.

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::body::Framing;

/// Most bytes of request line and headers.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// Most headers.
const HEADERS_MAX: usize = 64;

/// Largest body taken where a message may have `message_max` bytes: in JSON, bytes grow by a third,
/// and there are names around them.
pub fn body_max(message_max: usize) -> usize {
    message_max.saturating_mul(2)
}

/// A request's head.
#[derive(Debug)]
pub struct Head {
    /// Method.
    pub method: Method,
    /// Request target up to `?`.
    pub path: String,
    /// Request target after `?`.
    pub query: String,
    /// Headers.
    pub headers: HeaderMap,
    /// How the body is sent that follows.
    pub framing: Framing,
    /// Whether the client speaks HTTP/1.1, and so takes answers in chunks.
    pub takes_chunks: bool,
    /// Whether the connection lives on.
    pub keep_alive: bool,
    /// Whether the client waits to be told to send its body.
    pub expects_continue: bool,
}

/// Takes a head off the front of `buf`; `None` when more bytes are needed. A body may have
/// `body_max` bytes.
///
/// # Errors
/// The status to refuse with; the connection is of no use afterwards.
pub fn take_head(buf: &mut BytesMut, body_max: usize) -> Result<Option<Head>, StatusCode> {
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut slots);
    let len = match parsed.parse(buf) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_BYTES_MAX => len,
        Ok(httparse::Status::Partial) if buf.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        Err(httparse::Error::Version) => return Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED),
        Err(_) => return Err(StatusCode::BAD_REQUEST),
    };
    let head = convert(&parsed, body_max)?;
    let _ = buf.split_to(len);
    Ok(Some(head))
}

fn convert(parsed: &httparse::Request<'_, '_>, body_max: usize) -> Result<Head, StatusCode> {
    let bad = StatusCode::BAD_REQUEST;
    let method = parsed.method.ok_or(bad)?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| bad)?;
    let target = origin_form(parsed.path.ok_or(bad)?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| bad)?;
        let value = HeaderValue::from_bytes(header.value).map_err(|_| bad)?;
        headers.append(name, value);
    }
    Ok(Head {
        framing: framing(&headers, body_max)?,
        takes_chunks: parsed.version == Some(1),
        keep_alive: keep_alive(&headers, parsed.version == Some(1)),
        expects_continue: has_token(&headers, &EXPECT, "100-continue"),
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
    })
}

/// The path of a target in absolute form, as proxies send it.
fn origin_form(target: &str) -> &str {
    let Some(rest) = target.strip_prefix("http://") else {
        return target;
    };
    rest.find('/').map_or("/", |at| &rest[at..])
}

/// Two lengths that differ, or a length beside a transfer encoding, are how requests are
/// smuggled: refused. Chunks are the only encoding there is.
fn framing(headers: &HeaderMap, body_max: usize) -> Result<Framing, StatusCode> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let digits = value.to_str().unwrap_or("");
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let n: usize = if plain {
            digits.parse().unwrap_or(usize::MAX)
        } else {
            return Err(StatusCode::BAD_REQUEST);
        };
        if length.replace(n).is_some_and(|before| before != n) {
            return Err(StatusCode::BAD_REQUEST);
        }
    }
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next() {
        let is_chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
        return match (is_chunked && encodings.next().is_none(), length) {
            (false, _) => Err(StatusCode::NOT_IMPLEMENTED),
            (true, Some(_)) => Err(StatusCode::BAD_REQUEST),
            (true, None) => Ok(Framing::Chunked),
        };
    }
    match length.unwrap_or(0) {
        n if n > body_max => Err(StatusCode::PAYLOAD_TOO_LARGE),
        n => Ok(Framing::Length(n)),
    }
}

fn keep_alive(headers: &HeaderMap, http_1_1: bool) -> bool {
    if http_1_1 {
        !has_token(headers, &CONNECTION, "close")
    } else {
        has_token(headers, &CONNECTION, "keep-alive")
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        let value = value.to_str().unwrap_or("");
        value
            .split(',')
            .any(|part| part.trim().eq_ignore_ascii_case(token))
    })
}

#[cfg(test)]
mod tests;
