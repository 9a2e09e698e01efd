//! The first block of a WAL segment: two copies of a header that says whose it is and where in
//! the lane it stands. Written by `wal`'s lane before any frame of the segment, read by recovery.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `STOAWAL\0` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | crc: CRC32C of bytes 16 to 80, continued from that of bytes 0 to 12 |
//! | 16 | 8 | cluster id |
//! | 24 | 8 | member id |
//! | 32 | 8 | number of the segment in its lane, from 1 |
//! | 40 | 8 | era: one opening of the node, from 1 |
//! | 48 | 8 | lsn of its first frame |
//! | 56 | 8 | bytes of the file |
//! | 64 | 4 | chain: crc of the frame before its first |
//! | 68 | 2 | lane |
//! | 70 | 10 | zero |
//! | 80 | | zeros to 2048, where the second copy starts; zeros to 4096 |
//!
//! Numbers are little-endian. crc is the seed of the frames' checksums. A header is written only
//! when every frame before its first is durable, and no frame is written before the header is:
//! so a valid header proves the frames before it, and only the last segment can have a torn tail.
//! The second copy lets one damaged sector pass: a header that is torn has no frames.

use super::checksum::{bytes_at, crc, put, u16_at, u32_at, u64_at};
use crate::ids::{ClusterId, LaneId, MemberId};
use crate::limits::BLOCK_BYTES;

/// Bytes of a segment before its first frame.
pub const HEADER_BYTES: usize = BLOCK_BYTES;

/// The version this code reads and writes.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"STOAWAL\0";
const USED_BYTES: usize = 80;
const COPIES_AT: [usize; 2] = [0, 2048];

const _: () = assert!(COPIES_AT[0] + USED_BYTES <= 512);
const _: () = assert!(COPIES_AT[1].is_multiple_of(512));
const _: () = assert!(COPIES_AT[1] + USED_BYTES <= HEADER_BYTES);

/// Whose log it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The member, of that cluster.
    pub member: MemberId,
}

/// What a segment's first block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose it is.
    pub identity: Identity,
    /// Its lane.
    pub lane: LaneId,
    /// Its number in the lane, from 1.
    pub number: u64,
    /// The opening of the node it was begun in, from 1.
    pub era: u64,
    /// Lsn of its first frame.
    pub first_lsn: u64,
    /// crc of the frame before its first.
    pub chain: u32,
    /// Bytes of the file.
    pub bytes: u64,
}

/// What the first block of a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A header, and the seed of its frames.
    Header(Header, u32),
    /// A header of a later format version.
    Newer(u32),
    /// No valid header.
    Nothing,
}

impl Header {
    /// Writes both copies into a zeroed block; returns the seed of the segment's frames.
    pub fn write(&self, block: &mut [u8]) -> u32 {
        let (first, second) = block.split_at_mut(COPIES_AT[1]);
        put(first, 0, MAGIC);
        put(first, 8, VERSION.to_le_bytes());
        put(first, 16, self.identity.cluster.0.to_le_bytes());
        put(first, 24, self.identity.member.0.to_le_bytes());
        put(first, 32, self.number.to_le_bytes());
        put(first, 40, self.era.to_le_bytes());
        put(first, 48, self.first_lsn.to_le_bytes());
        put(first, 56, self.bytes.to_le_bytes());
        put(first, 64, self.chain.to_le_bytes());
        put(first, 68, self.lane.0.to_le_bytes());
        let seed = checksum(first);
        put(first, 12, seed.to_le_bytes());
        second[..USED_BYTES].copy_from_slice(&first[..USED_BYTES]);
        seed
    }

    /// Reads the first block of a file.
    pub fn parse(block: &[u8]) -> Found {
        let mut found = Found::Nothing;
        for at in COPIES_AT {
            let Some(copy) = block.get(at..at + USED_BYTES) else {
                continue;
            };
            if bytes_at(copy, 0) != MAGIC {
                continue;
            }
            let version = u32_at(copy, 8);
            let seed = u32_at(copy, 12);
            if version == VERSION && checksum(copy) == seed {
                return Found::Header(Self::decode(copy), seed);
            }
            if version > VERSION {
                found = Found::Newer(version);
            }
        }
        found
    }

    fn decode(copy: &[u8]) -> Self {
        Self {
            identity: Identity {
                cluster: ClusterId(u64_at(copy, 16)),
                member: MemberId(u64_at(copy, 24)),
            },
            lane: LaneId(u16_at(copy, 68)),
            number: u64_at(copy, 32),
            era: u64_at(copy, 40),
            first_lsn: u64_at(copy, 48),
            chain: u32_at(copy, 64),
            bytes: u64_at(copy, 56),
        }
    }
}

fn checksum(copy: &[u8]) -> u32 {
    crc(crc(0, &copy[..12]), &copy[16..USED_BYTES])
}

#[cfg(test)]
mod tests;
