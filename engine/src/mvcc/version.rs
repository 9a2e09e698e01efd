//! One version of a key as the index holds it, and where its value is. Shared by the index, the
//! pages and the checkpoint.

use std::sync::Arc;

use bytes::Bytes;

use crate::ids::Revision;

/// A key, shared between the index and the list of revisions.
pub type Key = Arc<[u8]>;

/// A page: a file of this shard and the block (of [`crate::limits::BLOCK_BYTES`]) it begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId {
    /// Number of the page file, counted upward for ever.
    pub file: u32,
    /// First block of the page inside the file.
    pub block: u32,
}

/// A version's place in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageSlot {
    /// The page.
    pub page: PageId,
    /// The record's number in the page.
    pub slot: u32,
    /// Length of the value, bytes.
    pub len: u32,
}

/// Where a version's value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// There is none: the version is a delete (tombstone).
    Deleted,
    /// In memory, not yet in a page.
    Staged(Bytes),
    /// In a page.
    Sealed(PageSlot),
}

/// One version of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// When it was written; etcd's mod revision is `revision.main`.
    pub revision: Revision,
    /// Revision of the put that began this life of the key; 0 for a delete.
    pub create_revision: i64,
    /// Puts in this life, from 1; 0 for a delete.
    pub version: i64,
    /// Lease attached, 0 for none.
    pub lease: i64,
    /// The value's place.
    pub value: Value,
}

impl Version {
    /// Bytes of the value, wherever it is.
    pub fn value_len(&self) -> usize {
        match &self.value {
            Value::Deleted => 0,
            Value::Staged(value) => value.len(),
            Value::Sealed(slot) => slot.len as usize,
        }
    }

    /// Whether this version is a delete.
    pub fn is_delete(&self) -> bool {
        matches!(self.value, Value::Deleted)
    }
}
