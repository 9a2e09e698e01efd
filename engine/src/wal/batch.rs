//! Gathers frames in aligned buffers and gives each its place; plain state, no waiting. Called by
//! the lane (append, read), its writer (what to write next) and its keeper (segments).

use std::collections::VecDeque;

use super::{Done, FrameHead, LaneOptions, Lsn, Place, WalError};
use crate::env::DiskFile;
use crate::format::frame::{self, HEAD_BYTES, Link};
use crate::format::segment::{HEADER_BYTES, Header, Identity};
use crate::ids::LaneId;
use crate::limits::{BLOCK_BYTES, WAL_BUFFER_BYTES, WAL_ROUND_BYTES, WAL_ROUND_WRITES};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Lane bytes between two entries of the table behind `bytes_since`.
const MARK_BYTES: u64 = 64 << 10;

/// A segment that is begun or about to be.
pub(super) struct Segment<F> {
    pub(super) number: u64,
    pub(super) first_lsn: u64,
    pub(super) seed: u32,
    /// Bytes of the file.
    pub(super) bytes: u64,
    /// None until it is prepared, or for an older era's until it is read.
    pub(super) file: Option<F>,
    /// Its header is durable.
    pub(super) begun: bool,
}

/// Frames for one write, which starts at a fresh block.
pub(super) struct Chunk<F: DiskFile> {
    segment: u64,
    offset: u64,
    buf: F::Buf,
    used: usize,
    last_lsn: u64,
    frames: u64,
    dones: Vec<Done>,
}

enum Work<F: DiskFile> {
    Begin(u64, F::Buf),
    Frames(Chunk<F>),
}

/// What the writer does next.
pub(super) enum Round<F: DiskFile> {
    /// Writes a header and makes it durable.
    Begin { number: u64, file: F, block: F::Buf },
    /// Writes frames, all at once, and makes them durable.
    Frames {
        file: F,
        writes: Vec<(u64, F::Buf)>,
        end: RoundEnd,
    },
    /// Nothing is left and the lane is to stop.
    Stop,
}

/// What holds when a round of frames is durable.
#[derive(Clone, Copy)]
pub(super) struct RoundEnd {
    pub(super) segment: u64,
    pub(super) last_lsn: u64,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) frames: u64,
}

/// Where a frame that is to be read is now.
pub(super) enum Whereabouts<F> {
    Memory(bytes::Bytes),
    Disk { seed: u32, file: Option<F> },
    InFlight,
}

/// Everything a lane knows.
pub(super) struct State<F: DiskFile> {
    pub(super) identity: Identity,
    pub(super) lane: LaneId,
    pub(super) era: u64,
    pub(super) options: LaneOptions,
    /// Oldest first; frames go to the last.
    pub(super) segments: VecDeque<Segment<F>>,
    /// Prepared for the numbers that follow the last segment's.
    pub(super) ready: VecDeque<(u64, F)>,
    queue: VecDeque<Work<F>>,
    /// Where the next write in the last segment starts.
    cursor: u64,
    pub(super) next_lsn: u64,
    pub(super) chain: u32,
    pub(super) durable: u64,
    /// Everything before this segment and offset is durable.
    durable_end: (u64, u64),
    pub(super) queued_bytes: usize,
    /// Of the round that is being written.
    flying: Vec<Done>,
    pub(super) failed: Option<WalError>,
    pub(super) stopping: bool,
    pub(super) released: u64,
    /// The disk is full: no segment can be prepared.
    pub(super) starved: bool,
    /// It is worth another try.
    pub(super) retry: bool,
    /// (lsn, lane bytes before it), every so often.
    marks: VecDeque<(u64, u64)>,
    position: u64,
    buffer_bytes: usize,
}

