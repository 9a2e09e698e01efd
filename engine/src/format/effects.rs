//! The content of a Raft entry: a batch of effects, so that followers and recovery replay what
//! the principal decided and never evaluate a request. Written by the shard, read when applied.
//!
//! All numbers are little-endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | format version, [`VERSION`] |
//! | 2 | 2 | zero |
//! | 4 | 4 | number of records |
//! | 8 | 8 | epoch of the principal that made the batch, 0 before its first fence |
//! | 16 | | records, each beginning with a tag byte |
//!
//! | tag | record |
//! |---|---|
//! | 1 | changes: revision i64, part u32, parts u32, number of changes u32, then changes |
//! | 2 | a change without a revision: `after` i64, kind u8, two i64 operands and a u8 |
//! | 3 | fence: member u64, nonce u64 |
//!
//! | tag | change |
//! |---|---|
//! | 0 | put: sub u32, create i64, version i64, lease i64, key and value lengths u32, key, value |
//! | 1 | delete: sub u32, key length u32, key |

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Version of this format.
pub const VERSION: u16 = 1;

const HEADER_BYTES: usize = 16;
const TAG_CHANGES: u8 = 1;
const TAG_META: u8 = 2;
const TAG_FENCE: u8 = 3;
const CHANGES_BYTES: usize = 1 + 8 + 4 + 4 + 4;
const PUT_BYTES: usize = 1 + 4 + 8 + 8 + 8 + 4 + 4;
const DELETE_BYTES: usize = 1 + 4 + 4;

const _: () = assert!(HEADER_BYTES == 2 + 2 + 4 + 8);

/// A batch that does not decode: the log is damaged, or was written by a newer version.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("batch of effects is broken at byte {at}: {what}")]
pub struct Broken {
    /// Offset inside the batch.
    pub at: usize,
    /// What was expected.
    pub what: &'static str,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The change's number inside its transaction, over all shards.
    pub sub: u32,
    /// The key.
    pub key: Bytes,
    /// The new state, or `None` for a delete.
    pub put: Option<Put>,
}

/// The new state of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Create revision.
    pub create_revision: i64,
    /// Version.
    pub version: i64,
    /// Lease, 0 for none.
    pub lease: i64,
    /// Value.
    pub value: Bytes,
}

/// A change without a revision; carried by group 0 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta {
    /// A lease was granted.
    Grant {
        /// Its id.
        id: i64,
        /// Time to live, seconds.
        ttl_s: i64,
    },
    /// A lease was revoked.
    Revoke {
        /// Its id.
        id: i64,
    },
    /// Everything below a revision may be forgotten.
    Compact {
        /// The compaction revision.
        revision: i64,
    },
    /// An alarm was raised or cleared.
    Alarm {
        /// The member it is about.
        member: u64,
        /// etcd's number of the alarm: 1 NOSPACE, 2 CORRUPT.
        kind: u8,
        /// Raised.
        on: bool,
    },
}

/// One record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// One part of a transaction.
    Changes {
        /// The transaction's revision.
        revision: i64,
        /// This part's number, from 0.
        part: u32,
        /// Parts there are in all groups together.
        parts: u32,
        /// What changed.
        changes: Vec<Change>,
    },
    /// A change without a revision, to be applied once `after` is settled.
    Meta {
        /// The settled revision it was decided at.
        after: i64,
        /// The change.
        meta: Meta,
    },
    /// The first entry of a principalship in this group.
    Fence {
        /// The principal.
        member: u64,
        /// Makes it distinct from every other.
        nonce: u64,
    },
}

/// Encodes records one after the other.
#[derive(Debug)]
pub struct BatchWriter {
    bytes: BytesMut,
    records: u32,
}

impl Default for BatchWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchWriter {
    /// An empty batch.
    pub fn new() -> Self {
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + 496);
        bytes.put_bytes(0, HEADER_BYTES);
        Self { bytes, records: 0 }
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Records so far.
    pub fn records(&self) -> usize {
        self.records as usize
    }

