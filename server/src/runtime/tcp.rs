//! A TCP connection for protocol code: small writes gather in a buffer and go out as one send per
//! flush, reads take a whole burst with one receive. `net` runs HTTP/2 and HTTP/1 over it.
//!
//! `h2` writes frame by frame: without gathering, 64 answers would be 64 sends. Here `poll_write`
//! only copies; `poll_flush` sends.
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
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrAny, SocketFlags,
    SocketType, sockopt,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::local;
use super::ring::Op;

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
    /// Waits for something to read, or to have room to write. Before the socket, so that they are
    /// cancelled before it is closed.
    readable: Option<Op<()>>,
    writable: Option<Op<()>>,
    socket: OwnedFd,
    /// The last receive took all there was: the next would only be told so.
    dry: bool,
    /// Received and not yet taken by the reader, from `taken` on.
    received: Vec<u8>,
    taken: usize,
    /// Written and not yet sent, from `sent` on.
    gathered: Vec<u8>,
    sent: usize,
}

impl CoalescedStream {
    /// Wraps a connected socket that does not block, and switches Nagle's delay off: the gathering
    /// here already decides what leaves together.
    ///
    /// # Errors
    /// When the socket is already gone.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        sockopt::set_tcp_nodelay(&socket, true)?;
        Ok(Self {
            readable: None,
            writable: None,
            socket,
            dry: false,
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
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family(addr), SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &addr) {
            Ok(()) => {}
            Err(Errno::INPROGRESS) => {
                let connected = local::current()
                    .ring
                    .ready(socket.as_raw_fd(), libc::POLLOUT);
                connected.await.0?;
                sockopt::socket_error(&socket)??;
            }
            Err(e) => return Err(e.into()),
        }
        Self::new(socket)
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
        address(rustix::net::getpeername(&self.socket)?)
    }

    /// Address of this side.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        address(Some(rustix::net::getsockname(&self.socket)?))
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
        loop {
            if !self.dry {
                match self.receive(buf) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    received => return Poll::Ready(received),
                }
            }
            ready!(poll_ready(
                &mut self.readable,
                &self.socket,
                libc::POLLIN,
                cx
            ))?;
            self.dry = false;
        }
    }

    fn receive(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        if buf.remaining() >= READ_BYTES {
            let room = buf.initialize_unfilled();
            let (n, _) = rustix::net::recv(&self.socket, &mut *room, RecvFlags::DONTWAIT)?;
            self.dry = n > 0 && n < room.len();
            buf.advance(n);
            return Ok(());
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let (n, _) = rustix::net::recv(&self.socket, &mut **scratch, RecvFlags::DONTWAIT)?;
            // The end of the stream is told again to whoever asks again.
            self.dry = n > 0 && n < scratch.len();
            let now = n.min(buf.remaining());
            buf.put_slice(&scratch[..now]);
            if now < n {
                self.received.extend_from_slice(&scratch[now..n]);
            }
            Ok(())
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
        loop {
            if self.writable.is_none() {
                match send(&self.socket, &self.gathered[self.sent..], more) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    sent => return Poll::Ready(sent),
                }
            }
            ready!(poll_ready(
                &mut self.writable,
                &self.socket,
                libc::POLLOUT,
                cx
            ))?;
        }
    }

    /// Sends pieces with one system call, when nothing is gathered before them.
    fn poll_send_pieces(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.writable.is_none() {
                let mut nothing = SendAncillaryBuffer::default();
                match rustix::net::sendmsg(&self.socket, pieces, &mut nothing, SEND_FLAGS) {
                    Err(Errno::AGAIN) => {}
                    sent => return Poll::Ready(sent.map_err(io::Error::from)),
                }
            }
            ready!(poll_ready(
                &mut self.writable,
                &self.socket,
                libc::POLLOUT,
                cx
            ))?;
        }
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

/// Waits until the socket is ready for `events`, with the operation in `slot`.
fn poll_ready(
    slot: &mut Option<Op<()>>,
    socket: &OwnedFd,
    events: i16,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let op = slot.get_or_insert_with(|| local::current().ring.ready(socket.as_raw_fd(), events));
    let (result, ()) = ready!(Pin::new(op).poll(cx));
    *slot = None;
    Poll::Ready(result.map(|_| ()))
}

/// No send waits, and none ends the process because the peer is gone.
const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Sends two pieces with one system call, without waiting.
fn send(socket: &OwnedFd, first: &[u8], more: &[u8]) -> io::Result<usize> {
    if first.is_empty() || more.is_empty() {
        let one = if first.is_empty() { more } else { first };
        return Ok(rustix::net::send(socket, one, SEND_FLAGS)?);
    }
    let pieces = [IoSlice::new(first), IoSlice::new(more)];
    let mut nothing = SendAncillaryBuffer::default();
    Ok(rustix::net::sendmsg(
        socket,
        &pieces,
        &mut nothing,
        SEND_FLAGS,
    )?)
}

/// The family of sockets for an address.
pub(super) fn family(addr: SocketAddr) -> AddressFamily {
    match addr {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

/// An address of the Internet.
pub(super) fn address(any: Option<SocketAddrAny>) -> io::Result<SocketAddr> {
    let none = || io::Error::from(io::ErrorKind::NotConnected);
    SocketAddr::try_from(any.ok_or_else(none)?).map_err(|_| none())
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
        // Whoever gathers by himself, and more than fits in here, sends from where it lies.
        let len: usize = bufs.iter().map(|b| b.len()).sum();
        if self.unsent() == 0 && len >= DIRECT_BYTES {
            return self.poll_send_pieces(cx, bufs);
        }
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
        match rustix::net::shutdown(&self.socket, Shutdown::Write) {
            // The peer was faster: nothing is left to shut down.
            Ok(()) | Err(Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(e) => Poll::Ready(Err(e.into())),
        }
    }
}

#[cfg(test)]
mod tests;
