//! The bytes of a checkpoint: the manifest, and each shard's index file as a stream of chunks.
//! Called by `mvcc/checkpoint`, which reads and writes the files.
//!
//! The manifest is a document (see [`super::document`]) with magic `STOAMNFT`, version 2. Version 1
//! did not say where the lanes of the log end.
//!
//! An index file is a header, chunks of entries in key order, one footer chunk, and zeros up to
//! the next block:
//!
//! | offset | bytes | field of the header (little endian) |
//! |---|---|---|
//! | 0 | 8 | magic `STOAINDX` |
//! | 8 | 2 | format version, 1 |
//! | 10 | 2 | shard |
//! | 12 | 4 | zero |
//! | 16 | 8 | generation |
//! | 24 | 8 | settled revision of the checkpoint |
//! | 32 | 8 | cluster |
//! | 40 | 8 | member |
//! | 48 | 12 | zero |
//! | 60 | 4 | CRC32C of bytes 0..60 |
//!
//! | offset | bytes | field of a chunk |
//! |---|---|---|
//! | 0 | 4 | magic `CHNK` |
//! | 4 | 1 | kind: 1 entries, 2 footer |
//! | 5 | 3 | zero |
//! | 8 | 4 | number, from 0 |
//! | 12 | 4 | entries in it |
//! | 16 | 4 | length of the payload, bytes |
//! | 20 | 4 | checksum of the chunk before, or of the header |
//! | 24 | 4 | CRC32C of bytes 0..24 and the payload |
//! | 28 | | payload |
//!
//! So a chunk that is lost, doubled, moved or of another file breaks the chain, and the footer's
//! checksum, which the manifest repeats, stands for the whole file.
//!
//! An entry (numbers are LEB128): key length, key, `versions * 2 + more`, then the versions; `more`
//! is 1 when the next entry goes on with the same key. A version: `place * 2 + has lease`, main,
//! sub, and unless it is a delete main - create revision, version, file, block, slot, length of
//! the value; then the lease if it has one. `place` is 0 for a delete, 1 for a page.

use rkyv::rancor;
use rkyv::{Archive, Deserialize, Serialize};

use super::document::{self, Kind};
use super::fault::Fault;
use super::identity::Identity;
use super::raw::{put, u16_at, u32_at, u64_at};
use super::varint;
use crate::ids::ShardId;

/// Frame and format version of the manifest.
pub const MANIFEST: Kind = Kind {
    magic: *b"STOAMNFT",
    version: 2,
};
/// Format version of the index file.
pub const INDEX_VERSION: u16 = 1;
/// Bytes of an index file's header.
pub const INDEX_HEAD_BYTES: usize = 64;
/// Bytes of a chunk's header.
pub const CHUNK_HEAD_BYTES: usize = 28;

const INDEX_MAGIC: [u8; 8] = *b"STOAINDX";
const CHUNK_MAGIC: u32 = u32::from_le_bytes(*b"CHNK");

/// What one checkpoint is, of all shards and groups together (DESIGN section 3, rule 10).
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The cluster's id.
    pub cluster: u64,
    /// This member's id.
    pub member: u64,
    /// Number of the checkpoint, counted upward for ever, from 1.
    pub generation: u64,
    /// The settled revision that it holds: replay skips effects at or below.
    pub settled: i64,
    /// Epoch of that revision.
    pub epoch: u64,
    /// The compacted revision, or 0.
    pub compacted: i64,
    /// By shard number.
    pub shards: Vec<ShardImage>,
    /// By group number.
    pub groups: Vec<GroupImage>,
    /// Of every lane in which the shards write, by number: it may not end before.
    pub lanes: Vec<LogEnd>,
    /// Leases, alarms and the rest of the replicated state, in their owners' form.
    pub meta: Vec<u8>,
}

/// One shard in a manifest.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardImage {
    /// Length of the index file, bytes.
    pub index_bytes: u64,
    /// Checksum of its footer chunk, which chains all others.
    pub index_checksum: u32,
    /// Number that the next new page file gets; no file that the index names reaches it.
    pub next_file: u32,
}

