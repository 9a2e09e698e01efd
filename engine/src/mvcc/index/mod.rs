//! Which keys there are, which versions each has, and where their values lie: the index of one
//! shard, in memory. The shard's evaluation, reads and background work all go through it.
//!
//! A key has an entry in a slab; a B+tree orders the entries' numbers and counts the living keys
//! of every subtree; the history lists changes by revision. Everything is synchronous and
//! deterministic.

mod build;
mod check;
mod heads;
mod node;
mod range;
mod slab;
mod tree;

use self::slab::Slab;
use self::tree::Tree;
use super::compact::Sweep;
use super::history::{Change, History};
use super::lives::Lives;
use super::staging::Staging;
use super::{Key, Value, Version};
use crate::ids::Revision;

pub use self::build::Builder;

/// Bytes of a version in a checkpoint: revisions, version, lease and place.
const VERSION_BYTES: u64 = 56;

/// The index of one shard.
#[derive(Debug)]
pub struct Index {
    pub(super) slab: Slab,
    tree: Tree,
    pub(super) history: History,
    pub(super) lives: Lives,
    pub(super) staging: Staging,
    pub(super) compacted: i64,
    pub(super) sweep: Sweep,
    /// Versions in all entries.
    pub(super) versions: u64,
    /// Bytes of all keys.
    key_bytes: u64,
    /// No staged version is newer.
    newest: Revision,
}

