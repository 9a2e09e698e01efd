//! One frame of the WAL: a head of 64 bytes and the payload. Written by `wal`'s lane, read by its
//! reader and its recovery.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | durable: every frame up to this lsn was durable when this one was written |
//! | 8 | 4 | mark: CRC32C of durable and crc |
//! | 12 | 4 | crc: CRC32C of bytes 16 to the payload's end, continued from the segment's seed |
//! | 16 | 4 | length of the payload |
//! | 20 | 4 | chain: crc of the frame before |
//! | 24 | 8 | lsn, dense, from 1 |
//! | 32 | 8 | term |
//! | 40 | 8 | index |
//! | 48 | 8 | number of the segment |
//! | 56 | 2 | group |
//! | 58 | 1 | kind |
//! | 59 | 5 | zero |
//! | 64 | n | payload |
//!
//! Numbers are little-endian. Frames start at multiples of 16. `durable` is outside crc because
//! it is known only when the frame goes to the disk, and crc is chained before. The seed comes
//! from the segment's header, so a frame is valid in the one place it was written for: what a
//! recycled file still holds is not.

use super::checksum::{crc, put, u16_at, u32_at, u64_at};
use crate::ids::GroupId;

/// Bytes of a frame before its payload.
pub const HEAD_BYTES: usize = 64;

/// Frames start at multiples of this many bytes.
pub const ALIGN: usize = 16;

/// Where in a head the number of its segment is.
pub const SEGMENT_AT: usize = 48;

const CRC_FROM: usize = 16;

const _: () = assert!(HEAD_BYTES.is_multiple_of(ALIGN));
const _: () = assert!(SEGMENT_AT + 8 <= HEAD_BYTES);
const _: () = assert!(crate::limits::BLOCK_BYTES.is_multiple_of(HEAD_BYTES));
const _: () = assert!(crate::limits::BATCH_BYTES_MAX < u32::MAX as usize);

/// What a frame is, for the group it belongs to; the lane carries it and does not look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameHead {
    /// The group whose log this belongs to.
    pub group: GroupId,
    /// Meaning given by the group.
    pub kind: u8,
    /// Raft term.
    pub term: u64,
    /// Raft log index.
    pub index: u64,
}

/// A frame's place in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Number of the frame in the lane.
    pub lsn: u64,
    /// crc of the frame before it.
    pub chain: u32,
    /// Number of the segment it is in.
    pub segment: u64,
    /// The segment's seed.
    pub seed: u32,
}

/// A frame read back: everything but the payload, which follows its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub head: FrameHead,
    /// Its number in the lane.
    pub lsn: u64,
    /// Every frame up to this was durable when it was written.
    pub durable: u64,
    /// crc of the frame before it.
    pub chain: u32,
    /// Its own crc.
    pub crc: u32,
    /// Bytes of its payload.
    pub len: usize,
}

/// Bytes a frame takes with a payload of `payload` bytes, up to where the next may start.
pub const fn size(payload: usize) -> usize {
    (HEAD_BYTES + payload).next_multiple_of(ALIGN)
}

/// Writes a frame at the start of `out`, with nothing known durable, and returns its crc.
/// `payload` in total must have the length that `out` was sized for ([`size`]).
pub fn write(out: &mut [u8], head: FrameHead, link: Link, payload: &[&[u8]]) -> u32 {
    let mut at = HEAD_BYTES;
    for piece in payload {
        out[at..at + piece.len()].copy_from_slice(piece);
        at += piece.len();
    }
    put(out, 16, ((at - HEAD_BYTES) as u32).to_le_bytes());
    put(out, 20, link.chain.to_le_bytes());
    put(out, 24, link.lsn.to_le_bytes());
    put(out, 32, head.term.to_le_bytes());
    put(out, 40, head.index.to_le_bytes());
    put(out, SEGMENT_AT, link.segment.to_le_bytes());
    put(out, 56, head.group.0.to_le_bytes());
    put(out, 58, [head.kind, 0, 0, 0, 0, 0]);
    let sum = crc(link.seed, &out[CRC_FROM..at]);
    put(out, 12, sum.to_le_bytes());
    mark(out, 0);
    sum
}

/// Notes in the frame at the start of `out` that every frame up to `durable` is durable.
pub fn mark(out: &mut [u8], durable: u64) {
    put(out, 0, durable.to_le_bytes());
    let sum = crc(crc(0, &out[..8]), &out[12..16]);
    put(out, 8, sum.to_le_bytes());
}

/// The frame at the start of `bytes`, if it is whole and was written for this segment. `bytes`
/// may go on behind it. The caller checks lsn and chain.
pub fn parse(bytes: &[u8], segment: u64, seed: u32) -> Option<Frame> {
    let len = u32_at(bytes, 16) as usize;
    let end = HEAD_BYTES.checked_add(len)?;
    if bytes.len() < end || u64_at(bytes, SEGMENT_AT) != segment {
        return None;
    }
    let frame = Frame {
        head: FrameHead {
            group: GroupId(u16_at(bytes, 56)),
            kind: bytes[58],
            term: u64_at(bytes, 32),
            index: u64_at(bytes, 40),
        },
        lsn: u64_at(bytes, 24),
        durable: u64_at(bytes, 0),
        chain: u32_at(bytes, 20),
        crc: u32_at(bytes, 12),
        len,
    };
    let marked = crc(crc(0, &bytes[..8]), &bytes[12..16]) == u32_at(bytes, 8);
    let whole = crc(seed, &bytes[CRC_FROM..end]) == frame.crc;
    (marked && whole && frame.lsn > 0).then_some(frame)
}

/// The number of the segment that the frame head at the start of `bytes` names, valid or not.
pub fn segment_named(bytes: &[u8]) -> u64 {
    u64_at(bytes, SEGMENT_AT)
}

#[cfg(test)]
mod tests;
