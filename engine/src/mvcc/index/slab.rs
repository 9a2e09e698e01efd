//! The entries of the index, one a key, under numbers that stay the same while the key is there.
//! The tree orders the numbers, the history points at them.
//!
//! Entries lie in chunks, so that growing never copies them.

use super::super::{Key, Version};
use crate::ids::Revision;

/// Entries in one chunk.
const CHUNK: usize = 512;

/// A key and its versions, oldest first.
#[derive(Debug)]
pub(in crate::mvcc) struct Entry {
    key: Key,
    versions: Versions,
}

/// Nearly every key has one version once compaction has passed, so one is held in place.
#[derive(Debug)]
enum Versions {
    One(Version),
    Many(Vec<Version>),
}

/// Where the version of `revision` is. Mostly it is one of the newest, whose memory lies together:
/// a search by halves would touch a line of memory for each half.
fn place_of(versions: &[Version], revision: Revision) -> Option<usize> {
    const NEAR: usize = 8;
    let near = versions.len().saturating_sub(NEAR);
    if versions
        .get(near)
        .is_some_and(|first| first.revision <= revision)
    {
        let place = versions[near..]
            .iter()
            .rposition(|v| v.revision == revision)?;
        return Some(near + place);
    }
    versions[..near]
        .binary_search_by_key(&revision, |v| v.revision)
        .ok()
}

impl Entry {
    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// All versions, oldest first; empty only in a slot that is free.
    pub fn versions(&self) -> &[Version] {
        match &self.versions {
            Versions::One(version) => std::slice::from_ref(version),
            Versions::Many(versions) => versions,
        }
    }

    /// The versions up to the revision `upto`.
    pub fn versions_upto(&self, upto: i64) -> &[Version] {
        let versions = self.versions();
        match versions.last() {
            Some(last) if last.revision.main <= upto => versions,
            _ => &versions[..versions.partition_point(|v| v.revision.main <= upto)],
        }
    }

    /// The version that is alive at `rev`.
    pub fn at(&self, rev: i64) -> Option<&Version> {
        self.versions_upto(rev)
            .last()
            .filter(|version| !version.is_delete())
    }

    /// Exactly the version of `revision`.
    pub fn version_of(&self, revision: Revision) -> Option<&Version> {
        let versions = self.versions();
        versions.get(place_of(versions, revision)?)
    }

    /// Exactly the version of `revision`, to be changed.
    pub fn version_of_mut(&mut self, revision: Revision) -> Option<&mut Version> {
        let versions = match &mut self.versions {
            Versions::One(version) => std::slice::from_mut(version),
            Versions::Many(versions) => versions.as_mut_slice(),
        };
        let place = place_of(versions, revision)?;
        versions.get_mut(place)
    }

    /// Whether the newest version is no delete.
    pub fn is_alive(&self) -> bool {
        self.versions()
            .last()
            .is_some_and(|version| !version.is_delete())
    }

    /// Adds the newest version.
    pub fn push(&mut self, version: Version) {
        match &mut self.versions {
            Versions::Many(versions) => versions.push(version),
            Versions::One(_) => {
                let pair = Versions::Many(Vec::with_capacity(2));
                let old = std::mem::replace(&mut self.versions, pair);
                if let (Versions::One(old), Versions::Many(new)) = (old, &mut self.versions) {
                    new.push(old);
                    new.push(version);
                }
            }
        }
    }

    /// Takes the newest version off.
    pub fn pop(&mut self) -> Option<Version> {
        let mut versions = self.take();
        let popped = versions.pop();
        self.put_back(versions);
        popped
    }

    /// Drops what compaction at `rev` drops, giving each dropped version to `dropped`: all but
    /// the newest up to `rev`, and that too if it is a delete below `rev`. A delete at `rev`
    /// itself stays, because a watch may begin there.
    pub fn compact(&mut self, rev: i64, dropped: &mut dyn FnMut(Version)) {
        let past = self.versions_upto(rev);
        let Some(newest) = past.last() else { return };
        let gone = newest.is_delete() && newest.revision.main < rev;
        let drop_count = past.len() - usize::from(!gone);
        if drop_count > 0 {
            let mut versions = self.take();
            versions.drain(..drop_count).for_each(dropped);
            self.put_back(versions);
        }
    }

    fn take(&mut self) -> Vec<Version> {
        match std::mem::replace(&mut self.versions, Versions::Many(Vec::new())) {
            Versions::One(version) => vec![version],
            Versions::Many(versions) => versions,
        }
    }

    fn put_back(&mut self, mut versions: Vec<Version>) {
        self.versions = match versions.pop() {
            Some(version) if versions.is_empty() => Versions::One(version),
            Some(version) => {
                versions.push(version);
                if versions.capacity() > 4 * versions.len() {
                    versions.shrink_to(2 * versions.len());
                }
                Versions::Many(versions)
            }
            None => Versions::Many(Vec::new()),
        };
    }
}

/// The entries and the free numbers among them.
#[derive(Debug)]
pub(in crate::mvcc) struct Slab {
    chunks: Vec<Vec<Entry>>,
    free: Vec<u32>,
    /// What a free slot holds in place of a key.
    no_key: Key,
}

impl Slab {
    /// Without entries.
    pub fn new() -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            no_key: Key::from(&[][..]),
        }
    }

    /// Adds the entry of a new key; `versions` is not empty.
    pub fn add(&mut self, key: Key, versions: Vec<Version>) -> u32 {
        assert!(!versions.is_empty(), "an entry without versions");
        let mut entry = Entry {
            key,
            versions: Versions::Many(Vec::new()),
        };
        entry.put_back(versions);
        if let Some(id) = self.free.pop() {
            self[id] = entry;
            return id;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let place = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("a chunk was just added");
        chunk.push(entry);
        u32::try_from(place + chunk.len() - 1).expect("fewer than 2^32 keys on a shard")
    }

    /// Frees a number. It may be given to another key at once.
    pub fn remove(&mut self, id: u32) {
        let no_key = self.no_key.clone();
        self[id] = Entry {
            key: no_key,
            versions: Versions::Many(Vec::new()),
        };
        self.free.push(id);
    }

    /// The key of entry `id`.
    pub fn key(&self, id: u32) -> &[u8] {
        &self[id].key
    }

    /// Touches entries that are about to be visited. They lie anywhere in memory; touched in one
    /// tight loop their cache misses overlap, visited one by one they add up.
    pub fn warm(&self, ids: &[u32]) {
        let touch = |touched: u8, &id: &u32| {
            let entry = &self[id];
            touched ^ entry.key.first().unwrap_or(&0) ^ u8::from(entry.is_alive())
        };
        std::hint::black_box(ids.iter().fold(0, touch));
    }

    /// Numbers in use.
    pub fn len(&self) -> usize {
        let slots = self
            .chunks
            .last()
            .map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len());
        slots - self.free.len()
    }

    /// Bytes of memory held, without what keys and lists of versions hold on the heap.
    pub fn memory_bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Entry>() + self.free.capacity() * 4
    }
}

impl std::ops::Index<u32> for Slab {
    type Output = Entry;

    fn index(&self, id: u32) -> &Entry {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }
}

impl std::ops::IndexMut<u32> for Slab {
    fn index_mut(&mut self, id: u32) -> &mut Entry {
        &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }
}
