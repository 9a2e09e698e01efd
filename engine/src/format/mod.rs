//! Bytes on disk: each layout beside the code that reads and writes exactly those bytes. Called
//! by `wal`, `mvcc` and `group`; pure functions but for the whole-file `document` and its users.

pub mod checkpoint;
pub mod checksum;
pub mod document;
pub mod effects;
pub mod fault;
pub mod frame;
pub mod identity;
pub mod kv_wire;
#[cfg(test)]
pub(crate) mod mutate;
pub mod page;
pub mod raw;
pub mod segment;
pub mod superblock;
pub mod varint;
