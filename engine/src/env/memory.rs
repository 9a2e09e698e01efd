//! A disk in memory that keeps what [`super::disk`] promises and no more: seeded, so that the
//! same seed gives the same crash. The simulator and the tests of everything on disk call it.
//!
//! Operations complete when the owner says so ([`MemoryDisk::step`]) and in an order of the
//! seed's choosing. [`MemoryDisk::crash`] keeps what is durable and any part of what is not.

mod content;
mod handle;
mod random;
mod tree;

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;

use self::handle::Slot;
use self::random::{Random, mix};
use self::tree::{FileRef, Tree};
use super::OpenMode;
use crate::limits::BLOCK_BYTES;

pub use self::handle::{MemoryBuf, MemoryFile};

/// Which promise of durability is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncKind {
    /// A file's `sync`.
    File,
    /// A directory's `sync_dir`.
    Dir,
    /// A write on a file opened with `durable_writes`.
    Write,
}

/// What an operation does, for faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// Opens or creates a file.
    Open,
    /// Lists a directory.
    List,
    /// Removes a file.
    Remove,
    /// Renames a file; its path is the old one.
    Rename,
    /// Makes a directory.
    MakeDir,
    /// Syncs a directory.
    SyncDir,
    /// Writes to a file.
    Write,
    /// Reads a file.
    Read,
    /// Syncs a file.
    Sync,
    /// Asks for a length or for free space.
    Stat,
}

/// Says of a path and a promise that it is to be broken silently.
pub type SyncFilter = Rc<dyn Fn(&str, SyncKind) -> bool>;

/// The disk. Clones share it.
#[derive(Clone)]
pub struct MemoryDisk {
    world: Rc<RefCell<World>>,
}

/// Whether the future that [`MemoryDisk::run`] runs was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

enum Op {
    Open(OpenMode),
    List,
    Remove,
    Rename(String),
    MakeDir,
    SyncDir,
    Free,
    Write {
        file: FileRef,
        offset: u64,
        data: Rc<[u8]>,
        durable: bool,
    },
    Read {
        file: FileRef,
        offset: u64,
        len: usize,
    },
    Sync(FileRef),
    Len(FileRef),
}

enum Reply {
    Done,
    File(FileRef),
    Names(Vec<String>),
    Size(u64),
    Data(Bytes),
}

struct Pending {
    op: Op,
    path: String,
    slot: Rc<Slot>,
    /// The last completion before this was asked for: what a sync covers.
    seen: u64,
}

struct World {
    tree: Tree,
    random: Random,
    immediate: bool,
    /// Crashes so far; handles of an earlier count are dead.
    generation: u64,
    operations: u64,
    crash_at: Option<u64>,
    frozen: bool,
    completed: u64,
    pending: Vec<Pending>,
    /// Asked for after the point of the crash: never done.
    lost: Vec<Rc<Slot>>,
    trace: u64,
    capacity: Option<u64>,
    ignored: Option<SyncFilter>,
    faults: Vec<(String, OpKind)>,
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let world = World {
            tree: Tree::default(),
            random: Random::new(seed),
            immediate: false,
            generation: 0,
            operations: 0,
            crash_at: None,
            frozen: false,
            completed: 0,
            pending: Vec::new(),
            lost: Vec::new(),
            trace: 0,
            capacity: None,
            ignored: None,
            faults: Vec::new(),
        };
        Self {
            world: Rc::new(RefCell::new(world)),
        }
    }

    /// Whether operations complete as soon as they are asked for.
    pub fn set_immediate(&self, immediate: bool) {
        self.world.borrow_mut().immediate = immediate;
    }

    /// Completes one pending operation, of the seed's choosing. False if there is none, or if
    /// the point of an armed crash is reached.
    pub fn step(&self) -> bool {
        let woken = self.world.borrow_mut().step();
        woken.is_some_and(|slot| {
            slot.wake();
            true
        })
    }

    /// Runs a future to its end, completing operations when it waits. `None` if it waits for
    /// something else, or for ever because an armed crash was reached.
    pub fn run<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Some(output);
            }
            if !woken.0.swap(false, Ordering::Relaxed) && !self.step() {
                return None;
            }
        }
    }

    /// The power goes and comes back. What was not durable survives in part; what was pending
    /// fails; handles opened before are dead. Disarms [`MemoryDisk::crash_at`].
    pub fn crash(&self) {
        let dropped = self.world.borrow_mut().crash();
        for slot in dropped {
            slot.finish(Err(io::Error::other("the disk lost its power")));
            slot.wake();
        }
    }

    /// How many writes, syncs and changes of names were asked for so far.
    pub fn operations(&self) -> u64 {
        self.world.borrow().operations
    }

    /// Arms a crash: the operation of this number ([`MemoryDisk::operations`] once it is asked
    /// for) never completes, nor does any that is pending then or comes later, until
    /// [`MemoryDisk::crash`] is called.
    pub fn crash_at(&self, operation: u64) {
        self.world.borrow_mut().crash_at = Some(operation);
    }

    /// Whether the point of an armed crash was reached.
    pub fn is_frozen(&self) -> bool {
        self.world.borrow().frozen
    }

    /// From now on this many bytes can be added before writes fail with `StorageFull`.
    pub fn set_free_bytes(&self, bytes: u64) {
        let mut world = self.world.borrow_mut();
        world.capacity = Some(world.used().saturating_add(bytes));
    }

    /// The next operation of this kind on a path that begins so fails. A failed write may land
    /// in part; after a failed sync what was volatile can never be made durable.
    pub fn fail_next(&self, path: &str, kind: OpKind) {
        self.world.borrow_mut().faults.push((path.to_owned(), kind));
    }

    /// Turns one bit of a file over, for good. False if there is no such byte.
    pub fn flip_bit(&self, path: &str, offset: u64, bit: u8) -> bool {
        let file = self.world.borrow().tree.file(path);
        file.is_ok_and(|file| file.borrow_mut().flip(offset, bit))
    }

    /// Lets matching syncs succeed without making anything durable.
    pub fn ignore_sync(&self, filter: SyncFilter) {
        self.world.borrow_mut().ignored = Some(filter);
    }

    /// A hash over all operations and their outcomes so far: same seed, same callers, same
    /// trace.
    pub fn trace(&self) -> u64 {
        self.world.borrow().trace
    }

    /// All files and what a reader would see in them, sorted by path.
    pub fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        self.world.borrow().tree.each(&mut |path, content| {
            files.push((path.to_owned(), content.live().to_vec()));
        });
        files
    }

    fn generation(&self) -> u64 {
        self.world.borrow().generation
    }

    fn submit(&self, generation: u64, path: &str, op: Op) -> Rc<Slot> {
        let slot = Rc::new(Slot::default());
        self.world.borrow_mut().submit(generation, path, op, &slot);
        slot
    }
}

