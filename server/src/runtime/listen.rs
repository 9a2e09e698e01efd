//! Listening sockets, time and tasks of the executor, as `net` wants them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use glommio::net::TcpListener;

use super::tcp::CoalescedStream;
use crate::net::accept::{Listen, Spawn};
use crate::net::time::Time;

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
        Ok(Self(TcpListener::bind(addr).map_err(io::Error::from)?))
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
