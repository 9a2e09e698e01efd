//! Listening sockets, time and tasks of the executor, as `net` wants them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::time::{Duration, Instant};

use glommio::net::TcpListener;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::tcp::CoalescedStream;
use crate::net::accept::{Listen, Spawn};
use crate::net::time::Time;

/// Connections that the kernel keeps for us until they are accepted, for each core.
const BACKLOG: i32 = 1024;

/// One core's listening socket. Every core has its own on the same address (SO_REUSEPORT), and
/// the kernel spreads connections over them.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Listens on `addr`. Does not notice another server there: call `net::port::check` before.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let family = if addr.is_ipv6() {
            AddressFamily::INET6
        } else {
            AddressFamily::INET
        };
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        // Connections inherit this. Without it those of a server that was killed keep the port
        // from `net::port::check` of the next one for a minute.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        rustix::net::bind(&socket, &addr)?;
        rustix::net::listen(&socket, BACKLOG)?;
        // SAFETY: the descriptor is a listening TCP socket, and nobody else owns it.
        Ok(Self(unsafe {
            TcpListener::from_raw_fd(socket.into_raw_fd())
        }))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr().map_err(io::Error::from)
    }
}

impl Listen for Listener {
    type Io = CoalescedStream;

    async fn accept(&self) -> io::Result<(CoalescedStream, Option<SocketAddr>)> {
        let stream = CoalescedStream::new(self.0.accept().await.map_err(io::Error::from)?)?;
        let peer = stream.peer_addr().ok();
        Ok((stream, peer))
    }
}

/// The executor's clock and timers.
#[derive(Clone, Copy, Debug)]
pub struct LocalTime(Instant);

impl Default for LocalTime {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Time for LocalTime {
    type Sleep = std::pin::Pin<Box<dyn Future<Output = ()>>>;

    fn now_ns(&self) -> u64 {
        crate::net::time::ns(self.0.elapsed())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        Box::pin(glommio::timer::sleep(duration))
    }
}

/// Starts tasks on the executor it is called on.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalSpawn;

impl Spawn for LocalSpawn {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        glommio::spawn_local(task).detach();
    }
}

#[cfg(test)]
mod tests;