impl<F: DiskFile> State<F> {
    pub(super) fn new(
        identity: Identity,
        lane: LaneId,
        era: u64,
        options: LaneOptions,
        tail: (u64, u32),
    ) -> Self {
        Self {
            identity,
            lane,
            era,
            options,
            segments: VecDeque::new(),
            ready: VecDeque::new(),
            queue: VecDeque::new(),
            cursor: 0,
            next_lsn: tail.0 + 1,
            chain: tail.1,
            durable: tail.0,
            durable_end: (0, 0),
            queued_bytes: 0,
            flying: Vec::new(),
            failed: None,
            stopping: false,
            released: 0,
            starved: false,
            retry: false,
            marks: VecDeque::new(),
            position: 0,
            buffer_bytes: WAL_BUFFER_BYTES,
        }
    }

    /// Takes a segment of an older era into account, oldest first.
    pub(super) fn adopt(&mut self, segment: Segment<F>, used: u64) {
        self.marks.push_back((segment.first_lsn, self.position));
        self.position += used;
        self.segments.push_back(segment);
    }

    /// Begins segment `number`: its header goes before the frames that follow.
    pub(super) fn begin(&mut self, number: u64, file: Option<F>, buffers: &F) {
        let header = Header {
            identity: self.identity,
            lane: self.lane,
            number,
            era: self.era,
            first_lsn: self.next_lsn,
            chain: self.chain,
            bytes: self.options.segment_bytes,
        };
        let mut block = buffers.alloc(HEADER_BYTES);
        let seed = header.write(block.as_mut());
        self.queue.push_back(Work::Begin(number, block));
        self.segments.push_back(Segment {
            number,
            first_lsn: self.next_lsn,
            seed,
            bytes: self.options.segment_bytes,
            file,
            begun: false,
        });
        self.cursor = HEADER_BYTES as u64;
    }

    /// The most bytes a payload may have.
    pub(super) fn payload_max(&self) -> u64 {
        self.options.segment_bytes - HEADER_BYTES as u64 - HEAD_BYTES as u64
    }

