//! Background work on one shard: sealing staged versions into pages, sweeping after a
//! compaction, rewriting page files full of garbage. All in bounded steps between other work.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use futures::channel::oneshot;
use futures::lock::Mutex;

use crate::env::Env;
use crate::error::{Class, Error};
use crate::format::fault::Fault;
use crate::group::types::LogId;
use crate::limits::STEP_KEYS;
use crate::mvcc::pages::{PageError, SealRecord};
use crate::mvcc::{PageSlot, Value};
use crate::shard::counts;
use crate::shard::dump::Dumps;
use crate::shard::shard_state::Shard;
use crate::shard::turn::yield_now;

/// What a shard without keys takes, bytes: its share of superblock, manifest and index files.
const EMPTY_BYTES: i64 = 4096;

/// State of the background work on one shard.
#[derive(Default)]
pub struct Upkeep {
    /// Entries applied since the last checkpoint, and the last revision in each.
    logged: RefCell<VecDeque<(LogId, Option<i64>)>>,
    /// The newest entry that a checkpoint may cover.
    covered: Cell<Option<LogId>>,
    /// One seal at a time.
    pub(super) sealing: Mutex<()>,
    waker: RefCell<Option<Waker>>,
    compact_waiters: RefCell<Vec<oneshot::Sender<()>>>,
    defragment_waiters: RefCell<Vec<oneshot::Sender<()>>>,
    /// The newest checkpoint begun.
    pub(super) begun: Cell<u64>,
    /// Staged value bytes from which on they are sealed.
    pub(super) seal_bytes: Cell<u64>,
    /// Staged value bytes from which on changes wait.
    pub(super) staged_bytes_max: Cell<u64>,
    /// Dumps under way; while there are any nothing is swept.
    pub(super) dumps: Dumps,
    sweep_wanted: Cell<bool>,
    rewrite_wanted: Cell<bool>,
    /// So much is staged that nothing more should be.
    pub(super) choked: Cell<bool>,
    /// The order was told that this shard is behind.
    pub(super) behind: Cell<bool>,
    pub(super) disk_full: Cell<bool>,
    failed: RefCell<Option<Error>>,
}

impl Upkeep {
    /// An entry was applied; `last` is the highest revision in it.
    pub fn logged(&self, log_id: LogId, last: Option<i64>) {
        self.logged.borrow_mut().push_back((log_id, last));
    }

    /// Revisions above `settled` in what was logged so far are void.
    pub fn clamp(&self, settled: i64) {
        for (_, last) in self.logged.borrow_mut().iter_mut() {
            *last = last.map(|last| last.min(settled));
        }
    }

    /// The last entry with nothing above `settled` in it or before it.
    pub fn covered(&self, settled: i64) -> Option<LogId> {
        let mut logged = self.logged.borrow_mut();
        while let Some((log_id, last)) = logged.front().copied()
            && last.is_none_or(|last| last <= settled)
        {
            self.covered.set(Some(log_id));
            logged.pop_front();
        }
        self.covered.get()
    }

    /// What the last checkpoint covers: [`Upkeep::covered`] as it was when that was begun.
    pub fn checkpointed(&self) -> Option<LogId> {
        self.covered.get()
    }

    /// Sets where the checkpoint that recovery loaded stands.
    pub fn set_covered(&self, at: Option<LogId>) {
        self.covered.set(at);
    }

    /// Whether the disk had no room for pages when last tried. Has it tried again.
    pub fn is_disk_full(&self) -> bool {
        if self.disk_full.get() {
            self.poke();
        }
        self.disk_full.get()
    }

    /// Why the shard's disk is given up, if it is.
    pub fn failed(&self) -> Option<Error> {
        self.failed.borrow().clone()
    }

