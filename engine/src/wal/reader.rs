//! Walks the frames of one segment held in memory, and tells a torn tail from damage. Pure;
//! called by recovery.

use bytes::Bytes;

use crate::format::frame::{self, Frame, HEAD_BYTES};
use crate::format::segment::HEADER_BYTES;
use crate::limits::BLOCK_BYTES;

/// A segment's bytes and what makes a frame valid in it.
pub(super) struct Segment {
    pub(super) bytes: Bytes,
    pub(super) number: u64,
    pub(super) seed: u32,
}

/// Where a walk stands: the next frame's number, its predecessor's crc, and where it may start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    pub(super) lsn: u64,
    pub(super) chain: u32,
    pub(super) at: usize,
}

impl Cursor {
    pub(super) fn new(lsn: u64, chain: u32) -> Self {
        Self {
            lsn,
            chain,
            at: HEADER_BYTES,
        }
    }
}

impl Segment {
    /// The next frame and where it starts, or none where the valid part ends. A frame follows
    /// its predecessor, or starts the next write, at the next block.
    pub(super) fn next(&self, cursor: &mut Cursor) -> Option<(usize, Frame)> {
        let follows = cursor.at;
        let fresh = follows.next_multiple_of(BLOCK_BYTES);
        let found = self
            .frame_at(follows, cursor)
            .or_else(|| self.frame_at(fresh, cursor))?;
        let (at, frame) = found;
        *cursor = Cursor {
            lsn: frame.lsn + 1,
            chain: frame.crc,
            at: at + frame::size(frame.len),
        };
        Some(found)
    }

    fn frame_at(&self, at: usize, cursor: &Cursor) -> Option<(usize, Frame)> {
        let frame = frame::parse(self.bytes.get(at..)?, self.number, self.seed)?;
        (frame.lsn == cursor.lsn && frame.chain == cursor.chain).then_some((at, frame))
    }

    /// The payload of the frame at `at`, without a copy.
    pub(super) fn payload(&self, at: usize, frame: &Frame) -> Bytes {
        self.bytes
            .slice(at + HEAD_BYTES..at + HEAD_BYTES + frame.len)
    }

    /// Where the frame that the walk did not find should be.
    pub(super) fn missing_at(&self, cursor: Cursor) -> u64 {
        let head = self.bytes.get(cursor.at..).unwrap_or_default();
        let is_padding = head.iter().take(HEAD_BYTES).all(|byte| *byte == 0);
        let at = if is_padding {
            cursor.at.next_multiple_of(BLOCK_BYTES)
        } else {
            cursor.at
        };
        at as u64
    }

    /// Whether a frame behind the cursor proves that the missing one was durable.
    pub(super) fn was_durable(&self, cursor: Cursor) -> bool {
        let from = cursor.at.next_multiple_of(BLOCK_BYTES);
        (from..self.bytes.len()).step_by(BLOCK_BYTES).any(|at| {
            frame::parse(&self.bytes[at..], self.number, self.seed)
                .is_some_and(|frame| frame.durable >= cursor.lsn)
        })
    }
}
