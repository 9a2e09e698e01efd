//! HashKV exactly as etcd computes it (`server/storage/mvcc/hash.go`, 3.5.16 and later), over
//! shards: each shard digests its records in bounded steps, and the parts are folded by revision
//! into one CRC-32C.
//!
//! The hash covers the bucket name `key`, then each record that counts, by revision: its raw key,
//! then its `mvccpb.KeyValue`.
//!
//! | offset | bytes | raw key |
//! |---|---|---|
//! | 0 | 8 | main revision, big endian |
//! | 8 | 1 | `_` |
//! | 9 | 8 | sub-revision, big endian |
//! | 17 | 1 | `t` for a delete, else nothing |
//!
//! With R the revision hashed at and C the compaction revision, a record counts if it is at most
//! R and: above C always; at or below C only if it is the one alive at R. Where no key at all is
//! alive at R, etcd's set of kept revisions is empty and it filters nothing: then the records
//! that the compaction at C left count, without deletes at C itself.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::ops::ControlFlow;

use super::history::Change;
use super::read::Step;
use super::{Index, Key, PageId, PageSlot, Value, Version};
use crate::error::Error;
use crate::format::kv_wire::KvFields;
use crate::ids::Revision;
use crate::keys::KeyRange;

/// The name of etcd's bucket, which its hash begins with.
const BUCKET: &[u8] = b"key";

/// Pages that one step asks for.
const PAGES_AHEAD: usize = 64;

/// One record that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashRecord {
    /// Its revision.
    pub revision: Revision,
    /// CRC-32C of its raw key and marshalled `KeyValue`.
    pub crc: u32,
    /// Length of both together, bytes.
    pub len: u32,
}

/// What to hash; the same for all shards of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashAsk {
    /// The revision hashed at.
    pub rev: i64,
    /// The compaction revision. For the hash that etcd takes during a compaction at `rev`, before
    /// anything is dropped, this is the compaction revision before.
    pub compacted: i64,
    /// Whether [`keeps_any`] holds on any shard.
    pub keep_any: bool,
}

/// Whether etcd's set of kept revisions at `rev` has anything from this shard. `compacting` is
/// for the hash taken during a compaction at `rev`, whose set also has the deletes at `rev`.
pub fn keeps_any(index: &Index, rev: i64, compacting: bool) -> bool {
    let everything = KeyRange::From(bytes::Bytes::new());
    let mut kept = index.count(&everything, rev) > 0;
    if compacting && !kept {
        index.changes(Revision::new(rev, 0), rev, usize::MAX, |_, version| {
            kept |= version.is_delete();
        });
    }
    kept
}

