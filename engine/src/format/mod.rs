//! Bytes on disk: each format with its offset table, golden fixture and version.

pub mod effects;
