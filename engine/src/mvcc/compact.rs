//! Dropping versions that a compaction made unreachable, in bounded steps between other work.
//! Driven by the shard's background task.
//!
//! At revision C every key keeps its newest version up to C, but not a delete below C; a delete
//! at C itself stays for watches that begin at C. These are etcd's rules
//! (`server/storage/mvcc/key_index.go`).
//!
//! The work follows the history, not the keys: a version can only go because a later change up to
//! C replaced it (or is a delete), and that change is in the history. Passed changes leave the
//! history, so each write is visited about once, however many keys there are.

use super::history::Change;
use super::{Index, PageSlot, Value, Version};

/// How far the sweep behind the newest compaction is.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Changes at the compaction revision itself that are done; they stay in the history.
    at_revision: usize,
    /// Nothing is left to do.
    done: bool,
}

impl Index {
    /// The newest compaction revision, 0 before the first (etcd reports -1 then). Reads below it
    /// are to be refused, whether or not the sweep has come to an end.
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// Compacts at `rev`: from here on nothing below it may be read. The versions are dropped by
    /// [`Index::compact_step`]; a sweep that is under way goes on with the new revision. A `rev`
    /// that is not above the former changes nothing.
    pub fn compact_begin(&mut self, rev: i64) {
        if rev > self.compacted {
            self.compacted = rev;
            self.sweep = Sweep::default();
        }
    }

    /// Looks at up to `changes` changes and appends the places of dropped versions to `dropped`.
    /// Returns whether the sweep has come to an end.
    pub fn compact_step(&mut self, changes: usize, dropped: &mut Vec<PageSlot>) -> bool {
        for _ in 0..changes {
            if self.sweep.done {
                break;
            }
            match self.next_to_sweep() {
                Some(change) => self.sweep_entry(change.id, dropped),
                None => self.sweep.done = true,
            }
        }
        self.is_swept()
    }

    /// Whether everything that the compaction made unreachable has been dropped.
    pub fn is_swept(&self) -> bool {
        self.sweep.done || self.compacted == 0
    }

    fn next_to_sweep(&mut self) -> Option<Change> {
        let front = *self.history.front()?;
        if front.main < self.compacted {
            self.lives.drop_through(front.main);
            return self.history.pop_front();
        }
        let change = *self.history.get(self.sweep.at_revision)?;
        self.sweep.at_revision += 1;
        (change.main == self.compacted).then_some(change)
    }

    fn sweep_entry(&mut self, id: u32, dropped: &mut Vec<PageSlot>) {
        let compacted = self.compacted;
        let mut gone = Vec::new();
        self.slab[id].compact(compacted, &mut |version| gone.push(version));
        if !gone.is_empty() && self.slab[id].versions().is_empty() {
            self.remove_entry(id);
        }
        for version in gone {
            dropped.extend(self.forget(version));
        }
    }

    /// Takes a version that left its entry off the books; returns its place in a page.
    pub(super) fn forget(&mut self, version: Version) -> Option<PageSlot> {
        self.versions -= 1;
        match version.value {
            Value::Deleted => None,
            Value::Staged(bytes) => {
                self.staging.bytes -= bytes.len() as u64;
                None
            }
            Value::Sealed(slot) => Some(slot),
        }
    }
}
