//! The Stoa node: everything between the sockets and the engine. `main.rs` starts it; whole-system
//! tests use its parts.

pub mod api;
pub mod backup;
pub mod config;
pub mod fatal;
pub mod grpc;
pub mod http;
pub mod log;
pub mod metrics;
pub mod net;
pub mod node;
pub mod runtime;
pub mod shutdown;

#[cfg(test)]
mod testing;
