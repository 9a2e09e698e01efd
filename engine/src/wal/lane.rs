//! One lane as its users hold it: append, read back, wait for durability, release. `group` and
//! the node's start call it; the owner spawns [`Lane::run`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;

use super::batch::{Segment, State, Whereabouts};
use super::error::{Tried, corrupt};
use super::signal::Signal;
use super::{Done, FrameHead, Identity, LaneTail, Lsn, Place, WalError, names};
use crate::env::{Disk, DiskFile, OpenMode};
use crate::format::frame::{self, HEAD_BYTES};
use crate::ids::LaneId;
use crate::limits::{BLOCK_BYTES, WAL_QUEUE_BYTES, WAL_SEGMENT_BYTES};

/// How a lane writes. A tuning profile says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneOptions {
    /// Bytes of a segment file: a multiple of the block, below 4 GiB.
    pub segment_bytes: u64,
    /// Write with O_DSYNC; else write, then sync.
    pub durable_writes: bool,
    /// Files kept ready for the next segments, at least 1.
    pub spare_segments: usize,
    /// Files kept in all, in use and ready, before released ones are removed rather than used
    /// again.
    pub keep_segments: usize,
    /// Bytes that may be queued and not yet being written.
    pub queue_bytes: usize,
}

impl Default for LaneOptions {
    fn default() -> Self {
        Self {
            segment_bytes: WAL_SEGMENT_BYTES,
            durable_writes: true,
            spare_segments: 2,
            keep_segments: 8,
            queue_bytes: WAL_QUEUE_BYTES,
        }
    }
}

/// What a lane did and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Direct writes of frames.
    pub writes: u64,
    /// Rounds made durable: one sync, or one set of durable writes, each.
    pub rounds: u64,
    /// Frames made durable.
    pub frames: u64,
    /// Bytes written with padding, headers and filling left out.
    pub bytes: u64,
    /// Segments written in full.
    pub filled: u64,
    /// Segments used again.
    pub recycled: u64,
    /// Segments removed.
    pub removed: u64,
    /// Segments that hold frames not released.
    pub segments: usize,
    /// Files ready for the next segments.
    pub ready: usize,
    /// Bytes queued.
    pub queued_bytes: usize,
    /// Whether the last attempt to prepare a segment found no space.
    pub starved: bool,
}

/// What an observer is told, so that the owner can take times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A round's writes are handed to the disk.
    RoundBegins,
    /// It is durable.
    RoundEnds {
        /// Bytes written.
        bytes: u64,
        /// Frames in it.
        frames: u64,
    },
}

/// Told of each stage as it happens.
pub type Observer = Rc<dyn Fn(Stage)>;

/// A lane. Clones share it.
pub struct Lane<D: Disk>(pub(super) Rc<Inner<D>>);

impl<D: Disk> Clone for Lane<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

pub(super) struct Inner<D: Disk> {
    pub(super) disk: D,
    /// The lane's own directory.
    pub(super) dir: String,
    pub(super) state: RefCell<State<D::File>>,
    /// A file to allocate buffers from.
    pub(super) buffers: D::File,
    /// Something to write.
    pub(super) work: Signal,
    /// Something to prepare, recycle or remove.
    pub(super) upkeep: Signal,
    /// Something became durable, or failed.
    pub(super) progress: Signal,
    pub(super) observer: RefCell<Option<Observer>>,
    pub(super) counts: Cell<LaneStats>,
}

impl<D: Disk> Lane<D> {
    /// Begins a new era of a lane below `dir`, in a new segment, after what [`super::recover`]
    /// found (`None`: the lane is new). What was recovered is durable when this returns; nobody
    /// may be told of it before.
    ///
    /// # Errors
    /// `Misuse` for options or an era that cannot be, `Exists` if the lane is there but `after`
    /// is `None`, `NoSpace`, `Io`.
    pub async fn create(
        disk: D,
        dir: String,
        lane: LaneId,
        era: u64,
        identity: Identity,
        after: Option<LaneTail>,
        options: LaneOptions,
    ) -> Result<Self, WalError> {
        let dir = names::lane_dir(&dir, lane);
        check(&options, era, lane, after.as_ref())?;
        disk.make_dir(&dir)
            .await
            .tried("make the directory", &dir)?;
        for above in names::with_parents(&dir) {
            disk.sync_dir(above)
                .await
                .tried("sync the directory", above)?;
        }
        let tail = after
            .as_ref()
            .map_or((0, 0), |tail| (tail.last_lsn.0, tail.chain));
        let mut state = State::new(identity, lane, era, options, tail);
        let next = after.as_ref().map_or(1, |tail| tail.next_segment);
        for old in after.iter().flat_map(|tail| &tail.segments) {
            let (segment, used) = reopen(&disk, &dir, old).await?;
            state.adopt(segment, used);
        }
        let mut counts = LaneStats::default();
        let mut ready =
            super::recycle::take_over(&disk, &dir, next, after.is_some(), options).await?;
        if ready.is_empty() {
            ready.push_back((
                next,
                super::recycle::fill(&disk, &dir, next, options).await?,
            ));
            counts.filled += 1;
        }
        let Some((number, file)) = ready.pop_front() else {
            return Err(WalError::Misuse("the log has no segment to begin with"));
        };
        state.ready = ready;
        state.begin(number, Some(file.clone()), &file);
        let lane = Self(Rc::new(Inner {
            disk,
            dir,
            state: RefCell::new(state),
            buffers: file,
            work: Signal::default(),
            upkeep: Signal::default(),
            progress: Signal::default(),
            observer: RefCell::new(None),
            counts: Cell::new(counts),
        }));
        lane.write_queued_header().await?;
        Ok(lane)
    }

