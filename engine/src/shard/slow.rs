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

    /// Events of the past, whole revisions of them.
    async fn history(&self, wanted: &History) -> Result<Answer, Error> {
        let mut events: Vec<Event> = Vec::new();
        let mut bytes = 0;
        let mut from = Revision::new(wanted.from, 0);
        // Pages of one step stay in memory until it was read: those of one attempt must not push
        // out those of the one before.
        let mut held = Vec::new();
        loop {
            let mut missing = Vec::new();
            let mut found = Vec::new();
            let next = {
                let store = self.store.borrow();
                if store.index.compacted() > wanted.from {
                    return Err(Error::Compacted);
                }
                store
                    .index
                    .changes(from, wanted.through, 4 * STEP_KEYS, |key, version| {
                        if wants(wanted, key, version) {
                            found.push(past_event(&store, key, version, wanted, &mut missing));
                        }
                    })
            };
            if !missing.is_empty() {
                held.extend(self.load(&missing).await?);
                continue;
            }
            held.clear();
            bytes += found
                .iter()
                .map(|e| e.kv.key.len() + e.kv.value.len())
                .sum::<usize>();
            events.append(&mut found);
            let Some(next) = next else {
                return Ok(Answer::History(events, wanted.through));
            };
            let whole = events
                .iter()
                .position(|event| event.revision.main >= next.main);
            let whole = whole.unwrap_or(events.len());
            let enough = whole >= wanted.events_max || bytes >= wanted.bytes_max;
            if enough && next.main > wanted.from {
                events.truncate(whole);
                return Ok(Answer::History(events, next.main - 1));
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
                let mut fetch = |slot: &_| store.pages.peek(slot);
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

fn past_event<D: crate::env::Disk>(
    store: &Store<D>,
    key: &[u8],
    version: &Version,
    wanted: &History,
    missing: &mut Vec<PageId>,
) -> Event {
    let key = Bytes::copy_from_slice(key);
    let main = version.revision.main;
    let prev = if version.create_revision == main {
        Previous::Absent
    } else if !wanted.previous {
        Previous::Unknown
    } else {
        match store.index.previous(&key, main) {
            Some(before) => {
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
    Event {
        revision: version.revision,
        kv,
        delete,
        prev,
    }
}