impl Op {
    fn kind(&self) -> OpKind {
        match self {
            Self::Open(_) => OpKind::Open,
            Self::List => OpKind::List,
            Self::Remove => OpKind::Remove,
            Self::Rename(_) => OpKind::Rename,
            Self::MakeDir => OpKind::MakeDir,
            Self::SyncDir => OpKind::SyncDir,
            Self::Free | Self::Len(_) => OpKind::Stat,
            Self::Write { .. } => OpKind::Write,
            Self::Read { .. } => OpKind::Read,
            Self::Sync(_) => OpKind::Sync,
        }
    }

    fn is_numbered(&self) -> bool {
        match self {
            Self::Open(mode) => mode.create_new,
            Self::List | Self::Free | Self::Read { .. } | Self::Len(_) => false,
            _ => true,
        }
    }
}

impl World {
    fn submit(&mut self, generation: u64, path: &str, op: Op, slot: &Rc<Slot>) {
        if generation != self.generation {
            slot.finish(Err(io::Error::other(format!(
                "{path}: opened before the power went"
            ))));
            return;
        }
        if self.frozen {
            self.lost.push(slot.clone());
            return;
        }
        if op.is_numbered() {
            self.operations += 1;
            self.frozen = self.crash_at == Some(self.operations);
        }
        let pending = Pending {
            op,
            path: path.to_owned(),
            slot: slot.clone(),
            seen: self.completed,
        };
        if self.immediate && !self.frozen {
            self.complete(pending);
        } else {
            self.pending.push(pending);
        }
    }

    fn step(&mut self) -> Option<Rc<Slot>> {
        if self.frozen || self.pending.is_empty() {
            return None;
        }
        let chosen = self.random.below(self.pending.len() as u64) as usize;
        let pending = self.pending.swap_remove(chosen);
        let slot = pending.slot.clone();
        self.complete(pending);
        Some(slot)
    }

    fn complete(&mut self, pending: Pending) {
        self.completed += 1;
        let Pending {
            op,
            path,
            slot,
            seen,
        } = pending;
        let kind = op.kind();
        let fault = self
            .faults
            .iter()
            .position(|(at, of)| *of == kind && path.starts_with(at));
        let result = match fault {
            Some(fault) => {
                self.faults.swap_remove(fault);
                self.fail(&op);
                Err(io::Error::other(format!("{path}: the disk failed")))
            }
            None => self.perform(op, &path, seen),
        };
        self.note(kind, &path, &result);
        slot.finish(result);
    }