    /// Adds one part of a transaction.
    pub fn changes<'a>(
        &mut self,
        revision: i64,
        part: u32,
        parts: u32,
        changes: impl ExactSizeIterator<Item = &'a Change>,
    ) {
        assert!(part < parts, "a part's number is below the number of parts");
        let out = &mut self.bytes;
        out.put_u8(TAG_CHANGES);
        out.put_i64_le(revision);
        out.put_u32_le(part);
        out.put_u32_le(parts);
        out.put_u32_le(changes.len() as u32);
        for change in changes {
            put_change(out, change);
        }
        self.records += 1;
    }

    /// Adds a change without a revision.
    pub fn meta(&mut self, after: i64, meta: Meta) {
        let (kind, a, b, flag) = match meta {
            Meta::Grant { id, ttl_s } => (1, id, ttl_s, 0),
            Meta::Revoke { id } => (2, id, 0, 0),
            Meta::Compact { revision } => (3, revision, 0, 0),
            Meta::Alarm { member, kind, on } => (4, member as i64, i64::from(kind), u8::from(on)),
        };
        let out = &mut self.bytes;
        out.put_u8(TAG_META);
        out.put_i64_le(after);
        out.put_u8(kind);
        out.put_i64_le(a);
        out.put_i64_le(b);
        out.put_u8(flag);
        self.records += 1;
    }

    /// Adds a fence.
    pub fn fence(&mut self, member: u64, nonce: u64) {
        self.bytes.put_u8(TAG_FENCE);
        self.bytes.put_u64_le(member);
        self.bytes.put_u64_le(nonce);
        self.records += 1;
    }

    /// The finished batch, under `epoch`.
    pub fn finish(mut self, epoch: u64) -> Bytes {
        self.bytes[0..2].copy_from_slice(&VERSION.to_le_bytes());
        self.bytes[4..8].copy_from_slice(&self.records.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&epoch.to_le_bytes());
        self.bytes.freeze()
    }
}

/// Bytes that a change takes in a batch, with room for the record around it.
pub fn change_bytes(change: &Change) -> usize {
    CHANGES_BYTES + PUT_BYTES + change.key.len() + change.put.as_ref().map_or(0, |p| p.value.len())
}

fn put_change(out: &mut BytesMut, change: &Change) {
    match &change.put {
        Some(put) => {
            out.reserve(PUT_BYTES + change.key.len() + put.value.len());
            out.put_u8(0);
            out.put_u32_le(change.sub);
            out.put_i64_le(put.create_revision);
            out.put_i64_le(put.version);
            out.put_i64_le(put.lease);
            out.put_u32_le(change.key.len() as u32);
            out.put_u32_le(put.value.len() as u32);
            out.put_slice(&change.key);
            out.put_slice(&put.value);
        }
        None => {
            out.reserve(DELETE_BYTES + change.key.len());
            out.put_u8(1);
            out.put_u32_le(change.sub);
            out.put_u32_le(change.key.len() as u32);
            out.put_slice(&change.key);
        }
    }
}

/// Reads a batch, record after record; keys and values are slices of it.
#[derive(Debug)]
pub struct BatchReader {
    bytes: Bytes,
    at: usize,
    left: u32,
    epoch: u64,
}

impl BatchReader {
    /// Begins reading.
    ///
    /// # Errors
    /// The header is cut, or of another version.
    pub fn new(bytes: Bytes) -> Result<Self, Broken> {
        let mut reader = Self {
            bytes,
            at: 0,
            left: 0,
            epoch: 0,
        };
        let version = u16::from_le_bytes(reader.array("the format version")?);
        if version != VERSION {
            return Err(Broken {
                at: 0,
                what: "format version 1",
            });
        }
        let _zero: [u8; 2] = reader.array("the header")?;
        reader.left = reader.u32("the number of records")?;
        reader.epoch = u64::from_le_bytes(reader.array("the epoch")?);
        Ok(reader)
    }

    /// The epoch of the principal that made the batch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Records not read yet.
    pub fn records(&self) -> u32 {
        self.left
    }

