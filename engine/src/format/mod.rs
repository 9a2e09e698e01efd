//! Bytes on disk: each layout beside the code that reads and writes exactly those bytes. Pure
//! functions; called by `wal`, `mvcc` and `group`.

pub mod checksum;
pub mod frame;
pub mod segment;
