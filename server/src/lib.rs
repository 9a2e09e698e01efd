//! server
pub mod api;
pub mod grpc;
pub mod http;
pub mod net;
pub mod runtime;

#[cfg(test)]
mod testing;
