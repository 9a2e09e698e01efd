//! Whether an address can be listened on. Every core listens with SO_REUSEPORT, so the kernel
//! would let two servers share a port without a word: `boot` asks here first.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use thiserror::Error;

/// Between two looks at a busy port.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Why an address cannot be listened on.
#[derive(Debug, Error)]
pub enum PortError {
    /// Somebody listens there.
    #[error("cannot listen on {addr}: another process already does (address in use)")]
    PortInUse {
        /// The address wanted.
        addr: SocketAddr,
    },
    /// Anything else: an address that is not this machine's, a privileged port.
    #[error("cannot listen on {addr}: {source}")]
    Bind {
        /// The address wanted.
        addr: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

impl PortError {
    /// What the kernel's error means for a listener on `addr`.
    pub fn of(addr: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse { addr },
            _ => Self::Bind { addr, source },
        }
    }
}

/// Checks that nobody listens on `addr`, and returns it with port 0 replaced by a free one. The
/// check takes the port for a moment without SO_REUSEPORT, which fails if anybody has it.
///
/// A server that was killed a moment ago may still hold its port: the kernel takes its rings
/// apart, with the listeners in them, after its parent was told of its end. So a busy port is
/// looked at again for `patience`.
///
/// # Errors
/// [`PortError`], naming the address.
pub fn check_patiently(addr: SocketAddr, patience: Duration) -> Result<SocketAddr, PortError> {
    let end = Instant::now() + patience;
    loop {
        match check(addr) {
            Err(PortError::PortInUse { .. }) if Instant::now() < end => {
                std::thread::sleep(LOOK_AGAIN);
            }
            done => return done,
        }
    }
}

/// Checks once.
///
/// # Errors
/// [`PortError`], naming the address.
pub fn check(addr: SocketAddr) -> Result<SocketAddr, PortError> {
    let taken = TcpListener::bind(addr).and_then(|listener| listener.local_addr());
    taken.map_err(|source| PortError::of(addr, source))
}

#[cfg(test)]
mod tests;
