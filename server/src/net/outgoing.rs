//! Sends what an HTTP/2 connection has to say. Every connection of ours goes through it: `grpc`'s,
//! the gateway's pipe, and those of the benches.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use http2::{Connection, Handler};
use tokio::io::AsyncWrite;

/// Pieces given to one send.
const SLICES: usize = 64;

/// Sends as much as `io` takes; ready when all of it is sent and flushed.
///
/// # Errors
/// What `io` reports.
pub fn poll_send<H: Handler>(
    h2: &mut Connection<H::Stream>,
    io: &mut (impl AsyncWrite + Unpin),
    handler: &mut H,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        h2.pump(handler);
        if h2.output().is_empty() {
            return Pin::new(io).poll_flush(cx);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let n = h2.output().slices(&mut slices);
        match Pin::new(&mut *io).poll_write_vectored(cx, &slices[..n]) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(n)) => h2.sent(n),
        }
    }
}
