//! The Stoa node: everything between the sockets and the engine. `main.rs` starts it; whole-system
//! tests use its parts.

pub mod config;
pub mod fatal;
pub mod log;
pub mod metrics;
pub mod runtime;
pub mod shutdown;
