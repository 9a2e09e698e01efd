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
