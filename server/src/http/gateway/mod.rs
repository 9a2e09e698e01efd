//! The JSON gateway: etcd's RPCs as HTTP/1 requests with JSON, by the rules of grpc-gateway, and
//! over websockets by those of etcd's proxy for them. `serve` gives it every request below `/v3/`;
//! each becomes a gRPC call of this node ([`call`]).

mod call;
mod json;
mod routes;
mod session;
mod status;
mod websocket;

use std::future::poll_fn;
use std::io::{self, Write as _};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use http::header::UPGRADE;
use http::{HeaderMap, Method as HttpMethod, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::serve::{WRITE_TIMEOUT, encode, poll_fill, write};
use super::{Request, Response};
use crate::grpc::conn::Node;
use crate::grpc::service::Service;
use crate::grpc::{Kind, Status};
use crate::net::drain::Drain;
use crate::net::time::Time;
use call::Call;
use json::{Shape, Values};

pub use routes::below;

/// Bytes of further requests taken in while one is answered.
const AHEAD_BYTES_MAX: usize = 64 << 10;

/// etcd lets scripts of every origin in, unless told otherwise.
const CORS: [(&str, &str); 3] = [
    (
        "access-control-allow-headers",
        "accept, content-type, authorization",
    ),
    (
        "access-control-allow-methods",
        "POST, GET, OPTIONS, PUT, DELETE",
    ),
    ("access-control-allow-origin", "*"),
];

/// The connection to a client, while a request of it is answered.
pub struct Link<'a, S, T, IO> {
    /// The node that answers.
    pub node: &'a Rc<Node<S, T>>,
    /// The client.
    pub io: &'a mut IO,
    /// What was received after the request.
    pub buf: &'a mut BytesMut,
    /// Tells when the node takes leave.
    pub drain: &'a Drain,
    /// Whether another request may come after this one.
    pub keep_alive: bool,
}

/// How a call went on.
enum Next<A> {
    Came(A),
    /// The client is gone.
    Gone,
}

