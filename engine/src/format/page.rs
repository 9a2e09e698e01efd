//! The bytes of one MVCC page: a frame written by hand around an rkyv archive of records. Called
//! by `mvcc/pages`; immutable once written, checked once when read and then read in place.
//!
//! | offset | bytes | field (little endian) |
//! |---|---|---|
//! | 0 | 8 | magic `STOAPAGE` |
//! | 8 | 2 | format version, 1 |
//! | 10 | 1 | kind: 1 records, 2 one record larger than [`PAGE_BYTES`] |
//! | 11 | 1 | zero |
//! | 12 | 2 | shard |
//! | 14 | 2 | zero |
//! | 16 | 4 | number of the page file |
//! | 20 | 4 | first block in the file |
//! | 24 | 4 | length of the page, blocks |
//! | 28 | 4 | length of the payload, bytes |
//! | 32 | 4 | records |
//! | 36 | 4 | CRC32C of everything behind this header, padding included |
//! | 40 | 8 | cluster |
//! | 48 | 8 | member |
//! | 56 | 4 | zero |
//! | 60 | 4 | CRC32C of bytes 0..60 |
//! | 64 | | payload: the archive, its root last |
//! | | | zeros up to the next block |
//!
//! The page says where it lies, so that a page read from, or written to, the wrong place is found.
//! The archive is little endian with 32-bit relative pointers, 8-byte aligned; its layout belongs
//! to the format version and a golden fixture holds it.

use bytes::Bytes;
use rkyv::rancor;
use rkyv::util::AlignedVec;
use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

use super::fault::Fault;
use super::identity::Identity;
use super::raw::{put, u16_at, u32_at, u64_at};
use crate::ids::{Revision, ShardId};
use crate::limits::{BLOCK_BYTES, PAGE_BYTES};

/// First bytes of a page.
pub const MAGIC: [u8; 8] = *b"STOAPAGE";
/// Format version written, and the newest that is read.
pub const VERSION: u16 = 1;
/// Bytes of the header.
pub const HEAD_BYTES: usize = 64;
/// Bytes a record takes in the archive beside its key and value.
pub const RECORD_BYTES: usize = 56;
/// Most bytes of records, by [`record_bytes`], that fit a page of [`PAGE_BYTES`].
pub const ROOM_BYTES: usize = PAGE_BYTES - HEAD_BYTES - TAIL_BYTES;

/// Root of the archive and the alignment of the record table.
const TAIL_BYTES: usize = 16;
const KIND_RECORDS: u8 = 1;
const KIND_LARGE: u8 = 2;
/// Alignment of page buffers; the archive itself needs 8.
const ALIGN: usize = 16;

const _: () = assert!(HEAD_BYTES.is_multiple_of(ALIGN));
const _: () = assert!(size_of::<ArchivedRecord<'static>>() == RECORD_BYTES);
const _: () = assert!(align_of::<ArchivedRecord<'static>>() <= ALIGN);
const _: () = assert!(size_of::<ArchivedBody<'static>>() + 8 <= TAIL_BYTES);

/// One version of a key as a page keeps it.
#[derive(Archive, Serialize, Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The key.
    #[rkyv(with = InlineAsBox)]
    pub key: &'a [u8],
    /// Transaction's revision.
    pub main: i64,
    /// Place inside the transaction.
    pub sub: i64,
    /// Revision of the put that began this life of the key.
    pub create_revision: i64,
    /// Puts in this life.
    pub version: i64,
    /// Lease, 0 for none.
    pub lease: i64,
    /// The value.
    #[rkyv(with = InlineAsBox)]
    pub value: &'a [u8],
}

#[derive(Archive, Serialize)]
struct Body<'a> {
    #[rkyv(with = InlineAsBox)]
    records: &'a [Record<'a>],
}

/// Bytes that a record takes in a page.
pub fn record_bytes(key_len: usize, value_len: usize) -> usize {
    RECORD_BYTES + key_len + value_len
}

/// Where a page lies and whose it is: what its header must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagePlace {
    /// Cluster and member.
    pub identity: Identity,
    /// The shard.
    pub shard: ShardId,
    /// Number of the page file.
    pub file: u32,
    /// First block in the file.
    pub block: u32,
}

impl PagePlace {
    /// Offset in the file, bytes.
    pub fn offset(&self) -> u64 {
        u64::from(self.block) * BLOCK_BYTES as u64
    }
}

