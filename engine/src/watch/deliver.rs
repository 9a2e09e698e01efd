//! The live path: one settled revision to all who want it. Part of the hub, called by the core
//! loop for each revision. Touches only watchers whose range holds a changed key.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::event::Event;
use crate::watch::batch::EventBatch;
use crate::watch::hub::Hub;
use crate::watch::queue::State;
use crate::watch::response::{Filters, Kind, Response};

impl Hub {
    /// Delivers all events of one revision, in order of their sub-revisions, when that revision
    /// and all below it are settled. `settled` is the store's settled revision now.
    ///
    /// Revisions come in ascending order; those left out count as skipped (see
    /// [`Hub::advance`]). One at or below the delivered revision is ignored, so nobody sees a
    /// revision twice. Returns whether it was delivered.
    pub fn deliver(&mut self, events: impl Into<Arc<[Event]>>, settled: i64) -> bool {
        let batch = Arc::new(EventBatch::new(events));
        let Some(revision) = batch.events().first().map(|event| event.revision.main) else {
            return false;
        };
        debug_assert!(
            batch
                .events()
                .iter()
                .all(|event| event.revision.main == revision)
        );
        debug_assert!(batch.events().is_sorted_by_key(|event| event.revision));
        if revision <= self.delivered {
            return false;
        }
        self.advance(revision - 1);
        self.delivered = revision;
        self.settled = self.settled.max(settled).max(revision);
        self.recent.push(revision, batch.clone());
        match batch.events() {
            [_] => self.deliver_one(revision, &batch),
            _ => self.deliver_many(revision, &batch),
        }
        true
    }

    /// Everything through `through` is delivered; revisions that were not handed to
    /// [`Hub::deliver`] hold nothing that a watcher of this hub wants (see [`Hub::wants`]).
    pub fn advance(&mut self, through: i64) {
        if through > self.delivered {
            self.delivered = through;
            self.skipped = through;
            self.settled = self.settled.max(through);
        }
    }

    /// Whether any watcher, live or behind, watches `key`.
    pub fn wants(&self, key: &[u8]) -> bool {
        let mut wanted = false;
        self.ranges.holding(key, |_| wanted = true);
        wanted
    }

    fn deliver_one(&mut self, revision: i64, batch: &Arc<EventBatch>) {
        let event = &batch.events()[0];
        let mut slots: SmallVec<[u32; 8]> = SmallVec::new();
        self.ranges.holding(&event.kv.key, |slot| slots.push(slot));
        for slot in slots {
            for at in 0..self.ranges.watchers(slot).len() {
                let watcher = self.ranges.watchers(slot)[at];
                if self.watcher(watcher).filters.admits(event.delete) {
                    self.offer(watcher, revision, batch);
                }
            }
        }
    }

    fn deliver_many(&mut self, revision: i64, batch: &Arc<EventBatch>) {
        let mut matched: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (at, event) in batch.events().iter().enumerate() {
            self.ranges.holding(&event.kv.key, |slot| {
                matched.entry(slot).or_default().push(at as u32);
            });
        }
        let mut cuts = Cuts::new(batch.clone());
        for (slot, places) in matched {
            // One cut for each combination of filters, made when the first watcher needs it.
            let mut by_class: [Option<Option<Arc<EventBatch>>>; 4] = Default::default();
            for at in 0..self.ranges.watchers(slot).len() {
                let watcher = self.ranges.watchers(slot)[at];
                let filters = self.watcher(watcher).filters;
                let cut = by_class[filters.class()]
                    .get_or_insert_with(|| cuts.take(&places, filters))
                    .clone();
                if let Some(cut) = cut {
                    self.offer(watcher, revision, &cut);
                }
            }
        }
    }

    /// Gives the events of one revision to a watcher, if it is live and wants the revision. Where
    /// that cannot be done now, the watcher falls behind, at this revision.
    fn offer(&mut self, watcher: u32, revision: i64, batch: &Arc<EventBatch>) {
        let it = self.watcher(watcher);
        if it.state != State::Live || revision < it.next {
            return;
        }
        if it.prev_kv && batch.lacks_prev() {
            let ticket = self.queue.ticket();
            self.place(watcher, revision, State::Waiting { ticket });
        } else if !self.push_events(watcher, revision, batch) {
            self.place(watcher, revision, State::Blocked);
        }
    }

    /// Queues events for a watcher, in pieces if it asked for that and they are large. Returns
    /// false, with nothing queued, if its stream has no room; an empty stream always has.
    pub(super) fn push_events(
        &mut self,
        watcher: u32,
        header_revision: i64,
        batch: &Arc<EventBatch>,
    ) -> bool {
        /// etcd counts the whole message; header, ids and flags take less than this.
        const MESSAGE_BYTES: usize = 64;
        let it = &mut self.watchers[watcher as usize];
        let bytes = batch.wire_bytes(it.prev_kv);
        let queued = self.streams[it.stream as usize].queued_bytes();
        if queued > 0 && queued + bytes > self.settings.stream_bytes {
            return false;
        }
        it.quiet = false;
        let (watch_id, slot, prev_kv) = (it.id, it.stream, it.prev_kv);
        let limit = self.settings.fragment_bytes.saturating_sub(MESSAGE_BYTES);
        let limit_reached = bytes >= limit && batch.events().len() > 1;
        if !(it.fragment && limit_reached) {
            let kind = Kind::Events {
                batch: batch.clone(),
                prev_kv,
                fragment: false,
            };
            self.push(
                slot,
                Response {
                    watch_id,
                    header_revision,
                    kind,
                },
            );
            return true;
        }
        let pieces = batch.pieces(limit, prev_kv);
        let last = pieces.len() - 1;
        for (at, piece) in pieces.into_iter().enumerate() {
            let kind = Kind::Events {
                batch: Arc::new(piece),
                prev_kv,
                fragment: at < last,
            };
            self.push(
                slot,
                Response {
                    watch_id,
                    header_revision,
                    kind,
                },
            );
        }
        true
    }
}

/// Parts of one batch; the same events are the same part, whoever asks.
struct Cuts {
    whole: Arc<EventBatch>,
    parts: BTreeMap<Vec<u32>, Arc<EventBatch>>,
}

impl Cuts {
    fn new(whole: Arc<EventBatch>) -> Self {
        Self {
            whole,
            parts: BTreeMap::new(),
        }
    }

    /// The events at `places` that pass `filters`; `None` if none does.
    fn take(&mut self, places: &[u32], filters: Filters) -> Option<Arc<EventBatch>> {
        let events = self.whole.events();
        let admitted = |at: &&u32| filters.admits(events[**at as usize].delete);
        let places: Vec<u32> = places.iter().filter(admitted).copied().collect();
        if places.is_empty() {
            return None;
        }
        if places.len() == events.len() {
            return Some(self.whole.clone());
        }
        let whole = &self.whole;
        let part = self
            .parts
            .entry(places)
            .or_insert_with_key(|at| Arc::new(whole.pick(at)));
        Some(part.clone())
    }
}