impl<S: Service, T: Time, IO: AsyncRead + AsyncWrite + Unpin> Link<'_, S, T, IO> {
    /// Answers a request below `/v3/`; whether the connection lives on.
    ///
    /// # Errors
    /// What the socket reports; TimedOut for a client that does not take the answer.
    pub async fn answer(&mut self, request: Request) -> io::Result<bool> {
        if request.method == HttpMethod::OPTIONS {
            let mut response = Response::text(StatusCode::OK, "");
            response.headers.clear();
            return self.respond(response).await;
        }
        // The answer to HEAD has no body, and here only refusals are answered to it.
        self.keep_alive &= request.method != HttpMethod::HEAD;
        let method = below(&request.path).and_then(routes::find);
        let shape = method.and_then(Shape::of);
        let (Some(method), Some(shape)) = (method, shape) else {
            return self.refuse(StatusCode::NOT_FOUND).await;
        };
        if asks_for_websocket(&request.headers) {
            session::run(self, request, method, &shape).await?;
            return Ok(false);
        }
        if request.method != HttpMethod::POST {
            return self.refuse(StatusCode::METHOD_NOT_ALLOWED).await;
        }
        let mut values = Values::new(request.body);
        let first = match (values.next(), method.kind()) {
            (Err(error), _) => Err(error),
            (Ok(Some(value)), _) => shape.read(&value).map(Some),
            (Ok(None), Kind::Bidi) => Ok(None),
            // Nothing said is a request with nothing in it.
            (Ok(None), _) => Ok(Some(Vec::new())),
        };
        let first = match first {
            Ok(first) => first,
            Err(error) => {
                let status = status::malformed(method.kind(), error);
                return self.fail(&status).await;
            }
        };
        let call = Call::open(
            self.node,
            request.peer,
            self.drain,
            method,
            &request.headers,
        );
        let said = call.and_then(|mut call| {
            first.map_or(Ok(()), |first| call.say(&first))?;
            Ok(call)
        });
        let mut call = match said {
            Ok(call) => call,
            Err(status) => return self.fail(&status).await,
        };
        match method.kind() {
            Kind::Unary => {
                call.finish();
                self.unary(call, &shape).await
            }
            Kind::ServerStream => {
                call.finish();
                self.stream(call, &shape, None).await
            }
            Kind::Bidi => self.stream(call, &shape, Some(values)).await,
        }
    }

    async fn unary(&mut self, mut call: Call, shape: &Shape) -> io::Result<bool> {
        let mut answer = None;
        let result = poll_fn(|cx| {
            loop {
                match call.poll_next(cx) {
                    Poll::Ready(Ok(Some(message))) => answer = Some(message),
                    Poll::Ready(Ok(None)) => return Poll::Ready(Next::Came(Ok(answer.take()))),
                    Poll::Ready(Err(status)) => return Poll::Ready(Next::Came(Err(status))),
                    Poll::Pending => return self.poll_gone(cx).map(|()| Next::Gone),
                }
            }
        });
        let written = match result.await {
            Next::Gone => return Ok(false),
            Next::Came(Err(status)) => Err(status),
            Next::Came(Ok(message)) => shape
                .write(message.unwrap_or_default())
                .map_err(status::internal),
        };
        match written {
            Ok(body) => self.respond(Response::json(StatusCode::OK, body)).await,
            Err(status) => self.fail(&status).await,
        }
    }

    /// Says what `input` holds, one message after the other, and gives each answer as a line.
    async fn stream(
        &mut self,
        mut call: Call,
        shape: &Shape,
        mut input: Option<Values>,
    ) -> io::Result<bool> {
        let mut has_begun = false;
        loop {
            let next = poll_fn(|cx| {
                loop {
                    feed(&mut call, shape, &mut input);
                    if let Poll::Ready(next) = call.poll_next(cx) {
                        return Poll::Ready(Next::Came(next));
                    }
                    if input.is_none() || !call.is_ready() {
                        return self.poll_gone(cx).map(|()| Next::Gone);
                    }
                }
            });
            let next = match next.await {
                Next::Gone => return Ok(false),
                Next::Came(next) => next,
            };
            let line = next.and_then(|message| status::result(shape, message));
            let (line, is_last) = match line {
                Ok(Some(line)) => (line, false),
                Ok(None) => (Vec::new(), true),
                Err(status) if !has_begun => {
                    let body = status::stream_error(&status);
                    let response = Response::json(status::http(status.code), body);
                    return self.respond(response).await;
                }
                Err(status) => (status::stream_error(&status), true),
            };
            self.line(line, &mut has_begun, is_last).await?;
            if is_last {
                return Ok(self.keep_alive);
            }
        }
    }

    /// Sends a line as a chunk, the head before the first, and the end after the last.
    async fn line(
        &mut self,
        mut line: Vec<u8>,
        has_begun: &mut bool,
        is_last: bool,
    ) -> io::Result<()> {
        let mut wire = Vec::with_capacity(256 + line.len());
        // Writing to a Vec cannot fail.
        if !std::mem::replace(has_begun, true) {
            let _ = write!(
                wire,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
            );
            for (name, value) in CORS {
                let _ = write!(wire, "{name}: {value}\r\n");
            }
            if !self.keep_alive {
                let _ = write!(wire, "connection: close\r\n");
            }
            let _ = write!(wire, "transfer-encoding: chunked\r\n\r\n");
        }
        if !line.is_empty() {
            line.push(b'\n');
            let _ = write!(wire, "{:x}\r\n", line.len());
            wire.extend_from_slice(&line);
            wire.extend_from_slice(b"\r\n");
        }
        if is_last {
            wire.extend_from_slice(b"0\r\n\r\n");
        }
        self.send(&wire).await
    }

    async fn refuse(&mut self, status: StatusCode) -> io::Result<bool> {
        let text = status.canonical_reason().unwrap_or_default();
        self.respond(Response::text(status, format!("{text}\n")))
            .await
    }

    async fn fail(&mut self, status: &Status) -> io::Result<bool> {
        let response = Response::json(status::http(status.code), status::error(status));
        self.respond(response).await
    }

    async fn respond(&mut self, mut response: Response) -> io::Result<bool> {
        for (name, value) in CORS {
            let value = http::HeaderValue::from_static(value);
            response.headers.insert(name, value);
        }
        self.send(&encode(&response, false, self.keep_alive))
            .await?;
        Ok(self.keep_alive)
    }

    async fn send(&mut self, wire: &[u8]) -> io::Result<()> {
        write(self.io, wire, self.node.time.sleep(WRITE_TIMEOUT)).await
    }

    /// Ready when the client has closed its side, which ends its call as in etcd. What it sends
    /// meanwhile is the next request.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.buf.len() < AHEAD_BYTES_MAX {
            match poll_fill(self.io, self.buf, cx) {
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }
}

/// Says the next of `input`, if the call takes one. What is no message ends the input, as in etcd.
fn feed(call: &mut Call, shape: &Shape, input: &mut Option<Values>) {
    let Some(values) = input else { return };
    if !call.is_ready() {
        return;
    }
    let said = match values.next() {
        Ok(Some(value)) => shape
            .read(&value)
            .is_ok_and(|message| call.say(&message).is_ok()),
        _ => false,
    };
    if !said {
        *input = None;
        call.finish();
    }
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let value = headers.get(UPGRADE).map(http::HeaderValue::as_bytes);
    value.is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
}
