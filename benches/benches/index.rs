//! What `engine/src/mvcc/index` and `engine/src/mvcc/read.rs` cost over 200,000 keys: staging a
//! version, finding a key, counting a range and reading a run of one. Run with
//! `cargo bench -p benches --bench index`.
#![allow(missing_docs)]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::ids::Revision;
use engine::keys::KeyRange;
use engine::mvcc::read::{self, Ask, Filter};
use engine::mvcc::{Index, PageSlot, Value, Version};

const KEYS: i64 = 200_000;
const RUN_KEYS: usize = 500;

fn key(n: i64) -> String {
    format!("/registry/pods/default/pod-{n:08}")
}

fn version(revision: i64) -> Version {
    Version {
        revision: Revision::new(revision, 0),
        create_revision: revision,
        version: 1,
        lease: 0,
        value: Value::Staged(Bytes::from_static(&[b'v'; 256])),
    }
}

/// Keys in an order that is neither sorted nor random from run to run.
fn filled() -> Index {
    let mut index = Index::new();
    for n in 0..KEYS {
        index.stage(key(n * 7919 % KEYS).as_bytes(), version(n + 2));
    }
    index
}

fn index(c: &mut Criterion) {
    let mut index = filled();
    let mut next = KEYS + 2;
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    let mut at = 0;
    let mut turn = move || {
        at = (at + 104_729) % KEYS as usize;
        at
    };
    c.bench_function("index/newest", |b| {
        b.iter(|| black_box(index.newest(keys[turn()].as_bytes())).is_some());
    });
    let all = KeyRange::From(Bytes::from_static(b"/registry/"));
    c.bench_function("index/count", |b| {
        b.iter(|| index.count(black_box(&all), KEYS));
    });
    let mut group = c.benchmark_group("index/run");
    group.throughput(Throughput::Elements(RUN_KEYS as u64));
    group.bench_function("staged", |b| {
        let mut fetch = |_: &PageSlot| None::<&[u8]>;
        b.iter(|| {
            let ask = Ask {
                rev: KEYS,
                limit: RUN_KEYS,
                keys_only: false,
                filter: Filter::default(),
            };
            let mut missing = Vec::new();
            read::run(&index, &all, ask, &mut fetch, &mut missing).expect("not compacted")
        });
    });
    group.finish();
    c.bench_function("index/stage", |b| {
        b.iter(|| {
            index.stage(keys[turn()].as_bytes(), version(next));
            next += 1;
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = index
}
criterion_main!(benches);
