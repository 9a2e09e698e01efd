//! One HTTP/1 connection: request after request until either side has had enough. `net::conn`
//! calls it.

use std::future::{Future, poll_fn};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::access::Access;
use super::body::{Body, Framing};
use super::gateway::{self, Link};
use super::parse::{self, Head};
use super::{Handler, Request, Response};
use crate::grpc::conn::Node;
use crate::grpc::service::Service;
use crate::net::drain::Drain;
use crate::net::time::Time;

/// Time a client has to send a whole request, from the answer before it on.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Time a client has to take an answer.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Most bytes taken by one read.
const READ_BYTES: usize = 8 << 10;

/// Serves one connection to its end.
///
/// # Errors
/// What the socket reports; TimedOut for a client that does not send or does not take.
pub async fn serve<S: Service, H: Handler, T: Time, IO: AsyncRead + AsyncWrite + Unpin>(
    node: &Rc<Node<S, T>>,
    handler: &H,
    mut io: IO,
    peer: Option<SocketAddr>,
    drain: Drain,
) -> io::Result<()> {
    let mut buf = BytesMut::new();
    let wait = Wait {
        access: handler.access(),
        body_max: parse::body_max(node.limits.message_bytes_max),
        drain: &drain,
    };
    loop {
        let timeout = node.time.sleep(REQUEST_TIMEOUT);
        let (head, content, body) = match next_request(&mut io, &mut buf, &wait, timeout).await? {
            Next::End => break,
            Next::Refuse(status) => {
                let text = status.canonical_reason().unwrap_or("refused");
                let refusal = Response::text(status, format!("{text}\n"));
                let wire = encode(&refusal, false, false);
                write(&mut io, &wire, node.time.sleep(WRITE_TIMEOUT)).await?;
                break;
            }
            Next::Request(head, content, body) => (head, content, body),
        };
        let head_only = head.method == Method::HEAD;
        let keep_alive = head.keep_alive && !drain.begun();
        let takes_chunks = head.takes_chunks;
        let request = request(*head, content, peer);
        let refusal = wait.access.refusal(&request.headers);
        // As in etcd, who is refused for the name is told nothing of origins.
        let cors = match refusal {
            Some(_) => Vec::new(),
            None => wait.access.cors(&request.headers),
        };
        let own = refusal.or_else(|| options(wait.access, &request));
        let is_call = wait.access.has_gateway && gateway::below(&request.path).is_some();
        if own.is_none() && is_call {
            let mut link = Link {
                node,
                io: &mut io,
                buf: &mut buf,
                drain: &drain,
                cors,
                takes_chunks,
                keep_alive,
            };
            // Boxed, so that a connection that only reads pages stays small.
            match Box::pin(link.answer(request, body)).await? {
                true => continue,
                false => break,
            }
        }
        let mut response = match own {
            Some(own) => own,
            None => handler.handle(request).await,
        };
        response.headers.extend(cors);
        let wire = encode(&response, head_only, keep_alive);
        write(&mut io, &wire, node.time.sleep(WRITE_TIMEOUT)).await?;
        if !keep_alive {
            break;
        }
    }
    poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx)).await
}

fn request(head: Head, body: Bytes, peer: Option<SocketAddr>) -> Request {
    Request {
        method: head.method,
        path: head.path,
        query: head.query,
        headers: head.headers,
        body,
        peer,
    }
}

/// The answer to OPTIONS, which is the same for every path.
fn options(access: &Access, request: &Request) -> Option<Response> {
    let asks = access.answers_options && request.method == Method::OPTIONS;
    asks.then(|| {
        let mut response = Response::text(StatusCode::OK, "");
        response.headers.clear();
        response
    })
}

/// What bounds the wait for a request.
struct Wait<'a> {
    access: &'a Access,
    body_max: usize,
    drain: &'a Drain,
}

impl Wait<'_> {
    /// Whether a request goes to a call that takes its messages as they come.
    fn may_begin_early(&self, head: &Head) -> bool {
        self.access.has_gateway && head.method == Method::POST && gateway::takes_many(&head.path)
    }
}