    /// What a failing operation does before it fails.
    fn fail(&mut self, op: &Op) {
        match op {
            Op::Write {
                file, offset, data, ..
            } => {
                let random = &mut self.random;
                file.borrow_mut()
                    .write(self.completed, *offset, data, || random.coin());
            }
            Op::Sync(file) => file.borrow_mut().fail(),
            _ => {}
        }
    }

    fn perform(&mut self, op: Op, path: &str, seen: u64) -> io::Result<Reply> {
        let seq = self.completed;
        match op {
            Op::Open(mode) if mode.create_new => {
                return self.tree.create(seq, path).map(Reply::File);
            }
            Op::Open(_) => return self.tree.file(path).map(Reply::File),
            Op::List => return self.tree.list(path).map(Reply::Names),
            Op::Remove => self.tree.remove(seq, path)?,
            Op::Rename(to) => self.tree.rename(seq, path, &to)?,
            Op::MakeDir => self.tree.make_dir(seq, path)?,
            Op::SyncDir if self.ignores(path, SyncKind::Dir) => {}
            Op::SyncDir => self.tree.sync_dir(seen, path)?,
            Op::Free => return Ok(Reply::Size(self.free())),
            Op::Len(file) => return Ok(Reply::Size(file.borrow().live().len() as u64)),
            Op::Read { file, offset, len } => {
                let file = file.borrow();
                let start = file.live().len().min(offset as usize);
                let end = file.live().len().min(start + len);
                return Ok(Reply::Data(Bytes::copy_from_slice(
                    &file.live()[start..end],
                )));
            }
            Op::Sync(_) if self.ignores(path, SyncKind::File) => {}
            Op::Sync(file) => file.borrow_mut().sync(seen),
            Op::Write {
                file,
                offset,
                data,
                durable,
            } => {
                if file.borrow().growth(offset, data.len()) > self.free() {
                    let text = format!("{path}: no space is left");
                    return Err(io::Error::new(ErrorKind::StorageFull, text));
                }
                file.borrow_mut().write(seq, offset, &data, || true);
                if durable && !self.ignores(path, SyncKind::Write) {
                    file.borrow_mut().settle(offset, data.len());
                }
            }
        }
        Ok(Reply::Done)
    }

    fn ignores(&self, path: &str, kind: SyncKind) -> bool {
        self.ignored
            .as_ref()
            .is_some_and(|ignored| ignored(path, kind))
    }

    fn used(&self) -> u64 {
        let mut used = 0;
        self.tree
            .each(&mut |_, content| used += content.live().len() as u64);
        used
    }

    fn free(&self) -> u64 {
        self.capacity
            .map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    fn note(&mut self, kind: OpKind, path: &str, result: &io::Result<Reply>) {
        let mut sum = crc32c::crc32c(path.as_bytes()) as u64 ^ (kind as u64) << 56;
        sum ^= match result {
            Err(error) => 1 << 48 | crc32c::crc32c(error.to_string().as_bytes()) as u64,
            Ok(Reply::Data(data)) => 2 << 48 | crc32c::crc32c(data) as u64,
            Ok(Reply::Size(size)) => 3 << 48 ^ size,
            Ok(Reply::Names(names)) => 4 << 48 | names.len() as u64,
            Ok(Reply::Done | Reply::File(_)) => 0,
        };
        self.trace = mix(self.trace ^ mix(sum ^ self.operations << 32));
    }

    fn crash(&mut self) -> Vec<Rc<Slot>> {
        let mut dropped = std::mem::take(&mut self.lost);
        let mut pending = std::mem::take(&mut self.pending);
        while !pending.is_empty() {
            let chosen = self.random.below(pending.len() as u64) as usize;
            let Pending { op, path, slot, .. } = pending.swap_remove(chosen);
            dropped.push(slot);
            self.completed += 1;
            let seq = self.completed;
            // In flight: it lands as if it had just completed, that is, in part. A name that
            // cannot change any more simply does not.
            let _ = match op {
                Op::Write {
                    file, offset, data, ..
                } => {
                    file.borrow_mut().write(seq, offset, &data, || true);
                    Ok(())
                }
                Op::Open(mode) if mode.create_new => self.tree.create(seq, &path).map(|_| ()),
                Op::Remove => self.tree.remove(seq, &path),
                Op::Rename(to) => self.tree.rename(seq, &path, &to),
                Op::MakeDir => self.tree.make_dir(seq, &path),
                _ => Ok(()),
            };
        }
        self.tree.crash(&mut self.random);
        self.generation += 1;
        self.frozen = false;
        self.crash_at = None;
        self.faults.clear();
        self.trace = mix(self.trace ^ self.generation);
        dropped
    }
}

#[cfg(test)]
mod tests;
