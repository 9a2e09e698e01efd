//! A seeded random sequence of requests over all fields of the API, made to hit edges: few keys,
//! many transactions, revisions around now and around the compaction. Asked by the case
//! `same_answers` of several servers in step.

use bytes::Bytes;

use crate::client::pb;
use pb::request_op::Request;

/// A small generator of random numbers (splitmix64): the same seed gives the same script on every
/// machine and with every release of any crate.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.bits() % n
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of `all`, which is not empty.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// One request to ask all servers.
#[derive(Clone, Debug)]
pub enum Step {
    /// KV.
    Range(pb::RangeRequest),
    /// KV.
    Put(pb::PutRequest),
    /// KV.
    Delete(pb::DeleteRangeRequest),
    /// KV.
    Txn(pb::TxnRequest),
    /// KV.
    Compact(pb::CompactionRequest),
    /// Lease.
    Grant(pb::LeaseGrantRequest),
    /// Lease.
    Revoke(pb::LeaseRevokeRequest),
    /// Lease.
    TimeToLive(pb::LeaseTimeToLiveRequest),
    /// Lease.
    Leases,
    /// Lease: one renewal on the session's stream.
    KeepAlive(i64),
    /// A watch on the session's stream of this number.
    Watch(usize, pb::WatchCreateRequest),
    /// Cancels a watch on a stream.
    Cancel(usize, i64),
}

/// What earlier answers told: lets revisions be chosen near the interesting ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// Newest revision.
    pub revision: i64,
    /// Revision of the last compaction.
    pub compacted: i64,
}

/// Number of watch streams that a script uses.
pub const WATCH_STREAMS: usize = 3;

/// Makes the steps.
pub struct Script {
    random: Random,
    /// Leave out what etcd before 3.6 answers otherwise (see `same_answers`).
    old_peer: bool,
}

impl Script {
    /// A script from a seed. `old_peer` leaves out what old etcd releases answer differently.
    #[must_use]
    pub fn new(seed: u64, old_peer: bool) -> Script {
        Script {
            random: Random(seed),
            old_peer,
        }
    }

    /// The next step.
    pub fn next(&mut self, known: Known) -> Step {
        match self.random.below(100) {
            0..=24 => Step::Put(self.put()),
            25..=44 => Step::Range(self.range(known)),
            45..=54 => Step::Delete(self.delete()),
            55..=79 => Step::Txn(self.whole_txn(known)),
            80..=81 => Step::Compact(self.compact(known)),
            82..=85 => Step::Grant(self.grant()),
            86..=87 => Step::Revoke(pb::LeaseRevokeRequest { id: self.lease() }),
            88..=90 => Step::TimeToLive(pb::LeaseTimeToLiveRequest {
                id: self.lease(),
                keys: self.random.one_in(2),
            }),
            91 => Step::Leases,
            92..=93 => Step::KeepAlive(self.lease()),
            94..=98 => self.watch(known),
            _ => {
                let id = self.random.below(12) as i64;
                Step::Cancel(self.random.below(WATCH_STREAMS as u64) as usize, id)
            }
        }
    }

    /// About forty keys, some each other's prefixes, some not text.
    fn key(&mut self) -> Bytes {
        let letter = self.random.pick(b"abcdefg");
        match self.random.below(40) {
            0 => Bytes::new(),
            1 => Bytes::from_static(&[0]),
            2 => Bytes::from_static(&[0xff]),
            3 => Bytes::from_static(&[0xff, 0xff, 0x00]),
            4..=9 => Bytes::copy_from_slice(&[letter]),
            10..=12 => Bytes::copy_from_slice(&[letter, 0]),
            13..=15 => Bytes::copy_from_slice(&[letter, 0xff]),
            n => Bytes::copy_from_slice(&[letter, b'/', b'0' + (n % 5) as u8]),
        }
    }

    fn end(&mut self, key: &Bytes) -> Bytes {
        match self.random.below(8) {
            0..=2 => Bytes::new(),
            3 => Bytes::from_static(&[0]),
            4 => prefix_end(key),
            5 => self.key(),
            6 => [key, &b"\0"[..]].concat().into(),
            _ => Bytes::from_static(b"zz"),
        }
    }

    fn value(&mut self) -> Bytes {
        match self.random.below(20) {
            0..=1 => Bytes::new(),
            2 => vec![self.random.bits() as u8; 10_000].into(),
            _ => format!("v{}", self.random.below(9)).into(),
        }
    }

