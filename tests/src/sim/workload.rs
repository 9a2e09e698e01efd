//! What clients ask, drawn from the seed: few keys, so that requests meet; values that name the
//! request that wrote them; every kind of request the engine knows. `client` asks it.

use bytes::Bytes;
use engine::keys::KeyRange;
use engine::shard::request::{
    Compare, CompareResult, CompareTarget, DeleteRequest, Op as TxnOp, PutRequest, RangeRequest,
    TxnRequest,
};

use crate::sim::random::Random;

/// Keys in use: `k00` to `k23`.
const KEYS: u64 = 24;

/// One request of a client.
#[derive(Clone, Debug)]
pub enum Request {
    /// Sets a key.
    Put(PutRequest),
    /// Deletes keys.
    Delete(DeleteRequest),
    /// A transaction.
    Txn(TxnRequest),
    /// Reads keys; with a revision, it is replaced by one that can be read.
    Range(RangeRequest),
    /// A transaction of reads only.
    ReadTxn(TxnRequest),
    /// Grants a lease.
    Grant {
        /// Its id.
        id: i64,
        /// Time to live, seconds.
        ttl_s: i64,
    },
    /// Revokes a lease.
    Revoke(i64),
    /// Keeps a lease alive.
    KeepAlive(i64),
    /// Compacts the history at a revision that lies this share, in 1/256, behind the present.
    Compact {
        /// The share.
        share: u64,
        /// Wait for the sweep.
        physical: bool,
    },
    /// Makes a checkpoint.
    Checkpoint,
    /// Rewrites pages, then makes a checkpoint.
    Defragment,
}

/// What a workload may draw from.
pub struct Workload {
    random: Random,
    /// Largest length of an ordinary value.
    value_bytes: u64,
    /// Leases that exist as far as this client knows.
    leases: Vec<i64>,
    /// Number of the next request, over all lives.
    next: u64,
    client: u64,
}

fn key(number: u64) -> Bytes {
    format!("k{number:02}").into()
}

impl Workload {
    /// The workload of one client in one life; request numbers begin at `first`.
    pub fn new(
        random: Random,
        client: u64,
        first: u64,
        leases: Vec<i64>,
        value_bytes: u64,
    ) -> Self {
        Self {
            random,
            value_bytes,
            leases,
            next: first,
            client,
        }
    }

    /// Nanoseconds to think before the next request.
    pub fn pause_ns(&mut self) -> u64 {
        match self.random.below(8) {
            0..5 => 0,
            5..7 => self.random.below(3_000_000),
            _ => self.random.below(60_000_000),
        }
    }

    /// The next request.
    pub fn draw(&mut self) -> Request {
        self.next += 1;
        match self.random.below(100) {
            0..38 => {
                let key = self.key();
                Request::Put(self.put(key))
            }
            38..48 => Request::Delete(self.delete()),
            48..66 => {
                let mut keys = self.distinct(10);
                Request::Txn(self.txn(&mut keys, 0))
            }
            66..76 => Request::Range(self.range()),
            76..79 => Request::ReadTxn(self.read_txn()),
            79..85 => self.grant(),
            85..89 => match self.lease() {
                0 => self.grant(),
                id => Request::Revoke(id),
            },
            89..91 => match self.lease() {
                0 => self.grant(),
                id => Request::KeepAlive(id),
            },
            91..94 => Request::Compact {
                share: self.random.below(256),
                physical: self.random.one_in(2),
            },
            94..98 => Request::Checkpoint,
            _ => Request::Defragment,
        }
    }

    fn key(&mut self) -> Bytes {
        key(self.random.below(KEYS))
    }

    /// Different keys in a random order.
    fn distinct(&mut self, count: usize) -> Vec<Bytes> {
        let mut all: Vec<u64> = (0..KEYS).collect();
        let mut take = || key(all.swap_remove(self.random.below(all.len() as u64) as usize));
        (0..count).map(|_| take()).collect()
    }

    fn lease(&mut self) -> i64 {
        match self.leases.len() as u64 {
            0 => 0,
            n => self.leases[self.random.below(n) as usize],
        }
    }

    fn grant(&mut self) -> Request {
        let id = (self.client as i64 + 1) * 1_000_000 + self.next as i64;
        self.leases.push(id);
        let ttl_s = if self.random.one_in(3) { 2 } else { 100_000 };
        Request::Grant { id, ttl_s }
    }