enum Next {
    /// With what was there of its body, and the rest of that.
    Request(Box<Head>, Bytes, Body),
    Refuse(StatusCode),
    /// The client closed, or the node drains and no request has begun.
    End,
}

async fn next_request<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    buf: &mut BytesMut,
    wait: &Wait<'_>,
    timeout: impl Future<Output = ()>,
) -> io::Result<Next> {
    let mut timeout = pin!(timeout);
    let drain = wait.drain.watch();
    let mut begun: Option<(Head, Body)> = None;
    let mut content = BytesMut::new();
    loop {
        if begun.is_none() {
            match parse::take_head(buf, wait.body_max) {
                Err(status) => return Ok(Next::Refuse(status)),
                Ok(None) => {}
                Ok(Some(head)) => {
                    let expects = match head.framing {
                        Framing::Length(len) => buf.len() < len,
                        Framing::Chunked => buf.is_empty(),
                    };
                    if head.expects_continue && expects {
                        let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
                        write(io, go_on, timeout.as_mut()).await?;
                    }
                    let body = Body::new(head.framing);
                    begun = Some((head, body));
                }
            }
        }
        if let Some((head, mut body)) = begun.take() {
            let room = wait.body_max - content.len();
            if let Err(status) = body.take(buf, &mut content, room) {
                return Ok(Next::Refuse(status));
            }
            if body.is_ended() || wait.may_begin_early(&head) {
                return Ok(Next::Request(Box::new(head), content.freeze(), body));
            }
            if content.len() == wait.body_max && body.wants_room() {
                return Ok(Next::Refuse(StatusCode::PAYLOAD_TOO_LARGE));
            }
            begun = Some((head, body));
        }
        let idle = begun.is_none() && buf.is_empty();
        let more = poll_fn(|cx| {
            if let Poll::Ready(result) = poll_fill(io, buf, cx) {
                return Poll::Ready(result);
            }
            if idle && drain.poll(cx).is_ready() {
                return Poll::Ready(Ok(0));
            }
            timeout
                .as_mut()
                .poll(cx)
                .map(|()| Err(io::ErrorKind::TimedOut.into()))
        });
        if more.await? == 0 {
            return Ok(Next::End);
        }
    }
}

pub(super) fn poll_fill<IO: AsyncRead + Unpin>(
    io: &mut IO,
    buf: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut space = [0; READ_BYTES];
    let mut read = ReadBuf::new(&mut space);
    ready!(Pin::new(io).poll_read(cx, &mut read))?;
    buf.extend_from_slice(read.filled());
    Poll::Ready(Ok(read.filled().len()))
}

pub(super) async fn write<IO: AsyncWrite + Unpin>(
    io: &mut IO,
    mut bytes: &[u8],
    timeout: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut timeout = pin!(timeout);
    poll_fn(|cx| {
        while !bytes.is_empty() {
            match Pin::new(&mut *io).poll_write(cx, bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => bytes = &bytes[n..],
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {
                    let late = timeout.as_mut().poll(cx);
                    return late.map(|()| Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        match Pin::new(&mut *io).poll_flush(cx) {
            Poll::Pending => timeout
                .as_mut()
                .poll(cx)
                .map(|()| Err(io::ErrorKind::TimedOut.into())),
            done => done,
        }
    })
    .await
}

pub(super) fn encode(response: &Response, head_only: bool, keep_alive: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + response.body.len());
    let status = response.status;
    let reason = status.canonical_reason().unwrap_or("");
    // Writing to a Vec cannot fail.
    let _ = write!(out, "HTTP/1.1 {} {reason}\r\n", status.as_u16());
    for (name, value) in &response.headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if !keep_alive {
        out.extend_from_slice(b"connection: close\r\n");
    }
    let _ = write!(out, "content-length: {}\r\n\r\n", response.body.len());
    if !head_only {
        out.extend_from_slice(&response.body);
    }
    out
}

#[cfg(test)]
mod tests;
