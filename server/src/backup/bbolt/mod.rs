//! The file format of bbolt, etcd's storage library: enough of it to write a whole file in one go
//! and to read any file back. Called by `backup`; knows nothing of what etcd keeps in it.
//!
//! A file is pages of one size. Numbers are little-endian.
//!
//! | offset | bytes | field of a page |
//! |---|---|---|
//! | 0 | 8 | its number |
//! | 8 | 2 | kind: 1 branch, 2 leaf, 4 meta, 16 free list |
//! | 10 | 2 | elements in it |
//! | 12 | 4 | pages behind it that belong to it |
//! | 16 | | elements, then the bytes of keys and values |
//!
//! | bytes | field of a leaf's element | | bytes | field of a branch's element |
//! |---|---|---|---|---|
//! | 4 | 1 if the value is a bucket | | 4 | where the key is |
//! | 4 | where the key is, the value behind it | | 4 | length of the key |
//! | 4 | length of the key | | 8 | page |
//! | 4 | length of the value | | | |
//!
//! Places count from the element's own start. A bucket's value is the number of its root page and
//! a sequence, 8 bytes each; where that page is 0 a leaf page stands behind them.
//!
//! | offset | bytes | field of pages 0 and 1, behind the page's head |
//! |---|---|---|
//! | 0 | 4 | magic `0xED0CDAED` |
//! | 4 | 4 | version, 2 |
//! | 8 | 4 | size of a page |
//! | 12 | 4 | flags |
//! | 16 | 16 | the bucket of buckets: root page, sequence |
//! | 32 | 8 | page of the free list |
//! | 40 | 8 | pages in the file |
//! | 48 | 8 | number of the transaction; the newer of both pages counts |
//! | 56 | 8 | FNV-64a of the 56 bytes before |

mod cursor;
mod layout;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use cursor::Cursor;
pub use layout::TreeSize;
pub use reader::{Bucket, Database, Source};
pub use writer::Writer;

/// Bytes of a page that is written.
pub const PAGE_BYTES: usize = 4096;

const HEAD_BYTES: usize = 16;
const ELEMENT_BYTES: usize = 16;
const META_BYTES: usize = 64;
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const META: u16 = 4;
const FREE_LIST: u16 = 16;
/// Flag of an element whose value is a bucket.
const IS_BUCKET: u32 = 1;
/// Pages 0 and 1, and the free list.
const FIRST_TREE_PAGE: u64 = 3;

/// A key and its value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BoltError {
    /// The file is no database of bbolt, or not any more.
    #[error("{0}")]
    Damaged(String),
    /// The system's word.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

fn damaged(what: impl Into<String>) -> BoltError {
    BoltError::Damaged(what.into())
}

/// FNV-64a.
fn fnv64a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(field.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(field.try_into().ok()?))
}