    fn put(&mut self, key: Bytes) -> PutRequest {
        let lease = if self.random.one_in(4) {
            self.lease()
        } else {
            0
        };
        let len = match self.random.below(16) {
            0 => self.random.below(8 * self.value_bytes),
            _ => self.random.below(self.value_bytes),
        };
        let mut value = format!("{}.{}.{key:?}.", self.client, self.next).into_bytes();
        let fill = self.random.bits() as u8;
        value.extend((0..len).map(|at| fill.wrapping_add(at as u8)));
        PutRequest {
            key,
            value: value.into(),
            lease,
            prev_kv: self.random.one_in(4),
            ..PutRequest::default()
        }
    }

    fn span(&mut self) -> KeyRange {
        let from = self.random.below(KEYS);
        let len = self.random.between(1, KEYS / 2);
        match self.random.below(4) {
            0 => KeyRange::From(key(from)),
            _ => KeyRange::Span(key(from), key(from + len)),
        }
    }

    fn delete(&mut self) -> DeleteRequest {
        let range = match self.random.below(3) {
            0 => self.span(),
            _ => KeyRange::One(self.key()),
        };
        DeleteRequest {
            range,
            prev_kv: self.random.one_in(2),
        }
    }

    fn range(&mut self) -> RangeRequest {
        let range = match self.random.below(3) {
            0 => KeyRange::One(self.key()),
            1 => KeyRange::From(key(0)),
            _ => self.span(),
        };
        let mut request = RangeRequest::all(range);
        if self.random.one_in(3) {
            request.limit = self.random.between(1, 5) as i64;
        }
        // Stands for some revision that can still be read.
        request.revision = if self.random.one_in(2) {
            1 + self.random.below(1 << 20) as i64
        } else {
            0
        };
        request.serializable = self.random.one_in(4);
        request
    }

    fn read_txn(&mut self) -> TxnRequest {
        let reads = |this: &mut Self| {
            let mut range = this.range();
            range.revision = 0;
            range.serializable = false;
            TxnOp::Range(range)
        };
        TxnRequest {
            compare: (0..self.random.below(3)).map(|_| self.compare()).collect(),
            success: (0..self.random.between(1, 3))
                .map(|_| reads(self))
                .collect(),
            failure: (0..self.random.between(0, 2))
                .map(|_| reads(self))
                .collect(),
        }
    }

    fn compare(&mut self) -> Compare {
        let range = match self.random.below(6) {
            0 => self.span(),
            _ => KeyRange::One(self.key()),
        };
        let result = match self.random.below(4) {
            0 => CompareResult::Equal,
            1 => CompareResult::NotEqual,
            2 => CompareResult::Greater,
            _ => CompareResult::Less,
        };
        let target = match self.random.below(5) {
            4 => CompareTarget::Value(Bytes::from(vec![b'0' + self.random.below(4) as u8])),
            0 => CompareTarget::Version(self.random.below(4) as i64),
            1 => CompareTarget::Create(self.random.below(100) as i64),
            2 => CompareTarget::Mod(self.random.below(200) as i64),
            _ => CompareTarget::Lease(self.lease()),
        };
        Compare {
            range,
            result,
            target,
        }
    }

    /// A transaction that writes each key at most once, as etcd demands.
    fn txn(&mut self, keys: &mut Vec<Bytes>, depth: u64) -> TxnRequest {
        let branch = |this: &mut Self, keys: &mut Vec<Bytes>| -> Vec<TxnOp> {
            let count = this.random.between(u64::from(depth == 0), 3);
            (0..count)
                .filter_map(|_| this.txn_op(keys, depth))
                .collect()
        };
        TxnRequest {
            compare: (0..self.random.below(3)).map(|_| self.compare()).collect(),
            success: branch(self, keys),
            failure: branch(self, keys),
        }
    }

    fn txn_op(&mut self, keys: &mut Vec<Bytes>, depth: u64) -> Option<TxnOp> {
        match self.random.below(8) {
            0..4 => Some(TxnOp::Put({
                let key = keys.pop()?;
                self.put(key)
            })),
            4..6 => Some(TxnOp::Delete {
                request: DeleteRequest {
                    range: KeyRange::One(keys.pop()?),
                    prev_kv: self.random.one_in(2),
                },
                raw_end: Bytes::new(),
            }),
            6 if depth < 2 => Some(TxnOp::Txn(Box::new(self.txn(keys, depth + 1)))),
            _ => {
                let mut range = self.range();
                range.revision = 0;
                Some(TxnOp::Range(range))
            }
        }
    }
}
