//! HTTP/1.1 beside gRPC on the same port: health, version, metrics, and the JSON gateway.
//! `net::conn` hands connections to [`serve`]; what is answered comes from a [`Handler`] given by
//! `boot`, and below `/v3/` from the gateway.

pub mod access;
pub mod body;
mod gateway;
pub mod pages;
pub mod parse;
mod publish;

pub use publish::labels;
pub mod serve;

use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use access::Access;

/// A complete request.
#[derive(Clone, Debug)]
pub struct Request {
    /// GET, POST and so on.
    pub method: Method,
    /// Path without the query, as sent.
    pub path: String,
    /// What follows `?`, or nothing.
    pub query: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, at most [`parse::body_max`]; of a call that takes many messages, what was there.
    pub body: Bytes,
    /// Who asks.
    pub peer: Option<SocketAddr>,
}

/// An answer; length and connection headers are added when it is written.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code.
    pub status: StatusCode,
    /// Further headers, `content-type` among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// An answer with a content type.
    pub fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        let content_type = HeaderValue::from_static(content_type);
        headers.insert(http::header::CONTENT_TYPE, content_type);
        Self {
            status,
            headers,
            body: body.into(),
        }
    }

    /// Plain text.
    pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// JSON, already encoded.
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, "application/json", body)
    }

    /// What Go's server answers for a path nobody serves.
    pub fn not_found() -> Self {
        Self::text(StatusCode::NOT_FOUND, "404 page not found\n").nosniff()
    }

    /// Forbids browsers to guess what the body is, as Go's server does with errors.
    #[must_use]
    pub fn nosniff(mut self) -> Self {
        let value = HeaderValue::from_static("nosniff");
        self.headers
            .insert(http::header::X_CONTENT_TYPE_OPTIONS, value);
        self
    }
}

/// Answers HTTP/1 requests. One per core.
pub trait Handler: 'static {
    /// Who may ask here.
    fn access(&self) -> &Access;

    /// Answers one request; [`Response::not_found`] for what it does not know.
    fn handle(&self, request: Request) -> impl Future<Output = Response>;
}