    /// Queues a frame; the payload is given in pieces and copied once. `done` is called when it
    /// is durable or when it never will be, but not from here.
    ///
    /// # Errors
    /// `NoSpace` and `Busy` leave everything as it was and may pass; `TooLarge`; after a failed
    /// write or sync, that error; `Stopped`.
    pub fn append(
        &self,
        head: FrameHead,
        payload: &[&[u8]],
        done: Option<Done>,
    ) -> Result<(Lsn, Place), WalError> {
        let mut state = self.0.state.borrow_mut();
        let segment = state.segments.back().map(|segment| segment.number);
        let result = state.append(&self.0.buffers, head, payload, done);
        let switched = state.segments.back().map(|segment| segment.number) != segment;
        drop(state);
        match &result {
            Ok(_) => {
                self.0.work.notify();
                if switched {
                    self.0.upkeep.notify();
                }
            }
            Err(WalError::NoSpace) => self.retry_space(),
            Err(_) => {}
        }
        result
    }

    /// Waits until everything appended so far is durable.
    ///
    /// # Errors
    /// What stopped the lane before that.
    pub async fn flush(&self) -> Result<(), WalError> {
        let target = self.0.state.borrow().next_lsn - 1;
        self.0
            .progress
            .until(|| {
                let state = self.0.state.borrow();
                match &state.failed {
                    _ if state.durable >= target => Some(Ok(())),
                    Some(error) => Some(Err(error.clone())),
                    None => None,
                }
            })
            .await
    }

    /// The payload at `place`, its checksum verified; also of a frame that is not durable yet.
    ///
    /// # Errors
    /// `Released`, `NoSuchFrame`, `Corrupt`, `Io`, or what stopped the lane before it was
    /// durable.
    pub async fn read(&self, place: Place) -> Result<Bytes, WalError> {
        let look = || match self.0.state.borrow().locate(place) {
            Ok(Whereabouts::InFlight) => None,
            found => Some(found),
        };
        let (seed, file) = match self.0.progress.until(look).await? {
            Whereabouts::Memory(payload) => return Ok(payload),
            Whereabouts::Disk { seed, file } => (seed, file),
            Whereabouts::InFlight => return Err(WalError::Misuse("read before it was written")),
        };
        let path = names::segment(&self.0.dir, place.segment);
        let result = self.read_from(&path, file, place, seed).await;
        // What was released while it was read may be renamed or begun anew.
        match self.0.state.borrow().locate(place) {
            Err(error @ WalError::Released(_)) => Err(error),
            _ => result,
        }
    }

    async fn read_from(
        &self,
        path: &str,
        file: Option<D::File>,
        place: Place,
        seed: u32,
    ) -> Result<Bytes, WalError> {
        let file = match file {
            Some(file) => file,
            None => {
                let file = self
                    .0
                    .disk
                    .open(path, OpenMode::READ)
                    .await
                    .tried("open", path)?;
                let mut state = self.0.state.borrow_mut();
                let mut segments = state.segments.iter_mut();
                if let Some(segment) = segments.find(|known| known.number == place.segment) {
                    segment.file = Some(file.clone());
                }
                file
            }
        };
        let Some(start) = place.offset.checked_sub(HEAD_BYTES as u32) else {
            let Place {
                segment, offset, ..
            } = place;
            return Err(WalError::NoSuchFrame { segment, offset });
        };
        let start = u64::from(start);
        let len = place.len as usize;
        let bytes = file
            .read(start, HEAD_BYTES + len)
            .await
            .tried("read", path)?;
        match frame::parse(&bytes, place.segment, seed) {
            Some(frame) if frame.len == len => Ok(bytes.slice(HEAD_BYTES..HEAD_BYTES + len)),
            _ => corrupt(path, start, "the frame is damaged"),
        }
    }