/// A page whose place is not yet known.
pub struct PageDraft {
    image: AlignedVec<ALIGN>,
    payload_len: u32,
    records: u32,
}

impl PageDraft {
    /// Archives `records`, at least one, in revision order; several only if they fit
    /// [`ROOM_BYTES`] together.
    pub fn new(records: &[Record<'_>]) -> Self {
        assert!(!records.is_empty(), "a page without records");
        let bytes: usize = records
            .iter()
            .map(|r| record_bytes(r.key.len(), r.value.len()))
            .sum();
        assert!(
            records.len() == 1 || bytes <= ROOM_BYTES,
            "records beyond the room of a page"
        );
        let room = (HEAD_BYTES + bytes + TAIL_BYTES).next_multiple_of(BLOCK_BYTES);
        let mut image = AlignedVec::with_capacity(room);
        image.resize(HEAD_BYTES, 0);
        let mut image = rkyv::api::high::to_bytes_in::<_, rancor::Error>(&Body { records }, image)
            .expect("writing to memory does not fail");
        let payload_len = image.len() - HEAD_BYTES;
        image.resize(image.len().next_multiple_of(BLOCK_BYTES), 0);
        assert!(
            image.len() <= PAGE_BYTES || records.len() == 1,
            "a page over its size"
        );
        let payload_len = u32::try_from(payload_len).expect("a request is far below 4 GiB");
        Self {
            image,
            payload_len,
            records: records.len() as u32,
        }
    }

    /// Length, blocks.
    pub fn blocks(&self) -> u32 {
        (self.image.len() / BLOCK_BYTES) as u32
    }

    /// The page at its place.
    pub fn finish(mut self, place: &PagePlace) -> Page {
        let blocks = self.blocks();
        let large = self.image.len() > PAGE_BYTES;
        let crc = crc32c::crc32c(&self.image[HEAD_BYTES..]);
        let head = &mut self.image[..HEAD_BYTES];
        head[..8].copy_from_slice(&MAGIC);
        put(head, 8, &VERSION.to_le_bytes());
        head[10] = if large { KIND_LARGE } else { KIND_RECORDS };
        put(head, 12, &place.shard.0.to_le_bytes());
        put(head, 16, &place.file.to_le_bytes());
        put(head, 20, &place.block.to_le_bytes());
        put(head, 24, &blocks.to_le_bytes());
        put(head, 28, &self.payload_len.to_le_bytes());
        put(head, 32, &self.records.to_le_bytes());
        put(head, 36, &crc.to_le_bytes());
        put(head, 40, &place.identity.cluster.0.to_le_bytes());
        put(head, 48, &place.identity.member.0.to_le_bytes());
        let head_crc = crc32c::crc32c(&head[..60]);
        put(head, 60, &head_crc.to_le_bytes());
        Page {
            image: Bytes::from_owner(self.image),
            payload_len: self.payload_len as usize,
            records: self.records,
        }
    }
}

/// What a checked header says about the page behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageHead {
    /// Length of the page, bytes.
    pub bytes: usize,
    kind: u8,
    payload_len: usize,
    records: u32,
    crc: u32,
}

impl PageHead {
    /// Checks the header at the start of `bytes`, which were read at `place` in `path`.
    pub fn read(bytes: &[u8], path: &str, place: &PagePlace) -> Result<Self, Fault> {
        let bad = |what: &str| Fault::corrupt(path, place.offset(), what);
        let Some(head) = bytes.get(..HEAD_BYTES) else {
            return Err(bad("the file ends before the page"));
        };
        if head[..8] != MAGIC {
            return Err(bad("no page begins here"));
        }
        if crc32c::crc32c(&head[..60]) != u32_at(head, 60) {
            return Err(bad("checksum of the page header"));
        }
        let version = u16_at(head, 8);
        if version > VERSION {
            let path = path.to_owned();
            return Err(Fault::Newer {
                path,
                found: version,
                supported: VERSION,
            });
        }
        let found = Identity::new(u64_at(head, 40), u64_at(head, 48));
        found.check(&place.identity, path)?;
        let at = (u16_at(head, 12), u32_at(head, 16), u32_at(head, 20));
        if at != (place.shard.0, place.file, place.block) {
            let (shard, file, block) = at;
            let what = format!("the page of shard {shard}, file {file}, block {block} lies here");
            return Err(bad(&what));
        }
        let head = Self {
            bytes: u32_at(head, 24) as usize * BLOCK_BYTES,
            kind: head[10],
            payload_len: u32_at(head, 28) as usize,
            records: u32_at(head, 32),
            crc: u32_at(head, 36),
        };
        if head.payload_len > head.bytes.saturating_sub(HEAD_BYTES) || head.records == 0 {
            return Err(bad("lengths in the page header"));
        }
        let large = head.bytes > PAGE_BYTES;
        if head.kind != if large { KIND_LARGE } else { KIND_RECORDS } {
            return Err(bad("kind of the page"));
        }
        Ok(head)
    }
}