/// One group in a manifest.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupImage {
    /// The last log id of the group with nothing above the settled revision in it or before it.
    pub last: Option<LogPosition>,
    /// The membership at that position, in the group's own form.
    pub membership: Vec<u8>,
}

/// Where a lane of the log ended when a checkpoint was made. Of two of one lane the later is the
/// greater.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord,
)]
pub struct LogEnd {
    /// Its last durable frame, 0 if there was none.
    pub lsn: u64,
    /// Number of the segment that this frame was in.
    pub segment: u64,
    /// The lane.
    pub lane: u16,
}

/// openraft's log id.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogPosition {
    /// Term of the leader that wrote it.
    pub term: u64,
    /// That leader.
    pub node: u64,
    /// Its place in the log.
    pub index: u64,
}

impl Manifest {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let payload = rkyv::to_bytes::<rancor::Error>(self).expect("memory is written");
        MANIFEST.encode(&payload)
    }

    /// The manifest in the bytes of the file `path`.
    pub fn decode(path: &str, image: &[u8]) -> Result<Self, Fault> {
        let payload = MANIFEST.decode(path, image)?;
        rkyv::from_bytes::<Self, rancor::Error>(&payload)
            .map_err(|e| Fault::corrupt(path, document::HEAD_BYTES as u64, e.to_string()))
    }
}

/// Header of an index file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexHead {
    /// Cluster and member.
    pub identity: Identity,
    /// The shard.
    pub shard: ShardId,
    /// Generation of the checkpoint.
    pub generation: u64,
    /// Its settled revision.
    pub settled: i64,
}

impl IndexHead {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; INDEX_HEAD_BYTES] {
        let mut head = [0; INDEX_HEAD_BYTES];
        put(&mut head, 0, &INDEX_MAGIC);
        put(&mut head, 8, &INDEX_VERSION.to_le_bytes());
        put(&mut head, 10, &self.shard.0.to_le_bytes());
        put(&mut head, 16, &self.generation.to_le_bytes());
        put(&mut head, 24, &self.settled.to_le_bytes());
        put(&mut head, 32, &self.identity.cluster.0.to_le_bytes());
        put(&mut head, 40, &self.identity.member.0.to_le_bytes());
        let crc = crc32c::crc32c(&head[..60]);
        put(&mut head, 60, &crc.to_le_bytes());
        head
    }

    /// Checks that the header in `bytes` is this one.
    pub fn check(&self, path: &str, bytes: &[u8]) -> Result<(), Fault> {
        let bad = |what: &str| Fault::corrupt(path, 0, what);
        let Some(head) = bytes.get(..INDEX_HEAD_BYTES) else {
            return Err(bad("the file ends inside its header"));
        };
        if head[..8] != INDEX_MAGIC {
            return Err(bad("magic of the file"));
        }
        if crc32c::crc32c(&head[..60]) != u32_at(head, 60) {
            return Err(bad("checksum of the header"));
        }
        let found = u16_at(head, 8);
        if found > INDEX_VERSION {
            let path = path.to_owned();
            return Err(Fault::Newer {
                path,
                found,
                supported: INDEX_VERSION,
            });
        }
        Identity::new(u64_at(head, 32), u64_at(head, 40)).check(&self.identity, path)?;
        if head != self.encode() {
            return Err(bad("the index of another shard or checkpoint"));
        }
        Ok(())
    }
}

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkKind {
    /// Entries, in key order.
    Entries,
    /// Counts and page files; the last chunk.
    Footer,
}

impl ChunkKind {
    fn code(self) -> u8 {
        match self {
            Self::Entries => 1,
            Self::Footer => 2,
        }
    }
}

/// Header of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHead {
    /// What it holds.
    pub kind: ChunkKind,
    /// Its number in the file.
    pub number: u32,
    /// Entries in it.
    pub entries: u32,
    /// Bytes of its payload.
    pub payload_len: u32,
    /// Checksum of what comes before.
    pub previous: u32,
}

