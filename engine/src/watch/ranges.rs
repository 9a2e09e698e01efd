//! Who wants a key: watchers by the range they asked for. Used by the hub.
//!
//! Watchers of the same range share one entry. Single keys are found by hash, spans by the tree
//! in `intervals`, so that an event costs nothing for watchers of other keys.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use bytes::Bytes;
use slab::Slab;
use smallvec::SmallVec;

use crate::keys::KeyRange;
use crate::watch::intervals::Intervals;

/// Ranges with their watchers.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    entries: Slab<Entry>,
    /// Never iterated; the hasher is fixed so that no seed is drawn.
    singles: HashMap<Bytes, u32, BuildHasherDefault<DefaultHasher>>,
    spans: Intervals,
}

#[derive(Debug)]
struct Entry {
    range: KeyRange,
    watchers: SmallVec<[u32; 2]>,
}

/// Where a watcher stands in [`Ranges`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The entry of its range.
    pub(super) slot: u32,
    /// Its place among the watchers of the range.
    pub(super) at: u32,
}

impl Ranges {
    /// Adds a watcher.
    pub(super) fn add(&mut self, range: &KeyRange, watcher: u32) -> Place {
        let slot = self.find(range).unwrap_or_else(|| self.insert(range));
        let watchers = &mut self.entries[slot as usize].watchers;
        watchers.push(watcher);
        Place {
            slot,
            at: watchers.len() as u32 - 1,
        }
    }

    /// Removes the watcher at `place`. Returns the watcher that has moved there, if any.
    pub(super) fn remove(&mut self, place: Place) -> Option<u32> {
        let entry = &mut self.entries[place.slot as usize];
        entry.watchers.swap_remove(place.at as usize);
        if entry.watchers.is_empty() {
            let entry = self.entries.remove(place.slot as usize);
            match &entry.range {
                KeyRange::One(key) => {
                    self.singles.remove(key);
                }
                range => self
                    .spans
                    .remove(range.start(), range.end().map(|end| end.as_ref())),
            }
            return None;
        }
        entry.watchers.get(place.at as usize).copied()
    }

    /// The range at `slot`.
    pub(super) fn range(&self, slot: u32) -> &KeyRange {
        &self.entries[slot as usize].range
    }

    /// The watchers of the range at `slot`.
    pub(super) fn watchers(&self, slot: u32) -> &[u32] {
        &self.entries[slot as usize].watchers
    }

    /// Calls `found` with the slot of each range that holds `key`.
    pub(super) fn holding(&self, key: &[u8], mut found: impl FnMut(u32)) {
        if let Some(&slot) = self.singles.get(key) {
            found(slot);
        }
        self.spans.holding(key, found);
    }

    fn find(&self, range: &KeyRange) -> Option<u32> {
        match range {
            KeyRange::One(key) => self.singles.get(key).copied(),
            _ => self
                .spans
                .get(range.start(), range.end().map(|end| end.as_ref())),
        }
    }

    fn insert(&mut self, range: &KeyRange) -> u32 {
        // The keys are usually slices of a request's buffer, which must not live as long as the
        // watcher.
        let own = |key: &Bytes| Bytes::copy_from_slice(key);
        let range = match range {
            KeyRange::One(key) => KeyRange::One(own(key)),
            KeyRange::Span(start, end) => KeyRange::Span(own(start), own(end)),
            KeyRange::From(start) => KeyRange::From(own(start)),
        };
        let slot = self.entries.vacant_key() as u32;
        match &range {
            KeyRange::One(key) => {
                self.singles.insert(key.clone(), slot);
            }
            _ => self
                .spans
                .insert(range.start().clone(), range.end().cloned(), slot),
        }
        self.entries.insert(Entry {
            range,
            watchers: SmallVec::new(),
        });
        slot
    }
}
