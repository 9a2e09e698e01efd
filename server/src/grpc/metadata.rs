//! What a request's headers say beside its path: token, leader requirement, client version,
//! time limit. `call` parses it once per call; the API services read it.

use std::net::SocketAddr;

use http2::Field;

use super::status::{Code, Status};

/// Headers of a call that mean something here.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    token: Option<Box<[u8]>>,
    authorization: Option<Box<[u8]>>,
    /// `hasleader: true`: refuse, and end streams, while there is no leader.
    pub require_leader: bool,
    /// `client-api-version`.
    pub client_api_version: Option<Box<str>>,
    /// When the caller stops waiting, in the node's monotonic nanoseconds.
    pub deadline_ns: Option<u64>,
    /// Who calls.
    pub peer: Option<SocketAddr>,
}

impl Metadata {
    /// The auth token: `token`, or else `authorization` without a leading `Bearer `.
    pub fn token(&self) -> Option<&str> {
        if let Some(token) = &self.token {
            return text(token);
        }
        let value = text(self.authorization.as_ref()?)?;
        Some(value.strip_prefix("Bearer ").unwrap_or(value))
    }

    /// Reads the headers; `now_ns` turns the time limit into a deadline.
    ///
    /// # Errors
    /// As grpc-go and etcd refuse them: a content type that is not gRPC's, an encoding that is not
    /// installed, a malformed time limit, a client version that is not UTF-8.
    pub fn parse<'a>(
        fields: impl Iterator<Item = Field<'a>>,
        peer: Option<SocketAddr>,
        now_ns: u64,
    ) -> Result<Self, Refusal> {
        let mut meta = Self {
            peer,
            ..Self::default()
        };
        let mut content_type = false;
        for Field { name, value } in fields {
            match name {
                b"content-type" => content_type = check_content_type(value)?,
                b"grpc-timeout" => {
                    let limit = parse_timeout(value).ok_or_else(|| {
                        let text = "malformed grpc-timeout: ";
                        let text = format!("{text}{}", String::from_utf8_lossy(value));
                        Refusal::new(400, Code::Internal, text)
                    })?;
                    meta.deadline_ns = Some(now_ns.saturating_add(limit));
                }
                b"grpc-encoding" if value != b"identity" => {
                    let encoding = String::from_utf8_lossy(value);
                    let text = "grpc: Decompressor is not installed for grpc-encoding";
                    let text = format!("{text} {encoding:?}");
                    return Err(Refusal::new(200, Code::Unimplemented, text));
                }
                b"token" => meta.token = Some(value.into()),
                b"authorization" => meta.authorization = Some(value.into()),
                b"hasleader" => meta.require_leader = value == b"true",
                b"client-api-version" => {
                    let Ok(version) = std::str::from_utf8(value) else {
                        let text = "etcdserver: invalid client api version";
                        return Err(Refusal::new(200, Code::InvalidArgument, text));
                    };
                    meta.client_api_version = Some(version.into());
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

/// A header's value as text, if all of it can be printed.
fn text(value: &[u8]) -> Option<&str> {
    let printable = |b: &u8| matches!(b, b'\t' | 0x20..=0x7e);
    let value = value.iter().all(printable).then_some(value)?;
    std::str::from_utf8(value).ok()
}

fn bad_content_type(value: &[u8]) -> Refusal {
    let value = String::from_utf8_lossy(value);
    let text = format!("invalid gRPC request content-type {value:?}");
    Refusal::new(415, Code::InvalidArgument, text)
}

/// `application/grpc`, alone or followed by `+codec` or `;parameters`.
fn check_content_type(bytes: &[u8]) -> Result<bool, Refusal> {
    const BASE: &[u8] = b"application/grpc";
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
