//! The changes of one shard in revision order, each with the number of its key's entry. The index
//! appends and cuts it; watch catch-up, counting in the past and compaction read it.
//!
//! It is a queue of chunks, because one growing array would be copied whole, in one turn of the
//! core, each time it doubles. A change costs 16 bytes here until compaction passes it.

use std::collections::VecDeque;

use crate::ids::Revision;

/// Changes in one chunk.
const CHUNK: usize = 1024;

/// One change: when, and the entry of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    /// The transaction's revision.
    pub main: i64,
    /// The change's number inside it.
    pub sub: u32,
    /// Number of the key's entry in the slab. May be stale once compaction dropped the version:
    /// the reader looks the revision up there and skips what it does not find.
    pub id: u32,
}

impl Change {
    /// The change at `revision` of entry `id`.
    ///
    /// # Panics
    /// If the sub-revision does not fit in 32 bits: the caller is at fault.
    pub fn of(revision: Revision, id: u32) -> Self {
        let sub = u32::try_from(revision.sub).expect("fewer than 2^32 changes in a transaction");
        Self {
            main: revision.main,
            sub,
            id,
        }
    }

    /// The change's revision.
    pub fn revision(self) -> Revision {
        Revision::new(self.main, i64::from(self.sub))
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct History {
    chunks: VecDeque<Vec<Change>>,
    /// Changes of the first chunk that are gone already.
    gone: usize,
    len: usize,
}

impl History {
    /// Changes held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Change>()
    }

    /// The newest change.
    pub fn back(&self) -> Option<&Change> {
        self.chunks.back()?.last()
    }

    /// The oldest change.
    pub fn front(&self) -> Option<&Change> {
        self.get(0)
    }

    /// The change at `place`, counted from the oldest.
    pub fn get(&self, place: usize) -> Option<&Change> {
        // Only the first chunk can be short at its head and only the last at its tail.
        let at = place + self.gone;
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    /// Appends a change, newer than all others.
    pub fn push(&mut self, change: Change) {
        debug_assert!(
            self.back()
                .is_none_or(|last| last.revision() < change.revision())
        );
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(change),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(change);
                self.chunks.push_back(chunk);
            }
        }
        self.len += 1;
    }

    /// Takes the newest change off.
    pub fn pop_back(&mut self) -> Option<Change> {
        let change = self.chunks.back_mut()?.pop()?;
        self.len -= 1;
        if self.len == 0 {
            self.chunks.clear();
            self.gone = 0;
        } else if self.chunks.back().is_some_and(Vec::is_empty) {
            self.chunks.pop_back();
        }
        Some(change)
    }

    /// Takes the oldest change off.
    pub fn pop_front(&mut self) -> Option<Change> {
        let change = *self.front()?;
        self.len -= 1;
        self.gone += 1;
        if self.len == 0 {
            self.chunks.clear();
            self.gone = 0;
        } else if self.gone == CHUNK {
            self.chunks.pop_front();
            self.gone = 0;
        }
        Some(change)
    }

    /// The place of the first change at or above `from`.
    pub fn seek(&self, from: Revision) -> usize {
        let below = |chunk: &Vec<Change>| chunk.last().is_some_and(|c| c.revision() < from);
        let chunk = self.chunks.partition_point(below);
        let skip = if chunk == 0 { self.gone } else { 0 };
        let inside = self.chunks.get(chunk).map_or(0, |changes| {
            let live = changes.get(skip..).unwrap_or(&[]);
            skip + live.partition_point(|c| c.revision() < from)
        });
        (chunk * CHUNK + inside)
            .min(self.len + self.gone)
            .max(self.gone)
            - self.gone
    }

    /// The changes from `place` upward.
    pub fn iter_from(&self, place: usize) -> impl Iterator<Item = &Change> {
        let at = place + self.gone;
        let first = self
            .chunks
            .get(at / CHUNK)
            .and_then(|chunk| chunk.get(at % CHUNK..));
        let rest = self.chunks.iter().skip(at / CHUNK + 1);
        first.into_iter().flatten().chain(rest.flatten())
    }
}

#[cfg(test)]
mod tests;
