//! The JSON gateway: etcd's RPCs as HTTP/1 requests with JSON, by the rules of grpc-gateway, and
//! over websockets by those of etcd's proxy for them. `serve` gives it every request below `/v3/`;
//! each becomes a gRPC call of this node ([`call`]).

mod call;
mod input;
mod json;
mod routes;
mod session;
mod status;
mod websocket;

use std::future::{Future, poll_fn};
use std::io::{self, Write as _};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use http::header::UPGRADE;
use http::{HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::Body;
use super::serve::{REQUEST_TIMEOUT, WRITE_TIMEOUT, encode, poll_fill, write};
use super::{Request, Response, parse};
use crate::grpc::conn::Node;
use crate::grpc::service::Service;
use crate::grpc::{Kind, Status};
use crate::net::drain::Drain;
use crate::net::time::Time;
use call::Call;
use input::{Input, Next as Said};
use json::Shape;

pub use routes::{below, takes_many};

/// Bytes of further requests taken in while one is answered.
const AHEAD_BYTES_MAX: usize = 64 << 10;

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
    /// What a script of another origin is told.
    pub cors: Vec<(HeaderName, HeaderValue)>,
    /// Whether the client takes answers in chunks.
    pub takes_chunks: bool,
    /// Whether another request may come after this one.
    pub keep_alive: bool,
}

/// What grpc-gateway says of the answers that it translated.
const GRPC: (HeaderName, HeaderValue) = (
    HeaderName::from_static("grpc-metadata-content-type"),
    HeaderValue::from_static("application/grpc"),
);

/// How a body went on.
enum More {
    Came,
    Malformed(String),
    /// The client is gone.
    Gone,
}

/// How a body began.
enum First {
    Said(Said),
    /// The client is gone.
    Gone,
}

/// How a call went on.
enum Next<A> {
    Came(A),
    /// The client is gone.
    Gone,
}

impl<S: Service, T: Time, IO: AsyncRead + AsyncWrite + Unpin> Link<'_, S, T, IO> {
    /// Answers a request below `/v3/` whose body goes on in `body`; whether the connection lives
    /// on.
    ///
    /// # Errors
    /// What the socket reports; TimedOut for a client that does not take the answer.
    pub async fn answer(&mut self, mut request: Request, body: Body) -> io::Result<bool> {
        // What is left of a body that is not read to its end cannot be told from a request.
        self.keep_alive &= body.is_ended();
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
        let value_max = parse::body_max(self.node.limits.message_bytes_max);
        let mut input = Input::new(std::mem::take(&mut request.body), body, value_max);
        let First::Said(first) = self.first(&mut input).await? else {
            return Ok(false);
        };
        let first = match (first, method.kind()) {
            (Said::Malformed(error), _) => Err(error),
            (Said::Value(value), _) => shape.read(&value).map(Some),
            (_, Kind::Bidi) => Ok(None),
            // Nothing said is a request with nothing in it.
            _ => Ok(Some(Vec::new())),
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
            Kind::Bidi => self.stream(call, &shape, Some(input)).await,
        }
    }

    /// The first message of the body, which may still be coming.
    async fn first(&mut self, input: &mut Input) -> io::Result<First> {
        let mut timeout = pin!(self.node.time.sleep(REQUEST_TIMEOUT));
        poll_fn(|cx| {
            loop {
                let next = input.next();
                if !matches!(next, Said::NotYet) {
                    return Poll::Ready(Ok(First::Said(next)));
                }
                match self.poll_more(input, cx) {
                    Poll::Ready(More::Came) => {}
                    Poll::Ready(More::Gone) => return Poll::Ready(Ok(First::Gone)),
                    Poll::Ready(More::Malformed(error)) => {
                        return Poll::Ready(Ok(First::Said(Said::Malformed(error))));
                    }
                    Poll::Pending => {
                        let late = timeout.as_mut().poll(cx);
                        return late.map(|()| Err(io::ErrorKind::TimedOut.into()));
                    }
                }
            }
        })
        .await
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
            Ok(body) => {
                let mut response = Response::json(StatusCode::OK, body);
                response.headers.extend([GRPC]);
                self.respond(response).await
            }
            Err(status) => self.fail(&status).await,
        }
    }

    /// Says what `input` holds, one message after the other, and gives each answer as a line.
    async fn stream(
        &mut self,
        mut call: Call,
        shape: &Shape,
        mut input: Option<Input>,
    ) -> io::Result<bool> {
        let mut has_begun = false;
        // Without chunks the end of the connection is the end of the answer.
        self.keep_alive &= self.takes_chunks;
        loop {
            let next = poll_fn(|cx| {
                loop {
                    let waits = feed(&mut call, shape, &mut input);
                    if let Poll::Ready(next) = call.poll_next(cx) {
                        return Poll::Ready(Next::Came(next));
                    }
                    let more = match &mut input {
                        Some(open) if waits => self.poll_more(open, cx),
                        Some(_) if call.is_ready() => continue,
                        _ => return self.poll_gone(cx).map(|()| Next::Gone),
                    };
                    match more {
                        Poll::Ready(More::Came) => {}
                        Poll::Ready(More::Gone) => return Poll::Ready(Next::Gone),
                        Poll::Ready(More::Malformed(_)) => {
                            input = None;
                            call.finish();
                        }
                        Poll::Pending => return Poll::Pending,
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
            for (name, value) in [GRPC].iter().chain(&self.cors) {
                let _ = write!(wire, "{name}: ");
                wire.extend_from_slice(value.as_bytes());
                wire.extend_from_slice(b"\r\n");
            }
            if !self.keep_alive {
                let _ = write!(wire, "connection: close\r\n");
            }
            let chunked = "transfer-encoding: chunked\r\n";
            let _ = write!(wire, "{}\r\n", if self.takes_chunks { chunked } else { "" });
        }
        if !line.is_empty() {
            line.push(b'\n');
        }
        if !self.takes_chunks {
            wire.extend_from_slice(&line);
            return self.send(&wire).await;
        }
        if !line.is_empty() {
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
        response.headers.extend(self.cors.iter().cloned());
        self.send(&encode(&response, false, self.keep_alive))
            .await?;
        Ok(self.keep_alive)
    }

    async fn send(&mut self, wire: &[u8]) -> io::Result<()> {
        write(self.io, wire, self.node.time.sleep(WRITE_TIMEOUT)).await
    }

    /// Takes in more of a body that is on its way.
    fn poll_more(&mut self, input: &mut Input, cx: &mut Context<'_>) -> Poll<More> {
        loop {
            match input.take(self.buf) {
                Err(error) => return Poll::Ready(More::Malformed(error)),
                Ok(true) => return Poll::Ready(More::Came),
                Ok(false) => {}
            }
            match poll_fill(self.io, self.buf, cx) {
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(_) => return Poll::Ready(More::Gone),
                Poll::Pending => return Poll::Pending,
            }
        }
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

/// Says the next of `input`, if the call takes one; whether that has yet to come. What is no
/// message ends the input, as in etcd.
fn feed(call: &mut Call, shape: &Shape, input: &mut Option<Input>) -> bool {
    let Some(open) = input else { return false };
    if !call.is_ready() {
        return false;
    }
    let said = match open.next() {
        Said::NotYet => return true,
        Said::Value(value) => shape
            .read(&value)
            .is_ok_and(|message| call.say(&message).is_ok()),
        Said::Malformed(_) | Said::End => false,
    };
    if !said {
        *input = None;
        call.finish();
    }
    false
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let value = headers.get(UPGRADE).map(http::HeaderValue::as_bytes);
    value.is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests;
