//! server
pub mod runtime;
