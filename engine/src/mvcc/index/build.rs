//! Building an index from a checkpoint: entries come in key order, the tree is built in one pass
//! and the history sorted once.

use super::Index;
use super::tree::Tree;
use crate::error::Error;
use crate::ids::Revision;
use crate::mvcc::history::{Change, History};
use crate::mvcc::lives::{Lives, turns};
use crate::mvcc::{Key, PageSlot, Value, Version};

/// Takes entries in key order and makes an index of them.
#[derive(Debug)]
pub struct Builder {
    index: Index,
    ids: Vec<u32>,
    changes: Vec<Change>,
    born: Vec<Change>,
    died: Vec<Change>,
    dropped: Vec<PageSlot>,
}

impl Builder {
    /// For a checkpoint whose compaction revision is `compacted` (0 if there was none).
    pub fn new(compacted: i64) -> Self {
        let mut index = Index::new();
        index.compact_begin(compacted);
        Self {
            index,
            ids: Vec::new(),
            changes: Vec::new(),
            born: Vec::new(),
            died: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// Adds a key with its versions, oldest first. What compaction has made unreachable, because
    /// its sweep had not come to an end, is dropped at once.
    ///
    /// # Errors
    /// `Storage` where keys or revisions do not rise: the input is damaged.
    pub fn push(&mut self, key: Key, versions: Vec<Version>) -> Result<(), Error> {
        let last = self.ids.last().map(|&id| self.index.slab.key(id));
        if last.is_some_and(|last| last >= &*key) {
            return Err(damaged("keys do not rise", &key));
        }
        if versions.is_empty() || !versions.is_sorted_by(|a, b| a.revision < b.revision) {
            return Err(damaged("revisions of a key do not rise", &key));
        }
        if versions
            .iter()
            .any(|v| u32::try_from(v.revision.sub).is_err())
        {
            return Err(damaged("a sub-revision is out of bounds", &key));
        }
        let key_len = key.len() as u64;
        let compacted = self.index.compacted;
        let id = self.index.slab.add(key, versions);
        let dropped = &mut self.dropped;
        self.index.slab[id].compact(compacted, &mut |version| {
            if let Value::Sealed(slot) = version.value {
                dropped.push(slot);
            }
        });
        if self.index.slab[id].versions().is_empty() {
            self.index.slab.remove(id);
            return Ok(());
        }
        self.ids.push(id);
        self.index.key_bytes += key_len;
        self.note_versions(id);
        Ok(())
    }

    /// The index, and the places of versions that were dropped on the way.
    ///
    /// # Errors
    /// `Storage` where two changes have one revision: the input is damaged.
    pub fn finish(mut self) -> Result<(Index, Vec<PageSlot>), Error> {
        self.changes.sort_unstable();
        let mut history = History::default();
        let mut last = Revision::default();
        for change in self.changes {
            if change.revision() <= last {
                let key = self.index.slab.key(change.id);
                return Err(damaged("two changes have one revision", key));
            }
            last = change.revision();
            history.push(change);
        }
        self.index.history = history;
        self.index.lives = Lives::of(self.born, self.died);
        self.index.staging.changes.make_contiguous().sort_unstable();
        self.index.tree = Tree::build(&self.index.slab, &self.ids);
        // Everything was compacted on the way in; this notes it.
        while !self.index.compact_step(usize::MAX, &mut self.dropped) {}
        Ok((self.index, self.dropped))
    }

    fn note_versions(&mut self, id: u32) {
        let Index {
            slab,
            staging,
            versions,
            newest,
            compacted,
            ..
        } = &mut self.index;
        for version in slab[id].versions() {
            *versions += 1;
            *newest = (*newest).max(version.revision);
            let change = Change::of(version.revision, id);
            if change.main >= *compacted {
                self.changes.push(change);
            }
            if let Value::Staged(bytes) = &version.value {
                staging.bytes += bytes.len() as u64;
                staging.changes.push_back(change);
            }
        }
        // What compaction has passed nobody counts any more.
        for (revision, is_birth) in turns(slab[id].versions()) {
            if revision.main > *compacted {
                let list = if is_birth {
                    &mut self.born
                } else {
                    &mut self.died
                };
                list.push(Change::of(revision, id));
            }
        }
    }
}

fn damaged(what: &str, key: &[u8]) -> Error {
    Error::Storage(format!(
        "index of a checkpoint: {what} at key {}",
        key.escape_ascii()
    ))
}

#[cfg(test)]
mod tests;