    fn lease(&mut self) -> i64 {
        self.random
            .pick(&[0, 1, 7, 70, 71, 72, 1 << 40, i64::MAX, -5])
    }

    fn put(&mut self) -> pb::PutRequest {
        let r = &mut self.random;
        let (ignore_value, ignore_lease) = (r.one_in(12), r.one_in(12));
        let prev_kv = r.one_in(2);
        let lease = if r.one_in(4) { self.lease() } else { 0 };
        let lease = if ignore_lease && self.random.below(4) > 0 {
            0
        } else {
            lease
        };
        let bare = ignore_value && self.random.below(4) > 0;
        let value = if bare { Bytes::new() } else { self.value() };
        pb::PutRequest {
            key: self.key(),
            value,
            lease,
            prev_kv,
            ignore_value,
            ignore_lease,
        }
    }

    fn delete(&mut self) -> pb::DeleteRangeRequest {
        let key = self.key();
        let range_end = if self.random.one_in(2) {
            Bytes::new()
        } else {
            self.end(&key)
        };
        pb::DeleteRangeRequest {
            key,
            range_end,
            prev_kv: self.random.one_in(2),
        }
    }

    /// A revision near now, near the compaction, or anywhere.
    fn revision(&mut self, known: Known) -> i64 {
        match self.random.below(12) {
            0 => -1,
            1 => known.revision,
            2 => known.revision + 1,
            3 => known.revision + 1000,
            4 => known.compacted,
            5 => known.compacted - 1,
            6 => known.compacted + 1,
            7 => known.revision - 1,
            8 => 1,
            9 => i64::MAX,
            _ => self.between(known),
        }
    }

    fn between(&mut self, known: Known) -> i64 {
        let span = (known.revision - known.compacted).max(1);
        known.compacted + self.random.below(span.unsigned_abs()) as i64
    }

    fn range(&mut self, known: Known) -> pb::RangeRequest {
        let key = self.key();
        let range_end = self.end(&key);
        let plain = self.random.one_in(3);
        let mut range = pb::RangeRequest {
            key,
            range_end,
            ..Default::default()
        };
        if plain {
            return range;
        }
        range.limit = self.random.pick(&[0, 0, 0, 1, 2, 5, 1000, -1]);
        if self.random.one_in(3) {
            range.revision = self.revision(known);
        }
        range.sort_order = self.random.pick(&[0, 0, 1, 2, 1, 2, 9]);
        range.sort_target = self.random.pick(&[0, 0, 1, 2, 3, 4, 9]);
        if self.random.below(6) > 0 || self.old_peer {
            // Unknown enum values are rare: their error would hide the rest.
            range.sort_order = range.sort_order.min(2);
            range.sort_target = range.sort_target.min(4);
        }
        range.serializable = self.random.one_in(3);
        range.keys_only = self.random.one_in(5);
        range.count_only = self.random.one_in(8);
        if self.random.one_in(4) {
            range.min_mod_revision = self.between(known);
        }
        if self.random.one_in(4) {
            range.max_mod_revision = self.between(known);
        }
        if self.random.one_in(6) {
            range.min_create_revision = self.between(known);
        }
        if self.random.one_in(6) {
            range.max_create_revision = self.between(known);
        }
        range
    }

    fn compact(&mut self, known: Known) -> pb::CompactionRequest {
        let revision = match self.random.below(4) {
            0 => self.revision(known),
            // Mostly far back, so that there stays a history to ask for.
            1 => known.revision,
            _ => known.compacted + (known.revision - known.compacted) / 3,
        };
        pb::CompactionRequest {
            revision,
            physical: self.random.one_in(3),
        }
    }

    fn grant(&mut self) -> pb::LeaseGrantRequest {
        // Times far above the script's length: no lease ends by itself.
        let ttl = self
            .random
            .pick(&[5_000, 6_000, 70_000, 9_000_000_000, 9_000_000_001]);
        let mut id = self.lease();
        while id == 0 {
            id = self.lease();
        }
        pb::LeaseGrantRequest { ttl, id }
    }

