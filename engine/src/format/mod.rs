//! Bytes on disk and on the wire between nodes, each with its offset table and format version.

pub mod checkpoint;
pub mod document;
pub mod fault;
pub mod identity;
pub mod page;
pub mod raw;
pub mod superblock;
pub mod varint;
