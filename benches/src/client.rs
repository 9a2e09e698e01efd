//! A connection to a server under measurement. Used by the bench of lists and by `side_by_side`.

use std::net::SocketAddr;

use loadgen::client::{Channel, Options, Status};

/// What a client has to know of the server at `addr`.
#[must_use]
pub fn options(addr: SocketAddr) -> Options {
    Options {
        endpoints: vec![format!("http://{addr}")],
        ..Options::default()
    }
}

/// A connection to the server at `addr`.
///
/// # Errors
/// When it cannot be reached.
pub async fn connect(addr: SocketAddr) -> Result<Channel, Status> {
    Channel::connect(&options(addr), 0).await
}