/// A checked page. Clones share its buffer.
#[derive(Clone, Debug)]
pub struct Page {
    // Aligned to ALIGN, and its payload has passed rkyv's validation: `new` and `finish` are the
    // only constructors.
    image: Bytes,
    payload_len: usize,
    records: u32,
}

impl Page {
    /// Checks a whole page read at `place` in `path`.
    pub fn new(image: Bytes, path: &str, place: &PagePlace) -> Result<Self, Fault> {
        let head = PageHead::read(&image, path, place)?;
        let bad = |what: &str| Fault::corrupt(path, place.offset(), what);
        if image.len() != head.bytes {
            return Err(bad("the file ends inside the page"));
        }
        if crc32c::crc32c(&image[HEAD_BYTES..]) != head.crc {
            return Err(bad("checksum of the page"));
        }
        let image = aligned(image);
        let payload = &image[HEAD_BYTES..HEAD_BYTES + head.payload_len];
        let body = rkyv::access::<ArchivedBody<'static>, rancor::Error>(payload)
            .map_err(|error| bad(&format!("records of the page: {error}")))?;
        if body.records.len() != head.records as usize {
            return Err(bad("number of records in the page"));
        }
        let revision = |r: &ArchivedRecord<'_>| (r.main.to_native(), r.sub.to_native());
        if !body.records.is_sorted_by(|a, b| revision(a) < revision(b)) {
            return Err(bad("order of the records in the page"));
        }
        Ok(Self {
            payload_len: head.payload_len,
            records: head.records,
            image,
        })
    }

    /// The bytes of the page as they lie in the file.
    pub fn image(&self) -> &Bytes {
        &self.image
    }

    /// Records in the page.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// The record `slot`.
    pub fn record(&self, slot: u32) -> Option<Record<'_>> {
        let record = self.body().get(slot as usize)?;
        Some(Record {
            key: &record.key,
            main: record.main.to_native(),
            sub: record.sub.to_native(),
            create_revision: record.create_revision.to_native(),
            version: record.version.to_native(),
            lease: record.lease.to_native(),
            value: &record.value,
        })
    }

    /// The value of record `slot`: a slice of the page's buffer, which it keeps alive.
    pub fn value(&self, slot: u32) -> Option<Bytes> {
        Some(self.keep(self.value_ref(slot)?))
    }

    /// A value of this page that keeps the page's buffer alive.
    pub fn keep(&self, value: &[u8]) -> Bytes {
        self.image.slice_ref(value)
    }

    /// The value of record `slot`, borrowed.
    pub fn value_ref(&self, slot: u32) -> Option<&[u8]> {
        Some(&self.body().get(slot as usize)?.value)
    }

    /// The revision of record `slot`.
    pub fn revision(&self, slot: u32) -> Option<Revision> {
        let record = self.body().get(slot as usize)?;
        Some(Revision::new(
            record.main.to_native(),
            record.sub.to_native(),
        ))
    }

    fn body(&self) -> &[ArchivedRecord<'static>] {
        let payload = &self.image[HEAD_BYTES..HEAD_BYTES + self.payload_len];
        // SAFETY: the only constructors are `PageDraft::finish`, whose payload is what rkyv has
        // just written, and `Page::new`, which validated this very payload. `Bytes` is immutable
        // and its buffer is aligned to ALIGN in both, more than the archive needs.
        let body = unsafe { rkyv::access_unchecked::<ArchivedBody<'static>>(payload) };
        &body.records
    }
}

/// The same bytes in a buffer aligned for the archive; copied only if they are not.
fn aligned(image: Bytes) -> Bytes {
    if image.as_ptr().addr().is_multiple_of(ALIGN) {
        return image;
    }
    let mut copy = AlignedVec::<ALIGN>::with_capacity(image.len());
    copy.extend_from_slice(&image);
    Bytes::from_owner(copy)
}

#[cfg(test)]
mod tests;
