//! A unary server on one connection, as lean as our HTTP/2 allows, in turns: take every request
//! that is readable, handle all, and send all answers at once.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use engine::env::channels::OneshotReceiver;
use futures::stream::{FuturesUnordered, Stream};
use http2::{Code, Config, Connection, Fields, Handler, Role};
use server::net::outgoing;
use server::runtime::tcp::{CoalescedStream, READ_BYTES};
use tokio::io::{AsyncRead, ReadBuf};

/// What a handler says to one message.
pub enum Answer {
    /// Answered at once.
    Now(Bytes),
    /// Answered later.
    Later(OneshotReceiver<Bytes>),
}

type Waiting = Pin<Box<dyn Future<Output = (u32, Bytes)>>>;

/// Takes whole requests.
#[derive(Default)]
struct Requests(Vec<(u32, Bytes)>);

impl Handler for Requests {
    type Stream = Vec<u8>;

    fn opened(&mut self, _: u32, _: Fields<'_>, _: bool) -> Result<Vec<u8>, Code> {
        Ok(Vec::new())
    }

    fn headers(&mut self, _: u32, _: &mut Vec<u8>, _: Fields<'_>, _: bool) -> Result<(), Code> {
        Ok(())
    }

    fn data(&mut self, id: u32, body: &mut Vec<u8>, data: &[u8], end: bool) -> Result<usize, Code> {
        body.extend_from_slice(data);
        if end {
            self.0.push((id, std::mem::take(body).into()));
        }
        Ok(data.len())
    }

    fn reset(&mut self, _: u32, _: Vec<u8>, _: Code, _: usize) {}

    fn moved(&mut self, _: u32, _: &mut Vec<u8>, _: usize) {}
}

struct Server<H> {
    io: CoalescedStream,
    h2: Connection<Vec<u8>>,
    requests: Requests,
    waiting: FuturesUnordered<Waiting>,
    scratch: Vec<u8>,
    handle: H,
}

/// Serves the connection to its end.
///
/// # Errors
/// When the peer breaks the protocol or the connection.
pub async fn serve(io: CoalescedStream, handle: impl Fn(Bytes) -> Answer) -> io::Result<()> {
    let mut server = Server {
        io,
        h2: Connection::new(Role::Server, Config::default()),
        requests: Requests::default(),
        waiting: FuturesUnordered::new(),
        scratch: vec![0; READ_BYTES],
        handle,
    };
    poll_fn(|cx| server.turn(cx)).await
}

impl<H: Fn(Bytes) -> Answer> Server<H> {
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut buf = ReadBuf::new(&mut self.scratch);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(end) => return Poll::Ready(end),
            }
            let received = self.h2.receive(buf.filled(), &mut self.requests);
            received.map_err(io::Error::other)?;
        }
        for (id, message) in std::mem::take(&mut self.requests.0) {
            match (self.handle)(message) {
                Answer::Now(message) => self.answer(id, message),
                Answer::Later(later) => {
                    self.waiting.push(Box::pin(
                        async move { (id, later.await.unwrap_or_default()) },
                    ))
                }
            }
        }
        while let Poll::Ready(Some((id, message))) = Pin::new(&mut self.waiting).poll_next(cx) {
            self.answer(id, message);
        }
        match outgoing::poll_send(&mut self.h2, &mut self.io, &mut self.requests, cx) {
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            _ => Poll::Pending,
        }
    }

    fn answer(&mut self, id: u32, message: Bytes) {
        // What fails here was cancelled by the client.
        let _ = self.h2.headers_out(id, false, |block| {
            block.common(b":status", b"200");
            block.common(b"content-type", b"application/grpc");
        });
        let _ = self.h2.data_out(id, message.into(), false);
        let _ = self.h2.trailers_out(id, &[(b"grpc-status", b"0", true)]);
    }
}