    /// Queues a frame. Nothing has changed if it fails.
    pub(super) fn append(
        &mut self,
        buffers: &F,
        head: FrameHead,
        payload: &[&[u8]],
        done: Option<Done>,
    ) -> Result<(Lsn, Place), WalError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.stopping {
            return Err(WalError::Stopped);
        }
        let len: usize = payload.iter().map(|piece| piece.len()).sum();
        if len as u64 > self.payload_max() {
            return Err(WalError::TooLarge {
                len: len as u64,
                max: self.payload_max(),
            });
        }
        let size = frame::size(len);
        if self.queued_bytes > 0 && self.queued_bytes + size > self.options.queue_bytes {
            return Err(WalError::Busy);
        }
        self.make_room(buffers, size)?;
        let (Some(Work::Frames(chunk)), Some(segment)) =
            (self.queue.back_mut(), self.segments.back())
        else {
            return Err(WalError::Misuse("the log made no room for a frame"));
        };
        let lsn = self.next_lsn;
        let link = Link {
            lsn,
            chain: self.chain,
            segment: segment.number,
            seed: segment.seed,
        };
        let at = chunk.used;
        let out = &mut chunk.buf.as_mut()[at..at + size];
        self.chain = frame::write(out, head, link, payload);
        chunk.used += size;
        chunk.last_lsn = lsn;
        chunk.frames += 1;
        chunk.dones.extend(done);
        let offset = chunk.offset + (at + HEAD_BYTES) as u64;
        self.cursor = chunk.offset + (chunk.used as u64).next_multiple_of(BLOCK);
        self.next_lsn += 1;
        self.queued_bytes += size;
        if self
            .marks
            .back()
            .is_none_or(|mark| self.position >= mark.1 + MARK_BYTES)
        {
            self.marks.push_back((lsn, self.position));
        }
        self.position += size as u64;
        let (segment, offset, len) = (segment.number, offset as u32, len as u32);
        Ok((
            Lsn(lsn),
            Place {
                lane: self.lane,
                segment,
                offset,
                len,
            },
        ))
    }

    /// Sees to it that the last piece of work is a chunk with room for `size` bytes.
    fn make_room(&mut self, buffers: &F, size: usize) -> Result<(), WalError> {
        if let Some(Work::Frames(chunk)) = self.queue.back()
            && chunk.used + size <= chunk.buf.as_ref().len()
        {
            return Ok(());
        }
        let need = size.next_multiple_of(BLOCK_BYTES);
        let Some(last) = self.segments.back() else {
            return Err(WalError::Misuse("the log has no segment"));
        };
        if self.cursor + need as u64 > last.bytes {
            let number = last.number + 1;
            // One segment may be written to before its file is there, but not two.
            let file = match self.ready.pop_front() {
                Some((_, file)) => Some(file),
                None if self.starved => return Err(WalError::NoSpace),
                None if last.file.is_none() => return Err(WalError::Busy),
                None => None,
            };
            self.begin(number, file, buffers);
        }
        let left = (self.options.segment_bytes - self.cursor) as usize;
        let bytes = need.max(self.buffer_bytes).min(left);
        self.queue.push_back(Work::Frames(Chunk {
            segment: self.segments.back().map_or(0, |segment| segment.number),
            offset: self.cursor,
            buf: buffers.alloc(bytes),
            used: 0,
            last_lsn: 0,
            frames: 0,
            dones: Vec::new(),
        }));
        Ok(())
    }

    /// What to write now, if anything can be.
    pub(super) fn take(&mut self, buffers: &F) -> Option<Round<F>> {
        if self.failed.is_some() {
            return Some(Round::Stop);
        }
        let number = match self.queue.front() {
            Some(Work::Begin(number, _)) => *number,
            Some(Work::Frames(chunk)) => chunk.segment,
            None if self.stopping => return Some(Round::Stop),
            None => return None,
        };
        let found = self
            .segments
            .iter()
            .rev()
            .find(|segment| segment.number == number);
        let Some(file) = found.and_then(|segment| segment.file.clone()) else {
            // The file is not prepared yet. If it cannot be, a stop must not wait for it.
            return (self.stopping && self.starved).then_some(Round::Stop);
        };
        if let Some(Work::Begin(number, block)) = self
            .queue
            .pop_front_if(|work| matches!(work, Work::Begin(..)))
        {
            return Some(Round::Begin {
                number,
                file,
                block,
            });
        }
        Some(self.take_frames(buffers, number, file))
    }

    fn take_frames(&mut self, buffers: &F, number: u64, file: F) -> Round<F> {
        let mut end = RoundEnd {
            segment: number,
            last_lsn: 0,
            offset: 0,
            bytes: 0,
            frames: 0,
        };
        let mut writes = Vec::new();
        let in_segment =
            |work: &mut Work<F>| matches!(work, Work::Frames(chunk) if chunk.segment == number);
        while writes.len() < WAL_ROUND_WRITES
            && end.bytes < WAL_ROUND_BYTES as u64
            && let Some(Work::Frames(mut chunk)) = self.queue.pop_front_if(in_segment)
        {
            let len = chunk.used.next_multiple_of(BLOCK_BYTES);
            frame::mark(chunk.buf.as_mut(), self.durable);
            writes.push((chunk.offset, buffers.trim(chunk.buf, len)));
            self.flying.append(&mut chunk.dones);
            self.queued_bytes -= chunk.used;
            end.last_lsn = chunk.last_lsn;
            end.offset = chunk.offset + len as u64;
            end.bytes += len as u64;
            end.frames += chunk.frames;
        }
        // The next buffer is sized for what comes between two rounds now.
        let wanted = (end.bytes as usize * 2).next_power_of_two();
        self.buffer_bytes = wanted.clamp(4 * BLOCK_BYTES, WAL_BUFFER_BYTES);
        Round::Frames { file, writes, end }
    }

    /// The header of `number` is durable.
    pub(super) fn begun(&mut self, number: u64) {
        if let Some(segment) = self
            .segments
            .iter_mut()
            .find(|segment| segment.number == number)
        {
            segment.begun = true;
        }
        self.durable_end = (number, HEADER_BYTES as u64);
    }

    /// A round is durable: whom to tell.
    pub(super) fn complete(&mut self, end: RoundEnd) -> Vec<Done> {
        self.durable = end.last_lsn;
        self.durable_end = (end.segment, end.offset);
        std::mem::take(&mut self.flying)
    }

    /// Nothing more can become durable: whom to tell.
    pub(super) fn fail(&mut self, error: &WalError) -> Vec<Done> {
        self.failed.get_or_insert_with(|| error.clone());
        self.queued_bytes = 0;
        let mut dones = std::mem::take(&mut self.flying);
        for work in self.queue.drain(..) {
            if let Work::Frames(mut chunk) = work {
                dones.append(&mut chunk.dones);
            }
        }
        dones
    }

    /// Where to read `place`.
    pub(super) fn locate(&self, place: Place) -> Result<Whereabouts<F>, WalError> {
        let found = self
            .segments
            .iter()
            .find(|segment| segment.number == place.segment);
        let Some(segment) = found else {
            let oldest = self
                .segments
                .front()
                .map_or(u64::MAX, |segment| segment.number);
            return Err(if place.segment < oldest {
                WalError::Released(place.segment)
            } else {
                WalError::NoSuchFrame {
                    segment: place.segment,
                    offset: place.offset,
                }
            });
        };
        let at = u64::from(place.offset);
        if (place.segment, at) < self.durable_end {
            return Ok(Whereabouts::Disk {
                seed: segment.seed,
                file: segment.file.clone(),
            });
        }
        for work in &self.queue {
            if let Work::Frames(chunk) = work
                && chunk.segment == place.segment
                && (chunk.offset..chunk.offset + chunk.used as u64).contains(&at)
            {
                let from = (at - chunk.offset) as usize;
                let payload = chunk.buf.as_ref()[..chunk.used].get(from..from + place.len as usize);
                let payload = payload.map(bytes::Bytes::copy_from_slice);
                let missing = WalError::NoSuchFrame {
                    segment: place.segment,
                    offset: place.offset,
                };
                return payload.map(Whereabouts::Memory).ok_or(missing);
            }
        }
        let appended = self
            .segments
            .back()
            .map_or((0, 0), |last| (last.number, self.cursor));
        if (place.segment, at) < appended {
            return Ok(Whereabouts::InFlight);
        }
        Err(WalError::NoSuchFrame {
            segment: place.segment,
            offset: place.offset,
        })
    }

    /// Lane bytes from `lsn` to the end, to within 64 KiB.
    pub(super) fn bytes_since(&self, lsn: u64) -> u64 {
        if lsn >= self.next_lsn {
            return 0;
        }
        let after = self.marks.partition_point(|mark| mark.0 <= lsn);
        let start = after
            .checked_sub(1)
            .or((!self.marks.is_empty()).then_some(0));
        start.map_or(0, |mark| self.position - self.marks[mark].1)
    }

    /// Takes out the oldest segment, if every frame in it is released and what follows is begun.
    pub(super) fn take_released(&mut self) -> Option<Segment<F>> {
        let next = self.segments.get(1)?;
        let limit = self.released.min(self.durable + 1);
        if !next.begun || next.first_lsn > limit {
            return None;
        }
        let first_kept = next.first_lsn;
        while self.marks.get(1).is_some_and(|mark| mark.0 <= first_kept) {
            self.marks.pop_front();
        }
        self.segments.pop_front()
    }

    /// The number of the next file to prepare, if one is wanted; with `at_hand`, a file that
    /// needs no filling, also if it is merely worth keeping.
    pub(super) fn wanted(&self, at_hand: bool) -> Option<u64> {
        let last = self.segments.back()?;
        if last.file.is_none() {
            return Some(last.number);
        }
        let next = self.ready.back().map_or(last.number, |ready| ready.0) + 1;
        let files = self.segments.len() + self.ready.len();
        let keep = at_hand && files < self.options.keep_segments;
        (keep || self.ready.len() < self.options.spare_segments).then_some(next)
    }

    /// A file is prepared as segment `number`.
    pub(super) fn prepared(&mut self, number: u64, file: F) {
        self.starved = false;
        match self.segments.back_mut() {
            Some(last) if last.number == number => last.file = Some(file),
            _ => self.ready.push_back((number, file)),
        }
    }
}
