//! Counting and walking: ranges at a revision, all keys from a point, and changes by revision.

use std::ops::ControlFlow;

use super::node::Counts;
use super::slab::Entry;
use super::{Change, Index};
use crate::ids::Revision;
use crate::keys::KeyRange;
use crate::mvcc::{Key, Version};

impl Index {
    /// How many keys of `range` are alive at revision `rev`.
    ///
    /// Two descents for the newest state, corrected by the births and deaths above `rev`; where
    /// those are more than the keys of the range, the keys are walked.
    pub fn count(&self, range: &KeyRange, rev: i64) -> u64 {
        if let KeyRange::One(key) = range {
            return u64::from(self.at(key, rev).is_some());
        }
        let counts = self.counts_in(range);
        let changed = self.lives.len_above(rev) as u64;
        if changed == 0 {
            return counts.live;
        }
        if changed > counts.keys {
            let mut found = 0;
            self.scan(range, rev, |_, _| {
                found += 1;
                ControlFlow::Continue(())
            });
            return found;
        }
        // A key that was born and died more than once counts each time: what is left is right.
        let within = |change: &&Change| range.contains(self.slab[change.id].key());
        let born = self.lives.born_above(rev).filter(within).count() as u64;
        let died = self.lives.died_above(rev).filter(within).count() as u64;
        counts.live + died - born
    }

    /// Upper bound of what [`Index::scan`] finds in `range` at any revision, in two descents.
    pub fn count_at_most(&self, range: &KeyRange) -> u64 {
        match range {
            KeyRange::One(_) => 1,
            _ => self.counts_in(range).keys,
        }
    }

    /// Calls `f` with each key of `range` that is alive at revision `rev`, in key order, until it
    /// breaks.
    pub fn scan<'a, F>(&'a self, range: &KeyRange, rev: i64, f: F)
    where
        F: FnMut(&'a Key, &'a Version) -> ControlFlow<()>,
    {
        self.scan_from(range, range.start(), rev, f);
    }

    /// [`Index::scan`] of the part of `range` from the key `from` upward, which is not below the
    /// range's start: goes on where an earlier scan broke off.
    pub fn scan_from<'a, F>(&'a self, range: &KeyRange, from: &[u8], rev: i64, mut f: F)
    where
        F: FnMut(&'a Key, &'a Version) -> ControlFlow<()>,
    {
        if range.is_empty() {
            return;
        }
        if let KeyRange::One(key) = range {
            let entry = self.entry(key);
            if let Some((entry, version)) = entry.and_then(|e| Some((e, e.at(rev)?))) {
                let _ = f(entry.key(), version);
            }
            return;
        }
        let end = range.end();
        let _ = self.tree.walk(&self.slab, Some((from, true)), &mut |id| {
            let entry = &self.slab[id];
            if end.is_some_and(|end| entry.key().as_ref() >= end.as_ref()) {
                return ControlFlow::Break(());
            }
            match entry.at(rev) {
                Some(version) => f(entry.key(), version),
                None => ControlFlow::Continue(()),
            }
        });
    }

    /// Calls `f` with each key above `after` (from the first key for `None`) and all its
    /// versions, deletes included, until it breaks. Background work walks in bounded steps with
    /// the last key as its cursor.
    pub fn seek<'a, F>(&'a self, after: Option<&[u8]>, mut f: F)
    where
        F: FnMut(&'a Key, &'a [Version]) -> ControlFlow<()>,
    {
        let _ = self
            .tree
            .walk(&self.slab, after.map(|key| (key, false)), &mut |id| {
                let entry = &self.slab[id];
                f(entry.key(), entry.versions())
            });
    }

    /// Calls `f` with the changes from revision `from` through `to_main`, in revision order, at
    /// most `limit` of them. Returns where to go on, or `None` where the end was reached.
    ///
    /// Complete from the compaction revision upward; below it only what the sweep has not reached.
    pub fn changes<'a, F>(
        &'a self,
        from: Revision,
        to_main: i64,
        limit: usize,
        mut f: F,
    ) -> Option<Revision>
    where
        F: FnMut(&'a Key, &'a Version),
    {
        let mut given = 0;
        for change in self.history.iter_from(self.history.seek(from)) {
            if change.main > to_main {
                break;
            }
            let Some((key, version)) = self.change(*change) else {
                continue;
            };
            if given == limit {
                return Some(version.revision);
            }
            f(key, version);
            given += 1;
        }
        None
    }

    /// One bounded step of writing the index out as of revision `upto`: calls `f` with up to
    /// `keys` keys above `after` and their versions up to `upto`. Returns the key to go on after,
    /// or `None` when all are done.
    pub fn dump_step(
        &self,
        after: Option<&Key>,
        upto: i64,
        keys: usize,
        f: &mut dyn FnMut(&Key, &[Version]),
    ) -> Option<Key> {
        let mut seen = 0;
        let mut resume = None;
        let after = after.map(|key| (key.as_ref(), false));
        let _ = self.tree.walk(&self.slab, after, &mut |id| {
            let entry = &self.slab[id];
            let versions = entry.versions_upto(upto);
            if !versions.is_empty() {
                f(entry.key(), versions);
            }
            seen += 1;
            if seen >= keys {
                resume = Some(entry.key().clone());
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        resume
    }

    /// The key and version of a change, if the version is still there.
    pub(in crate::mvcc) fn change(&self, change: Change) -> Option<(&Key, &Version)> {
        let entry = &self.slab[change.id];
        Some((entry.key(), entry.version_of(change.revision())?))
    }

    /// [`Index::seek`] with the entries and their numbers.
    pub(in crate::mvcc) fn seek_entries<F>(&self, after: Option<&[u8]>, mut f: F)
    where
        F: FnMut(u32, &Entry) -> ControlFlow<()>,
    {
        let after = after.map(|key| (key, false));
        let _ = self
            .tree
            .walk(&self.slab, after, &mut |id| f(id, &self.slab[id]));
    }

    fn counts_in(&self, range: &KeyRange) -> Counts {
        if range.is_empty() {
            return Counts::default();
        }
        let below = self.tree.rank(&self.slab, range.start());
        let through = match range.end() {
            Some(end) => self.tree.rank(&self.slab, end),
            None => self.tree.counts(),
        };
        through.minus(below)
    }
}
