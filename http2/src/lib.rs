//! HTTP/2 (RFC 9113) and HPACK (RFC 7541) without any I/O: bytes that arrived go in, what they
//! mean comes out through a [`Handler`], and bytes to be sent gather in an [`Output`]. The server's
//! gRPC connections and the load generator's run on it, each on its own executor.
//!
//! Written for calls that are small and many: frames are read where they lie, a header list is
//! decoded into one reused buffer, an answer of headers, data and trailers is appended to one
//! buffer, and nothing is allocated for a frame. What is left out: server push and priorities
//! (both deprecated), and upgrades from HTTP/1.
//!
//! Bounds: everything a peer can make grow has a field in [`Config`] or a constant beside its use.

pub mod error;
pub mod frame;
pub mod hpack;

mod config;
mod connection;
#[cfg(test)]
mod dice;
mod output;

pub use config::Config;
pub use connection::{Block, Closed, Connection, Handler, Role};
pub use error::{Broken, Code};
pub use hpack::{Field, Fields};
pub use output::{Output, Pieces};
