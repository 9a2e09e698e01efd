//! format: being built.
pub mod kv_wire;
