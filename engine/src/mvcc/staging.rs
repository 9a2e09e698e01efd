//! The versions whose values are in memory and not yet in a page, in revision order. The shard
//! takes them from here to seal them and puts their places back with [`Index::reseat_unsealed`].

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::history::Change;
use super::{Index, Key, PageSlot, Value, Version};
use crate::ids::Revision;

/// What is not yet sealed. Compaction and reseating leave stale changes behind, which are dropped
/// when they come to the front.
#[derive(Debug, Default)]
pub(super) struct Staging {
    /// Rising by revision.
    pub changes: VecDeque<Change>,
    /// Value bytes of the staged versions that are there.
    pub bytes: u64,
}

impl Staging {
    /// Forgets changes above `rev`.
    pub fn drop_above(&mut self, rev: i64) {
        while self.changes.back().is_some_and(|change| change.main > rev) {
            self.changes.pop_back();
        }
    }
}

/// A staged version, by which the index finds it again without its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsealed(Change);

impl Index {
    /// Calls `take` with versions that are not in a page, up to revision `upto` and behind `after`
    /// where that is given, in revision order, until it breaks.
    ///
    /// They stay staged until [`Index::reseat_unsealed`] gives each its place.
    pub fn unsealed<'a, F>(&'a self, after: Option<Unsealed>, upto: i64, mut take: F)
    where
        F: FnMut(Unsealed, &'a Key, &'a Version) -> ControlFlow<()>,
    {
        let changes = &self.staging.changes;
        let start = after.map_or(0, |Unsealed(last)| {
            changes.partition_point(|change| change.revision() <= last.revision())
        });
        let upto = changes
            .range(start..)
            .take_while(|change| change.main <= upto);
        for change in upto {
            if let Some((key, version)) = self.staged(*change)
                && take(Unsealed(*change), key, version).is_break()
            {
                return;
            }
        }
    }

    /// Gives a version that [`Index::unsealed`] named its place in a page. False where it is
    /// gone, and then the place is garbage.
    pub fn reseat_unsealed(&mut self, Unsealed(change): Unsealed, slot: PageSlot) -> bool {
        let Some(version) = self.slab[change.id].version_of_mut(change.revision()) else {
            return false;
        };
        let Value::Staged(value) = &version.value else {
            return false;
        };
        self.staging.bytes -= value.len() as u64;
        version.value = Value::Sealed(slot);
        true
    }

    /// The revision of the oldest version that is not in a page.
    pub fn oldest_unsealed(&self) -> Option<Revision> {
        let staged = |change: &&Change| self.staged(**change).is_some();
        self.staging
            .changes
            .iter()
            .find(staged)
            .map(|change| change.revision())
    }

    /// Drops stale changes from the front.
    pub fn prune_staged(&mut self) {
        while let Some(change) = self.staging.changes.front()
            && self.staged(*change).is_none()
        {
            self.staging.changes.pop_front();
        }
    }

    fn staged(&self, change: Change) -> Option<(&Key, &Version)> {
        let entry = &self.slab[change.id];
        let version = entry.version_of(change.revision())?;
        matches!(version.value, Value::Staged(_)).then_some((entry.key(), version))
    }
}