impl ChunkHead {
    /// Appends the header for `payload` to `out` and returns the chunk's checksum; the payload
    /// is the caller's to append.
    pub fn encode(&self, payload: &[u8], out: &mut Vec<u8>) -> u32 {
        assert_eq!(
            self.payload_len as usize,
            payload.len(),
            "length of the payload"
        );
        let mut head = [0; CHUNK_HEAD_BYTES];
        put(&mut head, 0, &CHUNK_MAGIC.to_le_bytes());
        head[4] = self.kind.code();
        put(&mut head, 8, &self.number.to_le_bytes());
        put(&mut head, 12, &self.entries.to_le_bytes());
        put(&mut head, 16, &self.payload_len.to_le_bytes());
        put(&mut head, 20, &self.previous.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head[..24]), payload);
        put(&mut head, 24, &crc.to_le_bytes());
        out.extend_from_slice(&head);
        crc
    }

    /// Reads the header at the start of `bytes`, at least [`CHUNK_HEAD_BYTES`] of them. Nothing
    /// in it is trusted before [`ChunkHead::check`] has seen the payload.
    pub fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        if u32_at(bytes, 0) != CHUNK_MAGIC {
            return Err("no chunk begins here");
        }
        let kind = match bytes[4] {
            1 => ChunkKind::Entries,
            2 => ChunkKind::Footer,
            _ => return Err("kind of the chunk"),
        };
        Ok(Self {
            kind,
            number: u32_at(bytes, 8),
            entries: u32_at(bytes, 12),
            payload_len: u32_at(bytes, 16),
            previous: u32_at(bytes, 20),
        })
    }

    /// Checks the whole chunk in `bytes`, header and payload, and returns its checksum.
    pub fn check(&self, bytes: &[u8]) -> Result<u32, &'static str> {
        let crc = u32_at(bytes, 24);
        let payload = &bytes[CHUNK_HEAD_BYTES..];
        assert_eq!(
            self.payload_len as usize,
            payload.len(),
            "length of the payload"
        );
        if crc32c::crc32c_append(crc32c::crc32c(&bytes[..24]), payload) != crc {
            return Err("checksum of the chunk");
        }
        Ok(crc)
    }
}

/// A page file as a footer names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileImage {
    /// Its number.
    pub number: u32,
    /// Blocks written, from the start; what lies behind them is garbage.
    pub blocks: u32,
    /// Weight of all records written to it (see `mvcc/pages`), bytes.
    pub total: u64,
    /// Weight of the records that this index names, bytes.
    pub live: u64,
}

/// The last chunk of an index file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footer {
    /// Keys in the file.
    pub keys: u64,
    /// Versions in the file.
    pub versions: u64,
    /// Every page file that the entries name, ascending.
    pub files: Vec<FileImage>,
}

impl Footer {
    /// The payload of the footer chunk.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint::put(&mut out, self.keys);
        varint::put(&mut out, self.versions);
        varint::put(&mut out, self.files.len() as u64);
        for file in &self.files {
            varint::put(&mut out, u64::from(file.number));
            varint::put(&mut out, u64::from(file.blocks));
            varint::put(&mut out, file.total);
            varint::put(&mut out, file.live);
        }
        out
    }

    /// Reads the payload of a footer chunk; `None` if it is not one.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let mut rest = payload;
        let keys = varint::take(&mut rest)?;
        let versions = varint::take(&mut rest)?;
        let count = varint::take(&mut rest)?;
        let mut files = Vec::new();
        for _ in 0..count {
            files.push(FileImage {
                number: varint::take(&mut rest)?.try_into().ok()?,
                blocks: varint::take(&mut rest)?.try_into().ok()?,
                total: varint::take(&mut rest)?,
                live: varint::take(&mut rest)?,
            });
        }
        let ascending = files.is_sorted_by(|a, b| a.number < b.number);
        (rest.is_empty() && ascending).then_some(Self {
            keys,
            versions,
            files,
        })
    }
}

#[cfg(test)]
mod tests;
