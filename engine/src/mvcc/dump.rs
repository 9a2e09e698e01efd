//! All versions of one shard that a store at one revision is made of, in revision order, as etcd's
//! bucket `key` holds them after its last compaction. Called by the shard, in bounded steps, for
//! snapshots; nothing may be swept meanwhile.
//!
//! With R the revision and C the compaction revision: every version above C up to R, and of each
//! key the newest at or below C, unless that is a delete below C.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::ControlFlow;

use super::history::Change;
use super::{Index, Key, PageId, PageSlot, Value, Version};
use crate::error::Error;
use crate::format::kv_wire::KvFields;
use crate::ids::Revision;

/// Pages that one step asks for.
const PAGES_AHEAD: usize = 16;

/// Most records of one step.
pub const DUMP_RECORDS: usize = 1024;

/// Bytes of records after which a step ends.
pub const DUMP_BYTES: usize = 256 << 10;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpHead {
    /// Its revision.
    pub revision: Revision,
    /// Whether it is a delete.
    pub is_delete: bool,
    /// Bytes of its `mvccpb.KeyValue`.
    pub len: u32,
}

/// Records in revision order.
#[derive(Debug, Default)]
pub struct DumpBatch {
    /// What they are.
    pub heads: Vec<DumpHead>,
    /// Their `KeyValue`s, one behind the other; empty where only lengths were asked for.
    pub bytes: Vec<u8>,
    /// Whether these are the last.
    pub is_last: bool,
}

/// A way through the records of one shard.
#[derive(Debug)]
pub struct DumpWalk {
    at: i64,
    compacted: i64,
    /// Records at or below the compaction revision, which the history does not list: each gathering
    /// step leaves a sorted part, so that no step has to sort all of them.
    parts: Vec<Vec<Change>>,
    /// The first record not yet taken of each part.
    heap: BinaryHeap<Reverse<(Change, usize, usize)>>,
    /// Where to go on in the history.
    next: Revision,
    /// Records taken by revision and not yet handed out.
    queue: VecDeque<Change>,
}

impl DumpWalk {
    /// Of the store at `at`, compacted at `compacted`.
    pub fn new(at: i64, compacted: i64) -> Self {
        assert!(compacted <= at, "compactions are of what has settled");
        Self {
            at,
            compacted,
            parts: Vec::new(),
            heap: BinaryHeap::new(),
            next: Revision::default(),
            queue: VecDeque::new(),
        }
    }

    /// Gathers the old records of up to `count` keys above `after`; the last key, if there are
    /// more.
    pub fn gather(&mut self, index: &Index, after: Option<&[u8]>, count: usize) -> Option<Key> {
        let mut part = Vec::new();
        let mut left = count.max(1);
        let mut last = None;
        let compacted = self.compacted;
        if compacted <= 0 {
            return None;
        }
        index.seek_entries(after, |id, entry| {
            let newest = entry.versions_upto(compacted).last();
            if let Some(version) = newest
                && (!version.is_delete() || version.revision.main == compacted)
            {
                part.push(Change::of(version.revision, id));
            }
            left -= 1;
            if left == 0 {
                last = Some(entry.key().clone());
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        part.sort_unstable();
        if !part.is_empty() {
            self.parts.push(part);
        }
        last
    }

    /// Goes to the first record.
    pub fn rewind(&mut self) {
        let firsts = self.parts.iter().enumerate();
        self.heap = firsts
            .filter_map(|(part, changes)| Some(Reverse((*changes.first()?, part, 0))))
            .collect();
        self.next = Revision::new(self.compacted.max(0) + 1, 0);
        self.queue.clear();
    }

    /// The next records; with `values` their bytes, too. `fetch` gives a value that is in a page in
    /// memory. `None` if pages are not; they are appended to `missing`.
    ///
    /// # Errors
    /// `Compacted` where a version was swept.
    pub fn step<B: AsRef<[u8]>>(
        &mut self,
        index: &Index,
        values: bool,
        fetch: &mut impl FnMut(&PageSlot) -> Option<B>,
        missing: &mut Vec<PageId>,
    ) -> Result<Option<DumpBatch>, Error> {
        self.fill_queue(index);
        let mut batch = DumpBatch::default();
        while let Some(&change) = self.queue.front() {
            let (key, version) = index.change(change).ok_or(Error::Compacted)?;
            let before = batch.bytes.len();
            let len = match &version.value {
                Value::Sealed(slot) if values && slot.len > 0 => match fetch(slot) {
                    Some(value) => write(&mut batch.bytes, key, version, value.as_ref()),
                    None if batch.heads.is_empty() => {
                        self.look_ahead(index, missing);
                        return Ok(None);
                    }
                    None => return Ok(Some(batch)),
                },
                Value::Staged(value) if values => write(&mut batch.bytes, key, version, value),
                _ if values => write(&mut batch.bytes, key, version, &[]),
                Value::Sealed(slot) => length(key, version, slot.len as usize),
                Value::Staged(value) => length(key, version, value.len()),
                Value::Deleted => length(key, version, 0),
            };
            debug_assert!(!values || batch.bytes.len() - before == len);
            batch.heads.push(DumpHead {
                revision: version.revision,
                is_delete: version.is_delete(),
                len: u32::try_from(len).expect("a request is far below 4 GiB"),
            });
            self.queue.pop_front();
            if batch.bytes.len() >= DUMP_BYTES {
                return Ok(Some(batch));
            }
        }
        self.fill_queue(index);
        batch.is_last = self.queue.is_empty();
        Ok(Some(batch))
    }

    fn fill_queue(&mut self, index: &Index) {
        while self.queue.len() < DUMP_RECORDS
            && let Some(Reverse((change, part, place))) = self.heap.pop()
        {
            self.queue.push_back(change);
            if let Some(&next) = self.parts[part].get(place + 1) {
                self.heap.push(Reverse((next, part, place + 1)));
            }
        }
        if self.queue.len() >= DUMP_RECORDS {
            return;
        }
        let history = &index.history;
        for change in history.iter_from(history.seek(self.next)) {
            if change.main > self.at || self.queue.len() >= DUMP_RECORDS {
                break;
            }
            self.queue.push_back(*change);
            self.next = Revision::new(change.main, i64::from(change.sub) + 1);
        }
    }

    fn look_ahead(&self, index: &Index, missing: &mut Vec<PageId>) {
        let mut bytes = 0;
        for change in &self.queue {
            if let Some((_, version)) = index.change(*change)
                && let Value::Sealed(slot) = &version.value
            {
                bytes += slot.len as usize;
                if slot.len > 0 && !missing.contains(&slot.page) {
                    missing.push(slot.page);
                }
            }
            if missing.len() >= PAGES_AHEAD || bytes >= DUMP_BYTES {
                break;
            }
        }
    }
}

fn fields<'a>(key: &'a [u8], version: &Version, value: &'a [u8]) -> KvFields<'a> {
    if version.is_delete() {
        return KvFields {
            key,
            ..KvFields::default()
        };
    }
    super::read::fields(key, version, value)
}

fn write(out: &mut Vec<u8>, key: &[u8], version: &Version, value: &[u8]) -> usize {
    let before = out.len();
    fields(key, version, value).write(out);
    out.len() - before
}

fn length(key: &[u8], version: &Version, value_len: usize) -> usize {
    fields(key, version, &[]).encoded_len_with(value_len)
}

#[cfg(test)]
mod tests;
