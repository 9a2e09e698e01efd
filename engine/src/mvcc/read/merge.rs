//! Joining the runs of several shards into one answer: by key, or in the order that a request
//! asks for. Entries are moved as bytes.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::Run;
use crate::format::kv_wire::{KvFields, entry_key};

/// What a range is sorted by (etcd's `sort_target`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// Puts in this life.
    Version,
    /// The create revision.
    Create,
    /// The mod revision.
    Mod,
    /// The value, by bytes. The runs have to be read with values.
    Value,
}

/// The order of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// What is compared; equal ones stay in key order.
    pub target: SortTarget,
    /// Highest first.
    pub descending: bool,
}

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

/// Joins runs that were read without a limit into one in the order `order`, of at most `limit`
/// entries (0 for all), without values where `keys_only` says so.
pub fn merge_sorted(runs: &[Run], order: Order, limit: usize, keys_only: bool) -> Run {
    let mut entries: Vec<(KvFields<'_>, &[u8])> = Vec::new();
    for run in runs {
        let all = (0..run.len()).filter_map(|place| run.entry(place));
        entries.extend(all.filter_map(|entry| Some((KvFields::read_entry(entry)?, entry))));
    }
    entries.sort_unstable_by(|(a, _), (b, _)| {
        let way = compare(order.target, a, b);
        let way = if order.descending { way.reverse() } else { way };
        way.then_with(|| a.key.cmp(b.key))
    });
    let kept = if limit == 0 {
        entries.len()
    } else {
        limit.min(entries.len())
    };
    let more = runs.iter().any(|run| run.more) || kept < entries.len();
    let mut joined = Run {
        bytes: Vec::new(),
        ends: Vec::with_capacity(kept),
        more,
    };
    for (fields, entry) in &entries[..kept] {
        if keys_only {
            KvFields {
                value: &[],
                ..*fields
            }
            .write_entry(&mut joined.bytes);
            joined.ends.push(joined.bytes.len());
        } else {
            joined.push(entry);
        }
    }
    joined
}

fn compare(target: SortTarget, a: &KvFields<'_>, b: &KvFields<'_>) -> Ordering {
    match target {
        SortTarget::Key => a.key.cmp(b.key),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(b.value),
    }
}
