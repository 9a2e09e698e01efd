//! What a request's headers say beside its path: token, leader requirement, client version,
//! time limit. `call` parses it once per call; the API services read it.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue};

use super::status::{Code, Status};

/// Headers of a call that mean something here.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    token: Option<HeaderValue>,
    authorization: Option<HeaderValue>,
    /// `hasleader: true`: refuse, and end streams, while there is no leader.
    pub require_leader: bool,
    /// `client-api-version`.
    pub client_api_version: Option<HeaderValue>,
    /// When the caller stops waiting, in the node's monotonic nanoseconds.
    pub deadline_ns: Option<u64>,
    /// Who calls.
    pub peer: Option<SocketAddr>,
}

impl Metadata {
    /// The auth token: `token`, or else `authorization` without a leading `Bearer `.
    pub fn token(&self) -> Option<&str> {
        if let Some(token) = &self.token {
            return token.to_str().ok();
        }
        let value = self.authorization.as_ref()?.to_str().ok()?;
        Some(value.strip_prefix("Bearer ").unwrap_or(value))
    }

    /// Reads the headers; `now_ns` turns the time limit into a deadline.
    ///
    /// # Errors
    /// As grpc-go and etcd refuse them: a content type that is not gRPC's, an encoding that is not
    /// installed, a malformed time limit, a client version that is not UTF-8.
    pub fn parse(
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
        now_ns: u64,
    ) -> Result<Self, Refusal> {
        let mut meta = Self {
            peer,
            ..Self::default()
        };
        let mut content_type = false;
        for (name, value) in headers {
            match name.as_str() {
                "content-type" => content_type = check_content_type(value)?,
                "grpc-timeout" => {
                    let limit = parse_timeout(value.as_bytes()).ok_or_else(|| {
                        let text = "malformed grpc-timeout: ";
                        let text = format!("{text}{}", String::from_utf8_lossy(value.as_bytes()));
                        Refusal::new(400, Code::Internal, text)
                    })?;
                    meta.deadline_ns = Some(now_ns.saturating_add(limit));
                }
                "grpc-encoding" if value != "identity" => {
                    let encoding = String::from_utf8_lossy(value.as_bytes());
                    let text = "grpc: Decompressor is not installed for grpc-encoding";
                    let text = format!("{text} {encoding:?}");
                    return Err(Refusal::new(200, Code::Unimplemented, text));
                }
                "token" => meta.token = Some(value.clone()),
                "authorization" => meta.authorization = Some(value.clone()),
                "hasleader" => meta.require_leader = value == "true",
                "client-api-version" => {
                    if std::str::from_utf8(value.as_bytes()).is_err() {
                        let text = "etcdserver: invalid client api version";
                        return Err(Refusal::new(200, Code::InvalidArgument, text));
                    }
                    meta.client_api_version = Some(value.clone());
                }
                _ => {}
            }
        }
        if content_type {
            Ok(meta)
        } else {
            Err(bad_content_type(b""))
        }
    }
}

/// A call refused by its headers: the HTTP status beside the gRPC one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status code.
    pub http: u16,
    /// gRPC status.
    pub status: Status,
}

impl Refusal {
    /// A refusal.
    pub fn new(http: u16, code: Code, text: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self {
            http,
            status: Status::new(code, text),
        }
    }
}

fn bad_content_type(value: &[u8]) -> Refusal {
    let value = String::from_utf8_lossy(value);
    let text = format!("invalid gRPC request content-type {value:?}");
    Refusal::new(415, Code::InvalidArgument, text)
}

/// `application/grpc`, alone or followed by `+codec` or `;parameters`.
fn check_content_type(value: &HeaderValue) -> Result<bool, Refusal> {
    const BASE: &[u8] = b"application/grpc";
    let bytes = value.as_bytes();
    let base = bytes
        .get(..BASE.len())
        .is_some_and(|b| b.eq_ignore_ascii_case(BASE));
    match bytes.get(BASE.len()) {
        None | Some(b'+' | b';') if base => Ok(true),
        _ => Err(bad_content_type(bytes)),
    }
}

/// At most eight digits and a unit, as nanoseconds.
fn parse_timeout(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let mut amount = 0u64;
    for digit in digits {
        amount = amount * 10 + u64::from(digit.checked_sub(b'0').filter(|d| *d < 10)?);
    }
    let ns = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1,
        _ => return None,
    };
    Some(amount.saturating_mul(ns))
}

#[cfg(test)]
mod tests;
