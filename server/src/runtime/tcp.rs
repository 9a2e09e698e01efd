//! A TCP connection for protocol code: small writes gather in a buffer and go out as one send per
//! flush, reads take a whole burst with one receive. `net` runs HTTP/2 and HTTP/1 over it.
//!
//! The executor's own stream makes a system call of every write, and `h2` writes frame by frame:
//! without gathering, 64 answers are 64 sends. Here `poll_write` only copies; `poll_flush` sends.
//! `h2` flushes once per poll of its connection, so everything that was answered before that poll
//! ends leaves together. What a caller has to do to profit from it:
//!
//! - let a request handler yield (`yield_now`) before its first work, or answer from the task that
//!   polls the connection: a task spawned and answered at once wakes the connection per request;
//! - do not flush by hand after each message.
//!
//! Reads go through one scratch buffer per core, so that an idle connection holds no memory and
//! one receive takes up to [`READ_BYTES`] however small the caller's buffer is.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead as _, AsyncWrite as _};
use glommio::net::TcpStream;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes taken by one receive.
pub const READ_BYTES: usize = 64 << 10;

/// Bytes gathered before a write sends without waiting for the flush.
pub const GATHER_BYTES: usize = 64 << 10;

/// A single write at least this large is sent from the caller's memory, together with what was
/// gathered, and not copied.
const DIRECT_BYTES: usize = 16 << 10;

/// Capacity the gather buffer may keep while it is empty.
const KEEP_BYTES: usize = 16 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A connected socket with gathered writes. Belongs to the core that made it.
#[derive(Debug)]
pub struct CoalescedStream {
    inner: TcpStream,
    /// Received and not yet taken by the reader, from `taken` on.
    received: Vec<u8>,
    taken: usize,
    /// Written and not yet sent, from `sent` on.
    gathered: Vec<u8>,
    sent: usize,
}

impl CoalescedStream {
    /// Wraps an accepted or connected stream and switches Nagle's delay off: the gathering here
    /// already decides what leaves together.
    ///
    /// # Errors
    /// When the socket is already gone.
    pub fn new(inner: TcpStream) -> io::Result<Self> {
        inner.set_nodelay(true).map_err(io::Error::from)?;
        Ok(Self {
            inner,
            received: Vec::new(),
            taken: 0,
            gathered: Vec::new(),
            sent: 0,
        })
    }

    /// Connects to `addr`. Unbounded in time: put a timeout around it.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        Self::new(TcpStream::connect(addr).await.map_err(io::Error::from)?)
    }

    /// Puts bytes back in front of what is read next: for code that looked at the first bytes to
    /// tell protocols apart.
    pub fn unread(&mut self, bytes: &[u8]) {
        let mut front = bytes.to_vec();
        front.extend_from_slice(&self.received[self.taken..]);
        self.received = front;
        self.taken = 0;
    }

    /// Address of the peer.
    ///
    /// # Errors
    /// When the socket is no longer connected.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr().map_err(io::Error::from)
    }

    /// Address of this side.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr().map_err(io::Error::from)
    }

    fn unsent(&self) -> usize {
        self.gathered.len() - self.sent
    }

    /// Takes received bytes into `buf`; false if there were none.
    fn take_received(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let left = &self.received[self.taken..];
        if left.is_empty() {
            return false;
        }
        let n = left.len().min(buf.remaining());
        buf.put_slice(&left[..n]);
        self.taken += n;
        if self.taken == self.received.len() {
            self.received = Vec::new();
            self.taken = 0;
        }
        true
    }

    /// One receive through the core's scratch buffer.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let n = ready!(Pin::new(&mut self.inner).poll_read(cx, scratch))?;
            let now = n.min(buf.remaining());
            buf.put_slice(&scratch[..now]);
            if now < n {
                self.received.extend_from_slice(&scratch[now..n]);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Sends what is gathered and then `more`, until everything gathered is gone. Returns the
    /// bytes of `more` that went with it.
    fn poll_send(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let pending = self.unsent();
            if pending == 0 && more.is_empty() {
                self.forget_sent();
                return Poll::Ready(Ok(0));
            }
            let n = ready!(self.poll_send_once(cx, more))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += n.min(pending);
            if n >= pending {
                self.forget_sent();
                if n > pending || more.is_empty() {
                    return Poll::Ready(Ok(n - pending));
                }
            }
        }
    }

    /// One system call; if the socket is full, asks to be woken when it is writable.
    fn poll_send_once(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        let Self {
            inner,
            gathered,
            sent,
            ..
        } = self;
        let first = &gathered[*sent..];
        if !first.is_empty() && !more.is_empty() {
            match send_both(inner, first, more) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
        let one = if first.is_empty() { more } else { first };
        Pin::new(inner).poll_write(cx, one)
    }

    fn forget_sent(&mut self) {
        self.sent = 0;
        if self.gathered.capacity() > KEEP_BYTES {
            // An idle connection keeps little; a busy one allocates again, once per flush.
            self.gathered = Vec::new();
        } else {
            self.gathered.clear();
        }
    }
}

/// Sends two pieces with one system call, without waiting.
fn send_both(stream: &TcpStream, first: &[u8], more: &[u8]) -> io::Result<usize> {
    // SAFETY: the descriptor belongs to `stream`, which outlives the borrow.
    let fd = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
    let pieces = [IoSlice::new(first), IoSlice::new(more)];
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let n = rustix::net::sendmsg(fd, &pieces, &mut SendAncillaryBuffer::default(), flags)?;
    Ok(n)
}

impl AsyncRead for CoalescedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 || self.take_received(buf) {
            return Poll::Ready(Ok(()));
        }
        self.poll_receive(cx, buf)
    }
}

impl AsyncWrite for CoalescedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.len() >= DIRECT_BYTES {
            return self.poll_send(cx, buf);
        }
        if self.unsent() + buf.len() > GATHER_BYTES {
            ready!(self.poll_send(cx, &[]))?;
        }
        self.gathered.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut taken = 0;
        for buf in bufs {
            let room = self.unsent() + buf.len() <= GATHER_BYTES;
            if buf.len() < DIRECT_BYTES && room {
                self.gathered.extend_from_slice(buf);
                taken += buf.len();
            } else if taken > 0 {
                break;
            } else {
                return self.poll_write(cx, buf);
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx, &[]).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        match ready!(Pin::new(&mut self.inner).poll_close(cx)) {
            // The peer was faster: nothing is left to shut down.
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            other => Poll::Ready(other),
        }
    }
}

#[cfg(test)]
mod tests;