    fn watch(&mut self, known: Known) -> Step {
        let key = self.key();
        let range_end = self.end(&key);
        let start_revision = match self.random.below(8) {
            0..=2 => 0,
            3 => known.revision + 1 + self.random.below(4) as i64,
            4 if self.old_peer => known.compacted + 1,
            4 => known.compacted,
            5 => known.compacted - 1,
            6 => known.revision,
            _ => self.between(known) + 1,
        };
        let filters = match self.random.below(6) {
            0 => vec![0],
            1 => vec![1],
            _ => Vec::new(),
        };
        let create = pb::WatchCreateRequest {
            key,
            range_end,
            start_revision: start_revision.max(0),
            filters,
            prev_kv: self.random.one_in(2),
            watch_id: if self.random.one_in(4) {
                self.random.below(20) as i64
            } else {
                0
            },
            fragment: self.random.one_in(3),
            ..Default::default()
        };
        Step::Watch(self.random.below(WATCH_STREAMS as u64) as usize, create)
    }

    fn whole_txn(&mut self, known: Known) -> pb::TxnRequest {
        let mut txn = self.txn(known, 3);
        if self.old_peer && has_open_delete(&txn) {
            keep_nothing(&mut txn);
        }
        txn
    }

    fn txn(&mut self, known: Known, depth: u32) -> pb::TxnRequest {
        let compares = self.random.pick(&[0, 0, 1, 1, 2, 3]);
        let most = if self.random.one_in(150) { 140 } else { 5 };
        let compare = (0..compares).map(|_| self.compare(known)).collect();
        pb::TxnRequest {
            compare,
            success: self.ops(known, depth, most),
            failure: self.ops(known, depth, 4),
        }
    }

    fn ops(&mut self, known: Known, depth: u32, most: u64) -> Vec<pb::RequestOp> {
        let count = if most > 100 {
            most
        } else {
            self.random.below(most)
        };
        // Some transactions only read: those take another way through a server.
        let reads_only = self.random.one_in(5);
        (0..count)
            .map(|_| self.op(known, depth, reads_only))
            .collect()
    }

    fn op(&mut self, known: Known, depth: u32, reads_only: bool) -> pb::RequestOp {
        let request = match self.random.below(40) {
            0 => None,
            1..=5 if depth > 0 => Some(Request::RequestTxn(self.txn(known, depth - 1))),
            6..=15 => Some(Request::RequestRange(self.range(known))),
            _ if reads_only => Some(Request::RequestRange(self.range(known))),
            16..=22 => Some(Request::RequestDeleteRange(self.delete())),
            _ => Some(Request::RequestPut(self.put())),
        };
        pb::RequestOp { request }
    }

    fn compare(&mut self, known: Known) -> pb::Compare {
        use pb::compare::TargetUnion;
        let key = self.key();
        let range_end = if self.random.one_in(4) {
            self.end(&key)
        } else {
            Bytes::new()
        };
        let target = self.random.below(5) as i32;
        let small = self.random.below(4) as i64;
        let revision = if self.random.one_in(3) {
            0
        } else {
            self.between(known)
        };
        let target_union = match target {
            _ if self.random.one_in(12) => None,
            0 => Some(TargetUnion::Version(small)),
            1 => Some(TargetUnion::CreateRevision(revision)),
            2 => Some(TargetUnion::ModRevision(revision)),
            3 => Some(TargetUnion::Value(self.value())),
            _ => Some(TargetUnion::Lease(self.lease())),
        };
        let result = self.random.below(4) as i32;
        pb::Compare {
            result,
            target,
            key,
            target_union,
            range_end,
        }
    }
}

fn requests(txn: &pb::TxnRequest) -> impl Iterator<Item = &Request> {
    let ops = txn.success.iter().chain(&txn.failure);
    ops.filter_map(|op| op.request.as_ref())
}

/// Whether a delete without an upper end is in it: the one kind that may stand beside a put of a
/// key that it deletes.
fn has_open_delete(txn: &pb::TxnRequest) -> bool {
    requests(txn).any(|request| match request {
        Request::RequestDeleteRange(delete) => *delete.range_end == [0],
        Request::RequestTxn(inner) => has_open_delete(inner),
        Request::RequestRange(_) | Request::RequestPut(_) => false,
    })
}

/// No put keeps its key's value or lease any more.
fn keep_nothing(txn: &mut pb::TxnRequest) {
    let ops = txn.success.iter_mut().chain(&mut txn.failure);
    for request in ops.filter_map(|op| op.request.as_mut()) {
        match request {
            Request::RequestPut(put) => (put.ignore_value, put.ignore_lease) = (false, false),
            Request::RequestTxn(inner) => keep_nothing(inner),
            Request::RequestRange(_) | Request::RequestDeleteRange(_) => {}
        }
    }
}

/// The end of the range of all keys that begin with `key`.
#[must_use]
pub fn prefix_end(key: &[u8]) -> Bytes {
    let mut end = key.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(&[0])
}