    /// Frames below `below` are needed no more; [`Lane::run`] uses whole segments of them again.
    pub fn release(&self, below: Lsn) {
        let mut state = self.0.state.borrow_mut();
        state.released = state.released.max(below.0);
        drop(state);
        self.retry_space();
    }

    /// Space may be there again: [`Lane::run`] tries to prepare a segment if one is wanted. The
    /// lane counts as starved until that succeeds.
    pub fn retry_space(&self) {
        self.0.state.borrow_mut().retry = true;
        self.0.upkeep.notify();
    }

    /// Takes no more; [`Lane::run`] returns when what is queued is durable.
    pub fn stop(&self) {
        self.0.state.borrow_mut().stopping = true;
        self.0.work.notify();
    }

    /// The last frame that is durable, with all before it.
    pub fn durable(&self) -> Lsn {
        Lsn(self.0.state.borrow().durable)
    }

    /// What the next frame will be.
    pub fn next(&self) -> Lsn {
        Lsn(self.0.state.borrow().next_lsn)
    }

    /// Bytes in the lane from `lsn` to the end, to within 64 KiB.
    pub fn bytes_since(&self, lsn: Lsn) -> u64 {
        self.0.state.borrow().bytes_since(lsn.0)
    }

    /// Bytes on the disk that segments with frames not released take, whatever is used of them.
    pub fn held_bytes(&self) -> u64 {
        let state = self.0.state.borrow();
        state.segments.len() as u64 * state.options.segment_bytes
    }

    /// Bytes that one segment takes.
    pub fn segment_bytes(&self) -> u64 {
        self.0.state.borrow().options.segment_bytes
    }

    /// What the lane did and holds.
    pub fn stats(&self) -> LaneStats {
        let state = self.0.state.borrow();
        LaneStats {
            segments: state.segments.len(),
            ready: state.ready.len(),
            queued_bytes: state.queued_bytes,
            starved: state.starved,
            ..self.0.counts.get()
        }
    }

    /// Has `observer` told of each round's begin and end, so that it can take times.
    pub fn observe(&self, observer: Observer) {
        *self.0.observer.borrow_mut() = Some(observer);
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut LaneStats)) {
        let mut counts = self.0.counts.get();
        change(&mut counts);
        self.0.counts.set(counts);
    }
}

/// Makes an older segment durable again: the process may have been killed while the power stayed,
/// and what was read is then in a cache only, which nothing may rest on. Returns it with the bytes
/// used in it.
async fn reopen<D: Disk>(
    disk: &D,
    dir: &str,
    old: &super::TailSegment,
) -> Result<(Segment<D::File>, u64), WalError> {
    let &super::TailSegment {
        number,
        first_lsn,
        seed,
        bytes,
        used,
    } = old;
    let path = names::segment(dir, number);
    let file = disk
        .open(&path, OpenMode::WRITE)
        .await
        .tried("open", &path)?;
    file.sync().await.tried("sync", &path)?;
    let segment = Segment {
        number,
        first_lsn,
        seed,
        bytes,
        file: None,
        begun: true,
    };
    Ok((segment, used))
}

fn check(
    options: &LaneOptions,
    era: u64,
    lane: LaneId,
    after: Option<&LaneTail>,
) -> Result<(), WalError> {
    let bytes = options.segment_bytes;
    if !bytes.is_multiple_of(BLOCK_BYTES as u64) || bytes < 2 * BLOCK_BYTES as u64 {
        return Err(WalError::Misuse(
            "a log segment must be two or more blocks of 4096 bytes",
        ));
    }
    if bytes > u64::from(u32::MAX) {
        return Err(WalError::Misuse("a log segment must be smaller than 4 GiB"));
    }
    if options.spare_segments == 0 {
        return Err(WalError::Misuse(
            "a log lane needs at least one spare segment",
        ));
    }
    if options.keep_segments == 0 {
        return Err(WalError::Misuse("a log lane needs at least one segment"));
    }
    if era <= after.map_or(0, |tail| tail.era) {
        return Err(WalError::Misuse(
            "an opening of the log must have a later era",
        ));
    }
    if after.is_some_and(|tail| tail.lane != lane) {
        return Err(WalError::Misuse(
            "a log lane cannot follow another lane's tail",
        ));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests;
