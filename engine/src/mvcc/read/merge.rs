//! Joining the runs of several shards into one answer in key order. Entries are moved as bytes.

use std::cmp::Reverse;
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
    if let [first, second] = &runs[..] {
        merge_two(first, second, limit, &mut joined);
        return joined;
    }
    let mut next = vec![0; runs.len()];
    let mut heap = BinaryHeap::with_capacity(runs.len());
    for (place, run) in runs.iter().enumerate() {
        heap.extend(run.entry(0).map(|entry| Reverse((entry_key(entry), place))));
    }
    while joined.len() < limit
        && let Some(mut least) = heap.peek_mut()
    {
        let place = least.0.1;
        joined.push(runs[place].entry(next[place]).unwrap_or(&[]));
        next[place] += 1;
        match runs[place].entry(next[place]) {
            Some(entry) => least.0.0 = entry_key(entry),
            None => drop(std::collections::binary_heap::PeekMut::pop(least)),
        }
    }
    joined
}

/// Two runs: entries of one that lie between two of the other are moved together.
fn merge_two(first: &Run, second: &Run, limit: usize, joined: &mut Run) {
    let (mut left, mut right) = (Cursor::new(first), Cursor::new(second));
    while joined.len() < limit {
        let most = limit - joined.len();
        let taken = match (left.key, right.key) {
            (Some(mine), Some(other)) if mine < other => left.take_below(other, most),
            (Some(limit), Some(_)) => right.take_below(limit, most),
            (Some(_), None) => left.take(most),
            (None, Some(_)) => right.take(most),
            (None, None) => return,
        };
        let (run, from, to) = taken;
        joined.push_all(run, from, to);
    }
}

/// A place in a run.
struct Cursor<'a> {
    run: &'a Run,
    next: usize,
    key: Option<&'a [u8]>,
}

impl<'a> Cursor<'a> {
    fn new(run: &'a Run) -> Self {
        let key = run.entry(0).map(entry_key);
        Self { run, next: 0, key }
    }

    /// Takes entries below `limit`, of which the next one is one, at most `most`.
    fn take_below(&mut self, limit: &[u8], most: usize) -> (&'a Run, usize, usize) {
        let from = self.next;
        loop {
            self.next += 1;
            self.key = self.run.entry(self.next).map(entry_key);
            if self.next - from == most || self.key.is_none_or(|key| key > limit) {
                return (self.run, from, self.next);
            }
        }
    }

    /// Takes all, or `most`.
    fn take(&mut self, most: usize) -> (&'a Run, usize, usize) {
        let from = self.next;
        self.next = self.run.len().min(from.saturating_add(most));
        self.key = self.run.entry(self.next).map(entry_key);
        (self.run, from, self.next)
    }
}
