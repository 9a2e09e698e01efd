//! Listening sockets, time and tasks of the executor, as `net` wants them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{SocketFlags, SocketType, sockopt};

use super::executor::spawn_scheduled;
use super::local;
use super::tcp::{CoalescedStream, address, family};
use super::timer::Sleep;
use crate::net::accept::{Listen, Spawn};
use crate::net::time::Time;

/// Connections that the kernel keeps for us until they are accepted, for each core.
const BACKLOG: i32 = 1024;

/// One core's listening socket. Every core has its own on the same address (SO_REUSEPORT), and
/// the kernel spreads connections over them.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Listens on `addr`. Does not notice another server there: call `net::port::check` before.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family(addr), SocketType::STREAM, flags, None)?;
        // Connections inherit this. Without it those of a server that was killed keep the port
        // from `net::port::check` of the next one for a minute.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        rustix::net::bind(&socket, &addr)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(Self(socket))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        address(Some(rustix::net::getsockname(&self.0)?))
    }
}

impl Listen for Listener {
    type Io = CoalescedStream;

    async fn accept(&self) -> io::Result<(CoalescedStream, Option<SocketAddr>)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        loop {
            match rustix::net::accept_with(&self.0, flags) {
                Ok(socket) => {
                    let stream = CoalescedStream::new(socket)?;
                    let peer = stream.peer_addr().ok();
                    return Ok((stream, peer));
                }
                Err(Errno::AGAIN) => {
                    let ring = local::current().ring.clone();
                    ring.ready(self.0.as_raw_fd(), libc::POLLIN).await.0?;
                }
                Err(e) => return Err(e.into()),
            }
        }
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
    type Sleep = Sleep;

    fn now_ns(&self) -> u64 {
        crate::net::time::ns(self.0.elapsed())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        Sleep::new(duration)
    }
}

/// Starts tasks on the executor it is called on.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalSpawn;

impl Spawn for LocalSpawn {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        drop(spawn_scheduled(task));
    }
}

#[cfg(test)]
mod tests;
