//! One HTTP/1 connection: request after request until either side has had enough. `net::conn`
//! calls it.

use std::future::{Future, poll_fn};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use http::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::gateway::{self, Link};
use super::parse::{self, Head};
use super::{Handler, Request, Response};
use crate::grpc::conn::Node;
use crate::grpc::service::Service;
use crate::net::drain::Drain;
use crate::net::time::Time;

/// Time a client has to send a whole request, from the answer before it on.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

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
    let body_max = parse::body_max(node.limits.message_bytes_max);
    loop {
        let timeout = node.time.sleep(REQUEST_TIMEOUT);
        let (response, head_only, keep_alive) =
            match next_request(&mut io, &mut buf, body_max, &drain, timeout).await? {
                Next::End => break,
                Next::Refuse(status) => {
                    let text = status.canonical_reason().unwrap_or("refused");
                    (Response::text(status, format!("{text}\n")), false, false)
                }
                Next::Request(head, body) => {
                    let head_only = head.method == Method::HEAD;
                    let keep_alive = head.keep_alive && !drain.begun();
                    let Head {
                        method,
                        path,
                        query,
                        headers,
                        ..
                    } = *head;
                    let request = Request {
                        method,
                        path,
                        query,
                        headers,
                        body,
                        peer,
                    };
                    if gateway::below(&request.path).is_some() {
                        let mut link = Link {
                            node,
                            io: &mut io,
                            buf: &mut buf,
                            drain: &drain,
                            keep_alive,
                        };
                        // Boxed, so that a connection that only reads pages stays small.
                        match Box::pin(link.answer(request)).await? {
                            true => continue,
                            false => break,
                        }
                    }
                    (handler.handle(request).await, head_only, keep_alive)
                }
            };
        let wire = encode(&response, head_only, keep_alive);
        write(&mut io, &wire, node.time.sleep(WRITE_TIMEOUT)).await?;
        if !keep_alive {
            break;
        }
    }
    poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx)).await
}

enum Next {
    Request(Box<Head>, bytes::Bytes),
    Refuse(StatusCode),
    /// The client closed, or the node drains and no request has begun.
    End,
}

async fn next_request<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    buf: &mut BytesMut,
    body_max: usize,
    drain: &Drain,
    timeout: impl Future<Output = ()>,
) -> io::Result<Next> {
    let mut timeout = pin!(timeout);
    let drain = drain.watch();
    let mut begun: Option<Head> = None;
    loop {
        if begun.is_none() {
            match parse::take_head(buf, body_max) {
                Err(status) => return Ok(Next::Refuse(status)),
                Ok(None) => {}
                Ok(Some(head)) => {
                    if head.expects_continue && buf.len() < head.body_bytes {
                        let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
                        write(io, go_on, timeout.as_mut()).await?;
                    }
                    begun = Some(head);
                }
            }
        }
        if let Some(head) = begun.take() {
            if let Some(body) = parse::take_body(buf, head.body_bytes) {
                return Ok(Next::Request(Box::new(head), body));
            }
            begun = Some(head);
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
