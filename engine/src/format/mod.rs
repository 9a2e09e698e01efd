//! Bytes on disk: each format with its offset table, golden fixture and version.

pub mod effects;
pub mod kv_wire;