/// What an index holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexStats {
    /// Keys, with those that are deleted and not yet compacted.
    pub keys: u64,
    /// Keys that are not deleted.
    pub live_keys: u64,
    /// Versions, deletes included.
    pub versions: u64,
    /// Bytes of values in memory, not yet in a page.
    pub staged_bytes: u64,
    /// Changes in the history.
    pub changes: u64,
    /// Roughly the bytes of memory held, without staged values.
    pub memory_bytes: u64,
    /// Roughly the bytes that keys and versions take in a checkpoint.
    pub stored_bytes: u64,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    /// Without keys.
    pub fn new() -> Self {
        Self {
            slab: Slab::new(),
            tree: Tree::new(),
            history: History::default(),
            lives: Lives::default(),
            staging: Staging::default(),
            compacted: 0,
            sweep: Sweep::default(),
            versions: 0,
            key_bytes: 0,
            newest: Revision::default(),
        }
    }

    /// Adds the newest version of `key`; revisions rise from call to call.
    ///
    /// # Panics
    /// If `version.revision` is not above every one before: the caller is at fault.
    pub fn stage(&mut self, key: &[u8], version: Version) {
        assert!(self.newest < version.revision, "revisions must rise");
        self.newest = version.revision;
        self.versions += 1;
        let revision = version.revision;
        let staged = match &version.value {
            Value::Staged(bytes) => Some(bytes.len() as u64),
            Value::Deleted | Value::Sealed(_) => None,
        };
        let lives = !version.is_delete();
        let (id, news) = match self.tree.find(&self.slab, key) {
            Some(id) => {
                let entry = &mut self.slab[id];
                let news = entry.is_alive() != lives;
                entry.push(version);
                if news {
                    self.tree.set_live(&self.slab, id);
                }
                (id, news)
            }
            None => {
                self.key_bytes += key.len() as u64;
                let id = self.slab.add(Key::from(key), vec![version]);
                self.tree.insert(&self.slab, id);
                (id, lives)
            }
        };
        let change = Change::of(revision, id);
        self.history.push(change);
        if news {
            self.lives.note(change, lives);
        }
        if let Some(bytes) = staged {
            self.staging.bytes += bytes;
            self.staging.changes.push_back(change);
        }
    }

    /// The newest version of `key`, also where it is a delete.
    pub fn newest(&self, key: &[u8]) -> Option<&Version> {
        self.entry(key)?.versions().last()
    }

    /// The version of `key` that is alive at revision `rev`; `None` where the key is absent or
    /// deleted then.
    pub fn at(&self, key: &[u8], rev: i64) -> Option<&Version> {
        self.entry(key)?.at(rev)
    }

    /// Exactly the version of `key` that was written at `revision`.
    pub fn version_of(&self, key: &[u8], revision: Revision) -> Option<&Version> {
        self.entry(key)?.version_of(revision)
    }

    /// The version of `key` that was alive before revision `rev_main`; `None` where there was
    /// none or compaction has passed that revision (etcd's rule for `prev_kv` of watch events).
    pub fn previous(&self, key: &[u8], rev_main: i64) -> Option<&Version> {
        let before = rev_main.checked_sub(1)?;
        if before < self.compacted {
            return None;
        }
        self.at(key, before)
    }

    /// Gives the version of `key` written at `revision` a new place: a staged one that was sealed,
    /// or one whose page was rewritten. Returns the former place; `None` where the version is
    /// gone, and then the new place is garbage.
    ///
    /// # Panics
    /// If a version in a page is to be staged again: the caller is at fault.
    pub fn reseat(&mut self, key: &[u8], revision: Revision, place: Value) -> Option<Value> {
        let id = self.tree.find(&self.slab, key)?;
        let version = self.slab[id].version_of_mut(revision)?;
        if version.is_delete() || matches!(place, Value::Deleted) {
            return None;
        }
        let was_staged = matches!(version.value, Value::Staged(_));
        if let Value::Staged(bytes) = &place {
            // Back into memory would need a place in the list of staged versions.
            assert!(was_staged, "a version in a page cannot be staged again");
            self.staging.bytes += bytes.len() as u64;
        }
        let former = std::mem::replace(&mut version.value, place);
        if let Value::Staged(bytes) = &former {
            self.staging.bytes -= bytes.len() as u64;
            self.prune_staged();
        }
        Some(former)
    }

    /// Forgets every version above revision `rev`: a principalship ended and only the settled
    /// prefix is left. `rev` is not below the compaction revision.
    pub fn drop_above(&mut self, rev: i64) {
        debug_assert!(rev >= self.compacted, "what is compacted was settled");
        self.staging.drop_above(rev);
        while self.history.back().is_some_and(|change| change.main > rev) {
            let Some(change) = self.history.pop_back() else {
                break;
            };
            let Some(entry) = self.entry_of(change) else {
                continue;
            };
            let was_alive = entry.is_alive();
            let version = entry.pop();
            let entry = &self.slab[change.id];
            if entry.versions().is_empty() {
                self.remove_entry(change.id);
            } else if entry.is_alive() != was_alive {
                self.tree.set_live(&self.slab, change.id);
            }
            if let Some(version) = version {
                self.forget(version);
            }
        }
        self.lives.drop_above(rev);
        self.newest = self.newest.min(Revision::new(rev, i64::MAX));
    }

    /// What the index holds. Cheap enough to ask once a second.
    pub fn stats(&self) -> IndexStats {
        let counts = self.tree.counts();
        IndexStats {
            keys: counts.keys,
            live_keys: counts.live,
            versions: self.versions,
            staged_bytes: self.staging.bytes,
            changes: self.history.len() as u64,
            memory_bytes: self.memory_bytes(),
            stored_bytes: self.key_bytes + self.versions * VERSION_BYTES,
        }
    }

    fn memory_bytes(&self) -> u64 {
        let keys = self.slab.len() as u64;
        // A key is one allocation with two counters and the allocator's word.
        let key_heap = self.key_bytes + keys * 24;
        let more_versions = self.versions.saturating_sub(keys) * size_of::<Version>() as u64;
        let lists = self.history.memory_bytes()
            + self.lives.memory_bytes()
            + self.staging.changes.capacity() * 16;
        (self.slab.memory_bytes() + self.tree.memory_bytes() + lists) as u64
            + key_heap
            + more_versions
    }

    fn entry(&self, key: &[u8]) -> Option<&slab::Entry> {
        let id = self.tree.find(&self.slab, key)?;
        Some(&self.slab[id])
    }

    /// The entry whose newest version is `change`, if it still is.
    fn entry_of(&mut self, change: Change) -> Option<&mut slab::Entry> {
        let entry = &mut self.slab[change.id];
        let newest = entry.versions().last()?;
        (newest.revision == change.revision()).then_some(entry)
    }

    /// Takes an entry without versions out of tree and slab; its tree bit says dead or alive as
    /// it was before.
    pub(super) fn remove_entry(&mut self, id: u32) {
        self.key_bytes -= self.slab.key(id).len() as u64;
        self.tree.remove(&self.slab, id);
        self.slab.remove(id);
    }
}

#[cfg(test)]
mod tests;
