//! The versions whose values are in memory and not yet in a page, in revision order. The shard
//! takes them from here to seal them and puts their places back with [`Index::reseat`].

use std::collections::VecDeque;

use super::history::Change;
use super::{Index, Key, Value, Version};
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

impl Index {
    /// Versions up to revision `upto` that are not in a page, in revision order: as many as have
    /// `max_bytes` of keys and values together, but at least one where there is one.
    ///
    /// They stay staged until [`Index::reseat`] gives each its place.
    pub fn unsealed(&mut self, upto: i64, max_bytes: usize) -> Vec<(Key, Version)> {
        self.prune_staged();
        let mut found = Vec::new();
        let mut bytes = 0;
        for change in self
            .staging
            .changes
            .iter()
            .take_while(|change| change.main <= upto)
        {
            let Some((key, version)) = self.staged(*change) else {
                continue;
            };
            if let Value::Staged(value) = &version.value {
                bytes += key.len() + value.len();
            }
            if bytes > max_bytes && !found.is_empty() {
                break;
            }
            found.push((key.clone(), version.clone()));
        }
        found
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
    pub(super) fn prune_staged(&mut self) {
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
