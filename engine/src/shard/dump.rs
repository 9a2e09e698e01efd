//! The whole store at one settled revision, for snapshots: what a shard answers, and the merge over
//! all shards on the core that asks.
//!
//! While a dump is open no shard sweeps, so that a compaction cannot take away what the dump has
//! yet to read; compactions are decided and count meanwhile, only their versions go later. The dump
//! holds of the store what the last compaction before it left.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use openraft::type_config::TypeConfigExt;

use crate::env::Env;
use crate::error::Error;
use crate::group::types::Types;
use crate::ids::{Revision, ShardId};
use crate::limits::STEP_KEYS;
use crate::mvcc::Key;
use crate::mvcc::dump::{DumpBatch, DumpHead, DumpWalk};
use crate::shard::core::{Core, unexpected};
use crate::shard::message::{Answer, Ask, GroupStatus, Keep};
use crate::shard::read;
use crate::shard::shard_state::Shard;
use crate::shard::turn::{spawn, yield_now};

/// How long to wait before a shard is told again that a dump is over.
const CLOSE_AGAIN: Duration = Duration::from_millis(100);

/// Dumps that are open on one shard, by their ids.
pub(super) type Dumps = RefCell<BTreeMap<u64, Rc<RefCell<DumpWalk>>>>;

/// What is asked of a shard.
#[derive(Clone, Copy, Debug)]
pub enum DumpAsk {
    /// Sweep nothing from now on; say the compaction revision.
    Open,
    /// Find what there is at `at`, compacted at `compacted`.
    Gather {
        /// The settled revision.
        at: i64,
        /// The compaction revision.
        compacted: i64,
    },
    /// Go back to the first record.
    Rewind,
    /// The next records; lengths alone unless `values`.
    Next {
        /// Whether to send the records themselves.
        values: bool,
    },
    /// It is over.
    Close,
}

/// What core 0 knows at the revision of a dump.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The settled revision.
    pub revision: i64,
    /// Leases and the seconds granted.
    pub leases: Vec<(i64, i64)>,
    /// Alarms: member and kind.
    pub alarms: Vec<(u64, u8)>,
    /// State of group 0.
    pub group: GroupStatus,
}

impl<E: Env> Shard<E> {
    /// Answers what is asked about dump `id`.
    ///
    /// # Errors
    /// There is no such dump, or pages cannot be read.
    pub(super) async fn dump(self: &Rc<Self>, id: u64, ask: DumpAsk) -> Result<Answer, Error> {
        let walk = self.upkeep.dumps.borrow().get(&id).cloned();
        let walk = walk.ok_or(Error::Stopped);
        match ask {
            DumpAsk::Open => Ok(self.dump_open(id)),
            DumpAsk::Close => Ok(self.dump_close(id)),
            DumpAsk::Gather { at, compacted } => {
                let gathered = self.gather(at, compacted).await;
                *walk?.borrow_mut() = gathered;
                Ok(Answer::Done)
            }
            DumpAsk::Next { values } => self.dump_step(&*walk?, values).await,
            DumpAsk::Rewind => {
                walk?.borrow_mut().rewind();
                Ok(Answer::Done)
            }
        }
    }

    /// Sweeps nothing until the dump is closed. At once, as the closing is: in another order the
    /// shard would never sweep again.
    pub(super) fn dump_open(&self, id: u64) -> Answer {
        let walk = Rc::new(RefCell::new(DumpWalk::new(0, 0)));
        self.upkeep.dumps.borrow_mut().insert(id, walk);
        Answer::Revision(self.store.borrow().index.compacted())
    }

    /// The dump is over.
    pub(super) fn dump_close(&self, id: u64) -> Answer {
        self.upkeep.dumps.borrow_mut().remove(&id);
        self.upkeep.poke();
        Answer::Done
    }

    async fn gather(&self, at: i64, compacted: i64) -> DumpWalk {
        let mut walk = DumpWalk::new(at, compacted);
        let mut after: Option<Key> = None;
        loop {
            after = walk.gather(&self.store.borrow().index, after.as_deref(), STEP_KEYS);
            if after.is_none() {
                return walk;
            }
            yield_now::<E>().await;
        }
    }

    async fn dump_step(&self, walk: &RefCell<DumpWalk>, values: bool) -> Result<Answer, Error> {
        // Pages of one attempt must not push out those of the one before.
        let mut held = Vec::new();
        loop {
            let mut missing = Vec::new();
            let batch = {
                let store = self.store.borrow();
                let view = store.pages.view();
                let mut fetch = |slot: &_| view.peek(slot);
                let mut walk = walk.borrow_mut();
                walk.step(&store.index, values, &mut fetch, &mut missing)?
            };
            match batch {
                Some(batch) => return Ok(Answer::Dump(Box::new(batch))),
                None => {
                    let pages = self.store.borrow().pages.clone();
                    held.extend(read::load(&pages, &missing).await?);
                }
            }
        }
    }
}

