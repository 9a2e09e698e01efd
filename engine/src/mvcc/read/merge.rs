//! Joining the runs of several shards into one answer in key order. Entries are moved as bytes.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::Run;
use crate::format::kv_wire::entry_key;

/// Joins runs whose keys are disjoint into one in key order, of at most `limit` entries (0 for
/// all). A single run goes through without a copy.
pub fn merge(mut runs: Vec<Run>, limit: usize) -> Run {
    let limit = if limit == 0 { usize::MAX } else { limit };
    let more = runs.iter().any(|run| run.more);
    runs.retain(|run| !run.is_empty());
    if runs.len() <= 1 {
        let mut only = runs.pop().unwrap_or_default();
        only.more = more || only.len() > limit;
        only.ends.truncate(limit);
        only.bytes.truncate(only.ends.last().copied().unwrap_or(0));
        return only;
    }
    let entries: usize = runs.iter().map(Run::len).sum();
    let bytes: usize = runs.iter().map(|run| run.bytes.len()).sum();
    let share = if limit < entries {
        bytes / entries * limit
    } else {
        bytes
    };
    let mut joined = Run {
        bytes: Vec::with_capacity(share),
        ends: Vec::with_capacity(limit.min(entries)),
        more: more || entries > limit,
    };
    let cursors = runs.iter().filter_map(Cursor::new);
    let mut heap: BinaryHeap<Cursor<'_>> = cursors.collect();
    while joined.len() < limit
        && let Some(mut least) = heap.pop()
    {
        let next = heap.peek().map(|cursor| cursor.key);
        let (from, to) = least.stretch(next, limit - joined.len());
        joined.push_all(least.run, from, to);
        if to < least.run.len() {
            heap.push(least);
        }
    }
    joined
}

/// A place in a run that is not its end. The greatest is the one with the lowest key.
struct Cursor<'a> {
    run: &'a Run,
    next: usize,
    key: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn new(run: &'a Run) -> Option<Self> {
        let key = entry_key(run.entry(0)?);
        Some(Self { run, next: 0, key })
    }

    /// Passes the entries below `limit`, the next one in any case, at most `most`: they are moved
    /// together.
    fn stretch(&mut self, limit: Option<&[u8]>, most: usize) -> (usize, usize) {
        let from = self.next;
        let end = self.run.len().min(from.saturating_add(most));
        loop {
            self.next += 1;
            if let Some(entry) = self.run.entry(self.next) {
                self.key = entry_key(entry);
            }
            if self.next == end || limit.is_some_and(|limit| self.key > limit) {
                return (from, self.next);
            }
        }
    }
}

impl Ord for Cursor<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(self.key)
    }
}

impl PartialOrd for Cursor<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cursor<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Cursor<'_> {}
