//! One client connection from its first byte: tells HTTP/2 from HTTP/1 and hands over. `accept`
//! starts one [`serve`] per connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::drain::Drain;
use super::time::Time;
use crate::grpc;
use crate::grpc::conn::Node;
use crate::grpc::service::Service;
use crate::http;

/// Enough of HTTP/2's preface to know it: HTTP/1 has no method `PRI`.
const PREFACE: &[u8] = b"PRI ";

/// Connections that have not said yet what they speak. When there are too many the oldest is
/// closed, so that a flood of silent ones does not keep others out.
#[derive(Debug)]
pub struct Silent {
    max: usize,
    waiting: RefCell<VecDeque<Rc<Slot>>>,
}

#[derive(Debug, Default)]
struct Slot {
    evicted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Silent {
    /// At most `max` silent connections.
    pub fn new(max: usize) -> Rc<Self> {
        Rc::new(Self {
            max,
            waiting: RefCell::default(),
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn enter(&self) -> Rc<Slot> {
        let slot = Rc::new(Slot::default());
        let mut waiting = self.waiting.borrow_mut();
        waiting.push_back(slot.clone());
        if waiting.len() > self.max
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.evicted.set(true);
            if let Some(waker) = oldest.waker.take() {
                waker.wake();
            }
        }
        slot
    }

    fn leave(&self, slot: &Rc<Slot>) {
        let mut waiting = self.waiting.borrow_mut();
        if let Some(at) = waiting.iter().position(|s| Rc::ptr_eq(s, slot)) {
            waiting.remove(at);
        }
    }
}

/// Runs a connection to its end.
///
/// # Errors
/// What the socket reports, or how the peer broke the protocol. TimedOut also for a peer that
/// never said what it speaks. They concern this connection alone.
pub async fn serve<S, T, H, IO>(
    node: Rc<Node<S, T>>,
    handler: Rc<H>,
    silent: Rc<Silent>,
    mut io: IO,
    peer: Option<SocketAddr>,
    drain: Drain,
) -> io::Result<()>
where
    S: Service,
    T: Time,
    H: http::Handler,
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let slot = silent.enter();
    let timeout = node.time.sleep(node.limits.handshake_timeout);
    let sniffed = sniff(&mut io, &slot, &drain, timeout).await;
    silent.leave(&slot);
    let (head, len) = sniffed?;
    let head = &head[..len];
    let io = Prefixed {
        head: head.to_vec(),
        taken: 0,
        io,
    };
    if head == PREFACE {
        grpc::conn::serve(node, io, peer, drain).await
    } else if head.is_empty() {
        Ok(())
    } else {
        http::serve::serve(&node, &*handler, io, peer, drain).await
    }
}

/// Reads until it is clear whether the preface stands there. Fewer bytes than the preface come
/// back when they already differ, none when the peer closed or the node drains.
async fn sniff<IO: AsyncRead + Unpin>(
    io: &mut IO,
    slot: &Slot,
    drain: &Drain,
    timeout: impl Future<Output = ()>,
) -> io::Result<([u8; PREFACE.len()], usize)> {
    let mut head = [0; PREFACE.len()];
    let mut have = 0;
    let mut timeout = pin!(timeout);
    let drain = drain.watch();
    poll_fn(|cx| {
        loop {
            let mut buf = ReadBuf::new(&mut head[have..]);
            match Pin::new(&mut *io).poll_read(cx, &mut buf) {
                Poll::Ready(result) => result?,
                Poll::Pending => break,
            }
            let n = buf.filled().len();
            have += n;
            if n == 0 && have > 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            if n == 0 || have == head.len() || head[..have] != PREFACE[..have] {
                return Poll::Ready(Ok((head, have)));
            }
        }
        if drain.poll(cx).is_ready() {
            return Poll::Ready(Ok((head, 0)));
        }
        slot.waker.replace(Some(cx.waker().clone()));
        if slot.evicted.get() || timeout.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    })
    .await
}

/// A stream whose first bytes were already read.
#[derive(Debug)]
struct Prefixed<IO> {
    head: Vec<u8>,
    taken: usize,
    io: IO,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Prefixed<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.taken == self.head.len() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let n = buf.remaining().min(self.head.len() - self.taken);
        buf.put_slice(&self.head[self.taken..self.taken + n]);
        self.taken += n;
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Prefixed<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