/// A dump that is under way. Dropped, it is over.
pub struct Dump<E: Env> {
    core: Rc<Core<E>>,
    id: u64,
    kept: Kept,
    compacted: i64,
    values: bool,
    feeds: Vec<Feed>,
    /// The next record of each shard.
    heap: BinaryHeap<Reverse<(Revision, usize)>>,
    /// The shard whose record was given out last.
    given: Option<usize>,
}

/// What came from one shard and was not given out yet.
#[derive(Default)]
struct Feed {
    batch: DumpBatch,
    next: usize,
    offset: usize,
}

impl<E: Env> Dump<E> {
    /// Begins a dump of the store as it is now.
    ///
    /// # Errors
    /// The node does not lead or is stopping.
    pub async fn open(core: &Rc<Core<E>>) -> Result<Self, Error> {
        let mut dump = Self {
            core: core.clone(),
            id: core.desk.entropy.next_u64(),
            kept: Kept::default(),
            compacted: 0,
            values: false,
            feeds: Vec::new(),
            heap: BinaryHeap::new(),
            given: None,
        };
        for answer in dump.ask_all(DumpAsk::Open).await? {
            match answer {
                Answer::Revision(compacted) => dump.compacted = dump.compacted.max(compacted),
                other => return Err(unexpected(&other)),
            }
        }
        // Revision and leases in one turn of core 0, and after the shards hold still: a lease goes
        // from the table only after the deletion of its keys has settled.
        dump.kept = match core.keep(Keep::Kept).await? {
            Answer::Kept(kept) => *kept,
            other => return Err(unexpected(&other)),
        };
        let ask = DumpAsk::Gather {
            at: dump.kept.revision,
            compacted: dump.compacted,
        };
        dump.ask_all(ask).await?;
        Ok(dump)
    }

    /// What core 0 knows at the dump's revision.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// The compaction revision, 0 before the first.
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// Goes to the first record. With `values` records come with their bytes.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn rewind(&mut self, values: bool) -> Result<(), Error> {
        self.ask_all(DumpAsk::Rewind).await?;
        (self.values, self.given) = (values, None);
        self.heap.clear();
        self.feeds.clear();
        for place in 0..usize::from(self.core.desk.shards) {
            self.feeds.push(Feed::default());
            self.refill(place).await?;
        }
        Ok(())
    }

    /// The next record of all shards, by revision; `None` behind the last. Its bytes are its
    /// `mvccpb.KeyValue`.
    ///
    /// # Errors
    /// A page cannot be read, or the node is stopping.
    pub async fn next(&mut self) -> Result<Option<(DumpHead, &[u8])>, Error> {
        if let Some(place) = self.given.take() {
            self.refill(place).await?;
        }
        let Some(Reverse((_, place))) = self.heap.pop() else {
            return Ok(None);
        };
        self.given = Some(place);
        let feed = &mut self.feeds[place];
        let head = feed.batch.heads[feed.next];
        feed.next += 1;
        let bytes = if self.values {
            let start = feed.offset;
            feed.offset += head.len as usize;
            &feed.batch.bytes[start..feed.offset]
        } else {
            &[]
        };
        Ok(Some((head, bytes)))
    }

    /// Puts the next record of a shard in line, and has more of them sent when they run out.
    async fn refill(&mut self, place: usize) -> Result<(), Error> {
        let feed = &self.feeds[place];
        let is_first = feed.batch.heads.is_empty();
        if feed.next == feed.batch.heads.len() && (is_first || !feed.batch.is_last) {
            let ask = DumpAsk::Next {
                values: self.values,
            };
            let batch = match self.ask(ShardId(place as u16), ask).await? {
                Answer::Dump(batch) => *batch,
                other => return Err(unexpected(&other)),
            };
            self.feeds[place] = Feed {
                batch,
                ..Feed::default()
            };
        }
        let feed = &self.feeds[place];
        if let Some(head) = feed.batch.heads.get(feed.next) {
            self.heap.push(Reverse((head.revision, place)));
        }
        Ok(())
    }

    async fn ask(&self, shard: ShardId, ask: DumpAsk) -> Result<Answer, Error> {
        self.core.ask(shard, Ask::Dump(self.id, ask)).await
    }

    async fn ask_all(&self, ask: DumpAsk) -> Result<Vec<Answer>, Error> {
        let all = self.core.all_shards().map(|shard| self.ask(shard, ask));
        join_all(all).await.into_iter().collect()
    }
}

impl<E: Env> Drop for Dump<E> {
    fn drop(&mut self) {
        spawn::<E>(close(self.core.clone(), self.id));
    }
}

/// Tells every shard that the dump is over. A shard that is not told would never sweep again, so
/// one that is asked too much already is told later.
async fn close<E: Env>(core: Rc<Core<E>>, id: u64) {
    for shard in core.all_shards() {
        while let Err(Error::TooManyRequests) = core.ask(shard, Ask::Dump(id, DumpAsk::Close)).await
        {
            Types::<E>::sleep(CLOSE_AGAIN).await;
        }
    }
}
