//! What evaluating a change costs a shard (`engine/src/shard/shard_state.rs`, `evaluate.rs`,
//! `head.rs`) against a head of 100,000 keys: from the request to the change staged, its event made
//! and its effects in the batch for Raft. What happens to the batch is not in the figures: it is
//! committed between them, on the simulator's executor and a disk in memory. Run with
//! `cargo bench -p benches --bench head`.
#![allow(missing_docs)]

use std::cell::Cell;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::keys::KeyRange;
use engine::shard::message::{Ask, Responder};
use engine::shard::request::{
    Compare, CompareResult, CompareTarget, DeleteRequest, Op, PutRequest, TxnRequest,
};
use tests::sim::node::{Shape, SimCore};
use tests::sim::world::World;

const KEYS: usize = 100_000;

/// Changes evaluated before they are committed together.
const BATCH: usize = 64;

const VALUE: [u8; 256] = [b'v'; 256];

/// A node of one shard with all keys in it.
struct Filled {
    world: World,
    core: SimCore,
    /// The next key, in an order that is neither sorted nor random from run to run.
    at: Cell<usize>,
    /// When each key was last put.
    put_at: Vec<Cell<i64>>,
}

fn key(n: usize) -> Bytes {
    format!("/registry/pods/default/pod-{n:08}").into()
}

fn put(n: usize) -> PutRequest {
    PutRequest {
        key: key(n),
        value: Bytes::from_static(&VALUE),
        ..PutRequest::default()
    }
}

impl Filled {
    fn new() -> Self {
        let mut world = World::new(1);
        world.disk.set_immediate(true);
        let shape = Shape {
            shards: Some(1),
            cores: 1,
            lanes: 1,
            segment_bytes: 4 << 20,
            durable_writes: true,
            checkpoint_bytes: 16 << 20,
            // Nothing is sealed: what is measured needs no page.
            seal_bytes: u64::MAX,
            staged_bytes_max: u64::MAX,
            page_cache_bytes: 1 << 20,
        };
        let cores = world.boot(shape).expect("an empty node boots");
        let filled = Self {
            world,
            core: cores[0].clone(),
            at: Cell::new(0),
            put_at: (0..KEYS).map(|_| Cell::new(0)).collect(),
        };
        for from in (0..KEYS).step_by(BATCH) {
            let keys: Vec<usize> = (from..KEYS.min(from + BATCH)).collect();
            filled.run(&keys, |n| Ask::Put(put(n)));
        }
        filled
    }

    /// Evaluates one change of each key; the time it took. Then commits them.
    fn run(&self, keys: &[usize], ask: impl Fn(usize) -> Ask) -> Duration {
        let asks: Vec<Ask> = keys.iter().map(|n| ask(*n)).collect();
        let shard = self.core.owned().next().expect("a shard").clone();
        let order = &self.core.desk().order;
        let before = order.last();
        let began = Instant::now();
        for ask in asks {
            shard.submit(ask, Responder::Nobody);
        }
        let took = began.elapsed();
        assert_eq!(
            order.last() - before,
            keys.len() as i64,
            "all change something"
        );
        for (n, revision) in keys.iter().zip(before + 1..) {
            self.put_at[*n].set(revision);
        }
        while order.settled() < order.last() {
            assert!(
                self.world.executor.step(Some(&self.world.disk)),
                "it goes on"
            );
        }
        took
    }

    fn keys(&self, count: usize) -> Vec<usize> {
        let next = || {
            self.at.set((self.at.get() + 7919) % KEYS);
            self.at.get()
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    /// `count` changes, in batches; `after` undoes what a batch did, outside of the time.
    fn measure(
        &self,
        count: u64,
        ask: impl Fn(usize) -> Ask,
        after: impl Fn(&[usize]),
    ) -> Duration {
        let mut took = Duration::ZERO;
        let mut left = count as usize;
        while left > 0 {
            let keys = self.keys(left.min(BATCH));
            left -= keys.len();
            took += self.run(&keys, &ask);
            after(&keys);
        }
        took
    }

    /// A put on the condition that the key was not changed since.
    fn compare_and_put(&self, n: usize) -> Ask {
        let compare = Compare {
            range: KeyRange::One(key(n)),
            result: CompareResult::Equal,
            target: CompareTarget::Mod(self.put_at[n].get()),
        };
        Ask::Txn(Box::new(TxnRequest {
            compare: vec![compare],
            success: vec![Op::Put(put(n))],
            failure: Vec::new(),
        }))
    }
}

fn delete(n: usize) -> Ask {
    Ask::Delete(DeleteRequest {
        range: KeyRange::One(key(n)),
        prev_kv: false,
    })
}

fn head(c: &mut Criterion) {
    let filled = Filled::new();
    let mut group = c.benchmark_group("head");
    // Every change stays in memory as history: the runs are kept short.
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_millis(500));
    group.throughput(Throughput::Elements(1));
    group.bench_function("put", |b| {
        b.iter_custom(|count| filled.measure(count, |n| Ask::Put(put(n)), |_| {}));
    });
    group.bench_function("compare and put", |b| {
        b.iter_custom(|count| filled.measure(count, |n| filled.compare_and_put(n), |_| {}));
    });
    group.bench_function("delete", |b| {
        let again = |keys: &[usize]| {
            filled.run(keys, |n| Ask::Put(put(n)));
        };
        b.iter_custom(|count| filled.measure(count, delete, again));
    });
    group.finish();
}

criterion_group!(benches, head);
criterion_main!(benches);