/// Digests the records of one shard.
#[derive(Debug)]
pub struct HashWalk {
    ask: HashAsk,
    phase: Phase,
    /// The records that count: each gathering step leaves a sorted part, so that no step has to
    /// sort all of them.
    parts: Vec<Vec<Change>>,
    /// The first record not yet taken of each part.
    heap: BinaryHeap<Reverse<(Change, usize, usize)>>,
    /// Records taken by revision and not yet digested.
    queue: VecDeque<Change>,
    records: Vec<HashRecord>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
enum Phase {
    /// Going through the keys, after the last one seen.
    Gather(Option<Key>),
    /// Going through the records by revision, as pages hold them.
    Digest,
}

impl HashWalk {
    /// For `ask`.
    pub fn new(ask: HashAsk) -> Self {
        Self {
            ask,
            phase: Phase::Gather(None),
            parts: Vec::new(),
            heap: BinaryHeap::new(),
            queue: VecDeque::new(),
            records: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Handles up to `count` keys or records. `fetch` gives a value that is in a page in memory;
    /// where nothing could be handled for want of pages, those are appended to `missing`. So pages
    /// need to be held no longer than to the next step that says anything else.
    ///
    /// # Errors
    /// `Compacted` where a compaction has overtaken the walk.
    pub fn step<B: AsRef<[u8]>>(
        &mut self,
        index: &Index,
        count: usize,
        fetch: &mut impl FnMut(&PageSlot) -> Option<B>,
        missing: &mut Vec<PageId>,
    ) -> Result<Step, Error> {
        if let Phase::Gather(after) = &mut self.phase {
            // Nothing is as old as what counts below zero, so that no compaction takes it either.
            if self.ask.rev >= 0 && index.compacted() > self.ask.rev {
                return Err(Error::Compacted);
            }
            let after = after.take();
            let mut part = Vec::new();
            let last = gather(index, self.ask, after.as_deref(), count, &mut part);
            self.add_part(part);
            self.phase = last.map_or(Phase::Digest, |last| Phase::Gather(Some(last)));
            return Ok(Step::More);
        }
        self.fill_queue(count);
        for done in 0..count {
            let Some(&change) = self.queue.front() else {
                return Ok(Step::Done);
            };
            let (key, version) = index.change(change).ok_or(Error::Compacted)?;
            let (crc, len) = match &version.value {
                Value::Deleted => record(&mut self.scratch, key, version, &[]),
                Value::Staged(value) => record(&mut self.scratch, key, version, value),
                Value::Sealed(slot) => match fetch(slot) {
                    Some(value) => record(&mut self.scratch, key, version, value.as_ref()),
                    None if done > 0 => return Ok(Step::More),
                    None => {
                        self.look_ahead(index, missing);
                        return Ok(Step::Missing);
                    }
                },
            };
            self.records.push(HashRecord {
                revision: version.revision,
                crc,
                len,
            });
            self.queue.pop_front();
        }
        Ok(Step::More)
    }

    /// The records by revision, after the last step.
    pub fn finish(self) -> Vec<HashRecord> {
        self.records
    }

    fn add_part(&mut self, mut part: Vec<Change>) {
        part.sort_unstable();
        if let Some(&first) = part.first() {
            self.heap.push(Reverse((first, self.parts.len(), 0)));
            self.parts.push(part);
        }
    }

    fn fill_queue(&mut self, count: usize) {
        while self.queue.len() < count
            && let Some(Reverse((change, part, place))) = self.heap.pop()
        {
            self.queue.push_back(change);
            match self.parts[part].get(place + 1) {
                Some(&next) => self.heap.push(Reverse((next, part, place + 1))),
                None => self.parts[part] = Vec::new(),
            }
        }
    }

    fn look_ahead(&self, index: &Index, missing: &mut Vec<PageId>) {
        for change in &self.queue {
            if let Some((_, version)) = index.change(*change)
                && let Value::Sealed(slot) = &version.value
                && !missing.contains(&slot.page)
            {
                missing.push(slot.page);
            }
            if missing.len() >= PAGES_AHEAD {
                break;
            }
        }
    }
}

/// Folds the records of all shards, in bounded steps.
#[derive(Debug)]
pub struct HashFold {
    parts: Vec<Vec<HashRecord>>,
    heap: BinaryHeap<Reverse<(Revision, usize, usize)>>,
    crc: u32,
    /// For each length met, what appending so many bytes does to each bit of a CRC.
    shifts: BTreeMap<u32, [u32; 32]>,
}

impl HashFold {
    /// Of each shard's records, by revision.
    pub fn new(parts: Vec<Vec<HashRecord>>) -> Self {
        let firsts = parts.iter().enumerate();
        let heap = firsts
            .filter_map(|(place, part)| Some(Reverse((part.first()?.revision, place, 0))))
            .collect();
        Self {
            parts,
            heap,
            crc: crc32c::crc32c(BUCKET),
            shifts: BTreeMap::new(),
        }
    }

    /// Folds up to `count` records; the hash, when all are folded.
    pub fn step(&mut self, count: usize) -> Option<u32> {
        for _ in 0..count {
            let Some(Reverse((_, part, place))) = self.heap.pop() else {
                return Some(self.crc);
            };
            let record = self.parts[part][place];
            self.append(record);
            if let Some(next) = self.parts[part].get(place + 1) {
                self.heap.push(Reverse((next.revision, part, place + 1)));
            }
        }
        None
    }

    fn append(&mut self, record: HashRecord) {
        /// Lengths whose effect is kept; most stores have few different ones.
        const SHIFTS_MAX: usize = 4096;
        let len = record.len as usize;
        if self.shifts.len() >= SHIFTS_MAX && !self.shifts.contains_key(&record.len) {
            self.crc = crc32c::crc32c_combine(self.crc, record.crc, len);
            return;
        }
        // Combining is linear over the bits, so one table for each length replaces the slow
        // general computation.
        let shift = self
            .shifts
            .entry(record.len)
            .or_insert_with(|| std::array::from_fn(|bit| crc32c::crc32c_combine(1 << bit, 0, len)));
        let mut crc = self.crc;
        self.crc = record.crc;
        while crc != 0 {
            self.crc ^= shift[crc.trailing_zeros() as usize];
            crc &= crc - 1;
        }
    }
}

/// Gathers the records of up to `count` keys; the last key, if there are more.
fn gather(
    index: &Index,
    ask: HashAsk,
    after: Option<&[u8]>,
    count: usize,
    part: &mut Vec<Change>,
) -> Option<Key> {
    let mut left = count.max(1);
    let mut last = None;
    index.seek_entries(after, |id, entry| {
        let upto = entry.versions_upto(ask.rev);
        let old = entry.versions_upto(ask.compacted.min(ask.rev)).len();
        // Of the records at or below the compaction revision at most one counts: the newest, if
        // it is no delete and, unless nothing is alive anywhere, not replaced up to R.
        let kept = upto[..old].last().filter(|v| !v.is_delete());
        let kept = kept.filter(|_| !ask.keep_any || old == upto.len());
        for version in kept.into_iter().chain(&upto[old..]) {
            part.push(Change::of(version.revision, id));
        }
        left -= 1;
        if left == 0 {
            last = Some(entry.key().clone());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    last
}

/// CRC and length of one record.
fn record(out: &mut Vec<u8>, key: &[u8], version: &Version, value: &[u8]) -> (u32, u32) {
    out.clear();
    out.extend_from_slice(&version.revision.main.to_be_bytes());
    out.push(b'_');
    out.extend_from_slice(&version.revision.sub.to_be_bytes());
    let fields = if version.is_delete() {
        out.push(b't');
        KvFields {
            key,
            ..KvFields::default()
        }
    } else {
        super::read::fields(key, version, value)
    };
    fields.write(out);
    (crc32c::crc32c(out), out.len() as u32)
}

#[cfg(test)]
mod tests;
