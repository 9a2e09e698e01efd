//! What is asked of a shard and takes longer than a turn: long ranges, history, hashes.

use std::rc::Rc;

use bytes::Bytes;

use crate::env::Env;
use crate::error::Error;
use crate::event::{Event, KeyValue, Previous};
use crate::ids::Revision;
use crate::limits::STEP_KEYS;
use crate::mvcc::hash::{HashAsk, HashWalk};
use crate::mvcc::pages::Pinned;
use crate::mvcc::read::Step;
use crate::mvcc::{PageId, Version};
use crate::shard::evaluate;
use crate::shard::message::{Answer, Ask, History};
use crate::shard::read;
use crate::shard::shard_state::Shard;
use crate::shard::store::Store;
use crate::shard::turn::yield_now;

impl<E: Env> Shard<E> {
    /// Answers what [`Shard::submit`] cannot answer in a turn.
    ///
    /// # Errors
    /// As the question's own.
    pub(super) async fn slow(self: &Rc<Self>, ask: Ask) -> Result<Answer, Error> {
        match ask {
            Ask::Range { request, at } => read::range_in_steps(self, &request, at).await,
            Ask::History(wanted) => self.history(&wanted).await,
            Ask::Hash { at, keep_any } => self.hash(at, keep_any).await,
            Ask::Dump(id, ask) => self.dump(id, ask).await,
            Ask::Compact { revision, wait } => {
                self.compact(revision, wait).await.map(|()| Answer::Done)
            }
            Ask::Defragment => self.defragment().await.map(|()| Answer::Done),
            Ask::Checkpoint {
                generation,
                settled,
            } => self.checkpoint(generation, settled).await,
            Ask::Release { generation } => self.release(generation).await,
            Ask::SpanClose => {
                self.resume();
                Ok(Answer::Done)
            }
            other => Err(Error::Storage(format!("a shard cannot answer {other:?}"))),
        }
    }

    /// Events of the past, whole revisions of them, up to the bounds that are wanted and the
    /// revision with which they are reached.
    async fn history(&self, wanted: &History) -> Result<Answer, Error> {
        let mut past = Past::default();
        let mut from = Revision::new(wanted.from, 0);
        // Pages of one step stay in memory until it was read: those of one attempt must not push
        // out those of the one before.
        let mut held = Vec::new();
        loop {
            let mut missing = Vec::new();
            let before = past.mark();
            let next = {
                let store = self.store.borrow();
                if store.index.compacted() > wanted.from {
                    return Err(Error::Compacted);
                }
                store
                    .index
                    .changes(from, wanted.through, 4 * STEP_KEYS, |key, version| {
                        if past.end.is_none() && wants(wanted, key, version) {
                            past.add(&store, wanted, key, version, &mut missing);
                        }
                    })
            };
            if !missing.is_empty() {
                past.back_to(before);
                held.extend(self.load(&missing).await?);
                continue;
            }
            held.clear();
            if let Some(end) = past.end {
                return Ok(Answer::History(past.events, end - 1));
            }
            let Some(next) = next else {
                return Ok(Answer::History(past.events, wanted.through));
            };
            if past.is_full(wanted) && next.main > wanted.from {
                let is_whole = |event: &Event| event.revision.main < next.main;
                past.events.retain(is_whole);
                return Ok(Answer::History(past.events, next.main - 1));
            }
            from = next;
            yield_now::<E>().await;
        }
    }

    /// This shard's records that count for a hash at `at`.
    async fn hash(&self, at: i64, keep_any: bool) -> Result<Answer, Error> {
        let compacted = self.store.borrow().index.compacted();
        let ask = HashAsk {
            rev: at,
            compacted,
            keep_any,
        };
        let mut walk = HashWalk::new(ask);
        let mut held = Vec::new();
        loop {
            let mut missing = Vec::new();
            let step = {
                let store = self.store.borrow();
                let view = store.pages.view();
                let mut fetch = |slot: &_| view.peek(slot);
                walk.step(&store.index, STEP_KEYS, &mut fetch, &mut missing)?
            };
            match step {
                Step::Done => {
                    return Ok(Answer::Hash(Box::new((walk.finish(), compacted))));
                }
                Step::More => {
                    held.clear();
                    yield_now::<E>().await;
                }
                Step::Missing => held.extend(self.load(&missing).await?),
            }
        }
    }

    async fn load(&self, missing: &[PageId]) -> Result<Option<Pinned>, Error> {
        let pages = self.store.borrow().pages.clone();
        read::load(&pages, missing).await
    }
}

fn wants(wanted: &History, key: &[u8], version: &Version) -> bool {
    let kind = if version.is_delete() {
        wanted.no_delete
    } else {
        wanted.no_put
    };
    !kind && wanted.range.contains(key)
}

/// Events of the past as they gather.
#[derive(Default)]
struct Past {
    events: Vec<Event>,
    /// Of keys and values.
    bytes: usize,
    /// The first revision that is left out, where there was enough.
    end: Option<i64>,
}

impl Past {
    fn mark(&self) -> (usize, usize) {
        (self.events.len(), self.bytes)
    }

    /// Forgets what came after a mark.
    fn back_to(&mut self, (events, bytes): (usize, usize)) {
        self.events.truncate(events);
        self.bytes = bytes;
        self.end = None;
    }

    fn is_full(&self, wanted: &History) -> bool {
        self.events.len() >= wanted.events_max || self.bytes >= wanted.bytes_max
    }

    /// Adds an event, unless there are enough and it begins a revision.
    fn add<D: crate::env::Disk>(
        &mut self,
        store: &Store<D>,
        wanted: &History,
        key: &[u8],
        version: &Version,
        missing: &mut Vec<PageId>,
    ) {
        let main = version.revision.main;
        let begins = self
            .events
            .last()
            .is_some_and(|last| last.revision.main != main);
        if begins && self.is_full(wanted) {
            self.end = Some(main);
            return;
        }
        let (event, bytes) = past_event(store, key, version, wanted, missing);
        self.bytes += bytes;
        self.events.push(event);
    }
}

/// One event, and the bytes of its key and values: those that are not in memory count, too.
fn past_event<D: crate::env::Disk>(
    store: &Store<D>,
    key: &[u8],
    version: &Version,
    wanted: &History,
    missing: &mut Vec<PageId>,
) -> (Event, usize) {
    let key = Bytes::copy_from_slice(key);
    let main = version.revision.main;
    let mut bytes = key.len() + version.value_len();
    let prev = if version.create_revision == main {
        Previous::Absent
    } else if !wanted.previous {
        Previous::Unknown
    } else {
        match store.index.previous(&key, main) {
            Some(before) => {
                bytes += before.value_len();
                let value = store.value(before, missing);
                Previous::Known(evaluate::pair(key.clone(), before, value).into())
            }
            None => Previous::Absent,
        }
    };
    let delete = version.is_delete();
    let kv = if delete {
        KeyValue {
            key,
            mod_revision: main,
            ..KeyValue::default()
        }
    } else {
        let value = store.value(version, missing);
        evaluate::pair(key, version, value)
    };
    let event = Event {
        revision: version.revision,
        kv,
        delete,
        prev,
    };
    (event, bytes)
}