    /// Wakes the background task.
    pub fn poke(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl<E: Env> Shard<E> {
    /// Looks, after something was staged, whether there is enough to seal.
    pub(super) fn note_staged(&self) {
        let staged = self.store.borrow().index.stats().staged_bytes;
        if staged > self.upkeep.seal_bytes.get() {
            self.upkeep.poke();
        }
        self.account();
    }

    /// Tells the order how much this shard takes and how much of it lives.
    pub(super) fn account(&self) {
        let store = self.store.borrow();
        let pages = store.pages.stats();
        let index = store.index.stats();
        self.note_pace(index.staged_bytes);
        // What is staged and indexed will be written, and a shard is never nothing.
        let staged = (index.staged_bytes + index.stored_bytes) as i64 + EMPTY_BYTES;
        let used = pages.allocated_bytes as i64 + staged;
        let live = (pages.live_bytes as i64).min(pages.allocated_bytes as i64) + staged;
        self.desk.account(self.id, used, live);
    }

    /// The background task: seals, sweeps, rewrites, as wanted. Returns when the disk fails.
    pub async fn maintain(self: Rc<Self>) {
        loop {
            let worked = match self.work().await {
                Ok(worked) => worked,
                Err(error) if error.class() != Class::Fatal => {
                    // A full disk: nothing is lost, what is staged stays in memory and the log.
                    self.upkeep.disk_full.set(true);
                    self.account();
                    false
                }
                Err(PageError::Fault(error @ Fault::Corrupt { .. })) => {
                    // What is damaged stays where it is, to be reported to whoever reads it; what
                    // is sound is still served.
                    tracing::error!(%error, "a page file is damaged and is not rewritten");
                    self.rewrite_ended();
                    false
                }
                Err(error) => return self.fail(&error),
            };
            self.let_in();
            if !worked {
                let mut parked = false;
                poll_fn(|cx| {
                    if std::mem::replace(&mut parked, true) {
                        return Poll::Ready(());
                    }
                    *self.upkeep.waker.borrow_mut() = Some(cx.waker().clone());
                    Poll::Pending
                })
                .await;
            }
        }
    }

    /// The shard's disk is given up: the node must stop.
    pub(super) fn fail(&self, error: &PageError) {
        let error = Error::from(error.clone());
        *self.upkeep.failed.borrow_mut() = Some(error.clone());
        self.desk.stop(&error);
    }

    async fn work(&self) -> Result<bool, PageError> {
        let mut worked = false;
        if self.store.borrow().index.stats().staged_bytes > self.upkeep.seal_bytes.get() {
            worked |= self.seal_some(self.desk.order.settled()).await?;
        }
        if self.upkeep.sweep_wanted.get() && self.upkeep.dumps.borrow().is_empty() {
            self.sweep_step();
            worked = true;
        } else if self.upkeep.rewrite_wanted.get() {
            self.rewrite_step().await?;
            worked = true;
        }
        yield_now::<E>().await;
        Ok(worked)
    }

    /// Begins forgetting versions below `revision`. Resolves at once, or when the sweep is over.
    ///
    /// # Errors
    /// The node stopped.
    pub(super) async fn compact(&self, revision: i64, wait: bool) -> Result<(), Error> {
        self.store.borrow_mut().index.compact_begin(revision);
        self.upkeep.sweep_wanted.set(true);
        self.upkeep.poke();
        if !wait {
            return Ok(());
        }
        let (sender, receiver) = oneshot::channel();
        self.upkeep.compact_waiters.borrow_mut().push(sender);
        receiver.await.map_err(|_| Error::Stopped)
    }

    fn sweep_step(&self) {
        let mut dropped: Vec<PageSlot> = Vec::new();
        let done = {
            let mut store = self.store.borrow_mut();
            let before = store.index.stats().versions;
            let done = store.index.compact_step(STEP_KEYS, &mut dropped);
            let gone = before.saturating_sub(store.index.stats().versions);
            counts::add(&self.desk.counts.compacted, gone);
            dropped.iter().for_each(|slot| store.pages.dead(slot));
            done
        };
        if done {
            self.upkeep.sweep_wanted.set(false);
            self.upkeep.rewrite_wanted.set(true);
            for waiter in self.upkeep.compact_waiters.borrow_mut().drain(..) {
                let _ = waiter.send(());
            }
        }
        self.account();
    }

    /// Finishes the rewriting of pages early. The space goes back with the next checkpoint.
    ///
    /// # Errors
    /// The node stopped.
    pub(super) async fn defragment(&self) -> Result<(), Error> {
        let (sender, receiver) = oneshot::channel();
        self.upkeep.defragment_waiters.borrow_mut().push(sender);
        self.upkeep.rewrite_wanted.set(true);
        self.upkeep.poke();
        receiver.await.map_err(|_| Error::Stopped)
    }

    /// Rewrites one file, if one is worth it.
    async fn rewrite_step(&self) -> Result<(), PageError> {
        let force = !self.upkeep.defragment_waiters.borrow().is_empty();
        let pages = self.store.borrow().pages.clone();
        if force {
            pages.rotate().await;
        }
        let Some(work) = pages.garbage(force) else {
            self.rewrite_ended();
            return Ok(());
        };
        let mut block = Some(0);
        while let Some(from) = block {
            let chunk = pages.records(work.file, from).await?;
            self.rewrite(chunk.records).await?;
            block = chunk.next;
            yield_now::<E>().await;
        }
        pages.retire(work.file, self.upkeep.begun.get());
        self.account();
        Ok(())
    }

    fn rewrite_ended(&self) {
        self.upkeep.rewrite_wanted.set(false);
        for waiter in self.upkeep.defragment_waiters.borrow_mut().drain(..) {
            let _ = waiter.send(());
        }
    }

    async fn rewrite(&self, records: Vec<(PageSlot, SealRecord)>) -> Result<(), PageError> {
        let _only = self.upkeep.sealing.lock().await;
        let mut live = records;
        live.retain(|(slot, record)| self.names(slot, record));
        if live.is_empty() {
            return Ok(());
        }
        let pages = self.store.borrow().pages.clone();
        let slots = pages
            .seal(live.iter().map(|(_, record)| record.clone()).collect())
            .await?;
        let mut store = self.store.borrow_mut();
        for ((_, record), slot) in live.iter().zip(slots) {
            let sealed = Value::Sealed(slot);
            match store.index.reseat(&record.key, record.revision, sealed) {
                Some(Value::Sealed(former)) => pages.dead(&former),
                Some(_) => {}
                None => pages.dead(&slot),
            }
        }
        Ok(())
    }

    fn names(&self, slot: &PageSlot, record: &SealRecord) -> bool {
        let store = self.store.borrow();
        let version = store.index.version_of(&record.key, record.revision);
        version.is_some_and(|version| version.value == Value::Sealed(*slot))
    }
}
