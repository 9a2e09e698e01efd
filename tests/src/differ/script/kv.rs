//! Reads, writes and transactions of a script.

use bytes::Bytes;

use super::Script;
use crate::client::pb;
use crate::differ::contest::Known;
use crate::differ::step::{Call, Step};
use pb::request_op::Request;

/// Bytes that a request may have, by etcd's default.
const REQUEST_MAX: usize = 1_572_864;

/// Operations that each list of a transaction may have, by etcd's default.
const OPS_MAX: usize = 128;

impl Script {
    pub(super) fn put(&mut self) -> pb::PutRequest {
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

    pub(super) fn delete(&mut self) -> pb::DeleteRangeRequest {
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

    pub(super) fn range(&mut self, known: Known) -> pb::RangeRequest {
        let mut range = self.known_sort_range(known);
        if self.old_peer {
            return range;
        }
        // Unknown enum values are rare: their error would hide the rest.
        if self.random.one_in(40) {
            range.sort_order = self.random.pick(&[3, 9, -1]);
        }
        if self.random.one_in(40) {
            range.sort_target = self.random.pick(&[5, 9, -1]);
        }
        range
    }

    fn known_sort_range(&mut self, known: Known) -> pb::RangeRequest {
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
        range.limit = self.random.pick(&[0, 0, 0, 1, 2, 5, 1000, -1, i64::MAX]);
        if self.random.one_in(3) {
            range.revision = self.revision(known);
        }
        range.sort_order = self.random.pick(&[0, 0, 1, 2, 1, 2]);
        range.sort_target = self.random.pick(&[0, 0, 1, 2, 3, 4]);
        range.serializable = self.random.one_in(3);
        range.keys_only = self.random.one_in(5);
        range.count_only = self.random.one_in(8);
        let bound = |script: &mut Script, n| match script.random.one_in(n) {
            true if script.random.one_in(8) => script.revision(known),
            true => script.between(known),
            false => 0,
        };
        range.min_mod_revision = bound(self, 4);
        range.max_mod_revision = bound(self, 4);
        range.min_create_revision = bound(self, 6);
        range.max_create_revision = bound(self, 6);
        range
    }

    pub(super) fn compact(&mut self, known: Known) -> pb::CompactionRequest {
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

    pub(super) fn whole_txn(&mut self, known: Known) -> pb::TxnRequest {
        let mut txn = self.txn(known, 3);
        if self.old_peer && has_open_delete(&txn) {
            keep_nothing(&mut txn);
        }
        txn
    }

    fn txn(&mut self, known: Known, depth: u32) -> pb::TxnRequest {
        let compares = self.random.pick(&[0, 0, 1, 1, 2, 3]);
        let compare = (0..compares).map(|_| self.compare(known)).collect();
        pb::TxnRequest {
            compare,
            success: self.ops(known, depth, 5),
            failure: self.ops(known, depth, 4),
        }
    }

    fn ops(&mut self, known: Known, depth: u32, most: u64) -> Vec<pb::RequestOp> {
        let count = self.random.below(most);
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
            6..=15 => Some(Request::RequestRange(self.inner_range(known))),
            _ if reads_only => Some(Request::RequestRange(self.inner_range(known))),
            16..=22 => Some(Request::RequestDeleteRange(self.delete())),
            _ => Some(Request::RequestPut(self.put())),
        };
        pb::RequestOp { request }
    }

    /// A read in a transaction. Old etcds that start again do what they refused for the revision
    /// of a read (see `known`).
    fn inner_range(&mut self, known: Known) -> pb::RangeRequest {
        let mut range = self.range(known);
        if self.old_peer && self.restart_every > 0 {
            range.revision = 0;
        }
        range
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

    /// A request below, at or above a bound.
    pub(super) fn bounded(&mut self, known: Known) -> Call {
        let around = [OPS_MAX - 1, OPS_MAX, OPS_MAX + 1];
        match self.random.below(8) {
            0 | 7 => Call::Put(pb::PutRequest {
                key: Bytes::from_static(b"size"),
                value: vec![b'z'; self.size()].into(),
                ..Default::default()
            }),
            1 => Call::Txn(pb::TxnRequest {
                compare: (0..self.random.pick(&around))
                    .map(|_| self.compare(known))
                    .collect(),
                ..Default::default()
            }),
            2 => {
                // Nested ones share what is left.
                let (outer, inner) = self.random.pick(&[(64, 64), (64, 65), (1, 127), (1, 128)]);
                let mut txn = pb::TxnRequest {
                    success: numbered(outer - 1, b"o"),
                    ..Default::default()
                };
                let nested = pb::TxnRequest {
                    success: numbered(inner, b"n"),
                    ..Default::default()
                };
                txn.success.push(pb::RequestOp {
                    request: Some(Request::RequestTxn(nested)),
                });
                Call::Txn(txn)
            }
            n => {
                let ops = numbered(self.random.pick(&around), b"m");
                let mut txn = pb::TxnRequest::default();
                if n < 6 {
                    txn.success = ops;
                } else {
                    txn.failure = ops;
                }
                Call::Txn(txn)
            }
        }
    }

    /// Bytes of a value with which a request is just small enough, just too large, or too large
    /// for a message. Which byte decides depends on the member's id, so it is kept clear of.
    fn size(&mut self) -> usize {
        self.random.pick(&[
            REQUEST_MAX - 200,
            REQUEST_MAX - 90,
            REQUEST_MAX,
            REQUEST_MAX + 100_000,
            REQUEST_MAX + 600_000,
        ])
    }

    /// Changes whose events need more than one response.
    pub(super) fn big(&mut self) -> Step {
        let letter = self.random.pick(b"xyz");
        let size = self.random.pick(&[10, 400_000, 700_000, 700_000]);
        let op = |key: &'static [u8], size: usize| pb::RequestOp {
            request: Some(Request::RequestPut(pb::PutRequest {
                key: Bytes::from_static(key),
                value: vec![letter; size].into(),
                ..Default::default()
            })),
        };
        match self.random.below(4) {
            0 => Step::Call(Call::Delete(pb::DeleteRangeRequest {
                key: Bytes::from_static(b"g/"),
                range_end: Bytes::from_static(b"h"),
                prev_kv: self.random.one_in(2),
            })),
            1 => Step::Call(Call::Txn(pb::TxnRequest {
                success: vec![op(b"g/7", size), op(b"g/8", size)],
                ..Default::default()
            })),
            2 => Step::Call(Call::Txn(pb::TxnRequest {
                success: vec![op(b"g/6", size), op(b"g/7", 10), op(b"g/9", size)],
                ..Default::default()
            })),
            _ => Step::Call(Call::Put(pb::PutRequest {
                key: Bytes::from_static(b"g/9"),
                value: vec![letter; size * 2].into(),
                prev_kv: self.random.one_in(2),
                ..Default::default()
            })),
        }
    }
}

/// Puts of that many keys.
fn numbered(count: usize, name: &[u8]) -> Vec<pb::RequestOp> {
    let put = |n: usize| pb::PutRequest {
        key: [name, format!("{n}").as_bytes()].concat().into(),
        value: Bytes::from_static(b"n"),
        ..Default::default()
    };
    let op = |n| pb::RequestOp {
        request: Some(Request::RequestPut(put(n))),
    };
    (0..count).map(op).collect()
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
