//! The byte stream under `h2`, made to work in turns: `conn` begins a turn, lets `h2` read and
//! write as often as it likes, and sends once at the end.
//!
//! `h2` flushes after every larger DATA frame and tries to read whenever it is polled, which is
//! once per accepted call. Here a flush asked for by `h2` does nothing, and once the socket had
//! nothing more to read, further reads of the same turn are refused without asking it again.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes taken from one connection in one turn before others of the core get theirs.
const TURN_READ_BYTES: usize = 512 << 10;

#[derive(Debug)]
struct Inner<IO> {
    io: IO,
    /// Nothing more to read in this turn.
    dry: bool,
    read: usize,
}

/// A shared handle on the stream: `h2` has one, `conn` the other.
#[derive(Debug)]
pub struct TurnIo<IO>(Rc<RefCell<Inner<IO>>>);

impl<IO> Clone for TurnIo<IO> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> TurnIo<IO> {
    /// Wraps a stream.
    pub fn new(io: IO) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            io,
            dry: false,
            read: 0,
        })))
    }

    /// Begins a turn: reading is allowed again.
    pub fn begin(&self) {
        let mut inner = self.0.borrow_mut();
        inner.dry = false;
        inner.read = 0;
    }

    /// Bytes read in this turn.
    pub fn read_in_turn(&self) -> usize {
        self.0.borrow().read
    }

    /// Sends what was written.
    pub fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_flush(cx)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for TurnIo<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        if inner.dry {
            return Poll::Pending;
        }
        if inner.read >= TURN_READ_BYTES {
            inner.dry = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut inner.io).poll_read(cx, buf);
        inner.dry = result.is_pending();
        inner.read += buf.filled().len() - before;
        result
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TurnIo<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_shutdown(cx)
    }
}