    /// The next record.
    ///
    /// # Errors
    /// The batch is broken there.
    pub fn next_record(&mut self) -> Result<Option<Record>, Broken> {
        if self.left == 0 {
            let whole = self.at == self.bytes.len();
            return whole
                .then_some(None)
                .ok_or(self.broken("the end of the batch"));
        }
        self.left -= 1;
        let [tag] = self.array("a record tag")?;
        match tag {
            TAG_CHANGES => self.read_changes().map(Some),
            TAG_META => self.read_meta().map(Some),
            TAG_FENCE => {
                let member = u64::from_le_bytes(self.array("the member")?);
                let nonce = u64::from_le_bytes(self.array("the nonce")?);
                Ok(Some(Record::Fence { member, nonce }))
            }
            _ => Err(self.broken("a known record tag")),
        }
    }

    fn read_changes(&mut self) -> Result<Record, Broken> {
        let revision = self.i64("a revision")?;
        let part = self.u32("a part number")?;
        let parts = self.u32("the number of parts")?;
        if part >= parts {
            return Err(self.broken("a part number below the number of parts"));
        }
        let len = self.u32("the number of changes")? as usize;
        if len > self.bytes.len() / DELETE_BYTES {
            return Err(self.broken("a number of changes that fits the batch"));
        }
        let mut changes = Vec::with_capacity(len);
        for _ in 0..len {
            changes.push(self.read_change()?);
        }
        Ok(Record::Changes {
            revision,
            part,
            parts,
            changes,
        })
    }

    fn read_change(&mut self) -> Result<Change, Broken> {
        let [tag] = self.array("a change tag")?;
        let sub = self.u32("a sub-revision")?;
        if tag == 1 {
            let key_len = self.u32("a key length")?;
            let key = self.slice(key_len, "a key")?;
            return Ok(Change {
                sub,
                key,
                put: None,
            });
        }
        if tag != 0 {
            return Err(self.broken("a known change tag"));
        }
        let create_revision = self.i64("a create revision")?;
        let version = self.i64("a version")?;
        let lease = self.i64("a lease")?;
        let key_len = self.u32("a key length")?;
        let value_len = self.u32("a value length")?;
        let key = self.slice(key_len, "a key")?;
        let value = self.slice(value_len, "a value")?;
        Ok(Change {
            sub,
            key,
            put: Some(Put {
                create_revision,
                version,
                lease,
                value,
            }),
        })
    }

    fn read_meta(&mut self) -> Result<Record, Broken> {
        let after = self.i64("the revision before")?;
        let [kind] = self.array("a kind")?;
        let a = self.i64("an operand")?;
        let b = self.i64("an operand")?;
        let [flag] = self.array("a flag")?;
        let meta = match (kind, b, flag) {
            (1, ttl_s, 0) => Meta::Grant { id: a, ttl_s },
            (2, 0, 0) => Meta::Revoke { id: a },
            (3, 0, 0) => Meta::Compact { revision: a },
            (4, 1 | 2, 0 | 1) => Meta::Alarm {
                member: a as u64,
                kind: b as u8,
                on: flag == 1,
            },
            _ => return Err(self.broken("a known kind of change")),
        };
        Ok(Record::Meta { after, meta })
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Broken> {
        let broken = self.broken(what);
        let from = self.bytes.get(self.at..self.at + N).ok_or(broken.clone())?;
        self.at += N;
        from.try_into().map_err(|_| broken)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, Broken> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn i64(&mut self, what: &'static str) -> Result<i64, Broken> {
        self.array(what).map(i64::from_le_bytes)
    }

    fn slice(&mut self, len: u32, what: &'static str) -> Result<Bytes, Broken> {
        let end = self.at + len as usize;
        if end > self.bytes.len() {
            return Err(self.broken(what));
        }
        let slice = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(slice)
    }

    fn broken(&self, what: &'static str) -> Broken {
        Broken { at: self.at, what }
    }
}

#[cfg(test)]
mod tests;
