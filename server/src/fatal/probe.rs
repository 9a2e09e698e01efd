//! Whether the addresses to listen on are free, asked before anything is started, so that a refusal
//! has a name and says what to change. Called by the boot. (Whether executors can run here is asked
//! by the runtime.)

use std::net::{SocketAddr, TcpListener};

use super::Exit;

/// Checks that nobody listens on `address`. The executors' listeners share their ports
/// (`SO_REUSEPORT`), so the kernel would not refuse a second server of the same user.
///
/// # Errors
/// [`Exit::PortInUse`] or [`Exit::ListenFailed`], naming `flag`.
pub fn port_free(address: SocketAddr, flag: &'static str) -> Result<(), Exit> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) => Err(refused_listener(address, flag, &error)),
    }
}

/// The named end for a listener that could not be opened.
pub fn refused_listener(address: SocketAddr, flag: &'static str, error: &std::io::Error) -> Exit {
    let address = address.to_string();
    match error.kind() {
        std::io::ErrorKind::AddrInUse => Exit::PortInUse { address, flag },
        _ => Exit::ListenFailed {
            address,
            flag,
            why: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests;
