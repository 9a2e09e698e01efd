//! What `engine/src/format/effects.rs` costs: writing a batch of puts, and reading it back as a
//! follower or a restart does. Run with `cargo bench -p benches --bench effects`.
#![allow(missing_docs)]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::format::effects::{BatchReader, BatchWriter, Change, Put};

const OPERATIONS: usize = 64;

fn changes() -> Vec<Change> {
    (0..OPERATIONS)
        .map(|n| Change {
            sub: 0,
            key: Bytes::from(format!("/registry/pods/default/pod-{n:06}")),
            put: Some(Put {
                create_revision: 7,
                version: 1,
                lease: 0,
                value: Bytes::from(vec![b'v'; 256]),
            }),
        })
        .collect()
}

fn batch(changes: &[Change]) -> Bytes {
    let mut writer = BatchWriter::new();
    for (revision, change) in changes.iter().enumerate() {
        writer.changes(revision as i64 + 2, 0, 1, std::iter::once(change));
    }
    writer.finish(9)
}

fn effects(c: &mut Criterion) {
    let changes = changes();
    let mut group = c.benchmark_group("effects");
    group.throughput(Throughput::Elements(OPERATIONS as u64));
    group.bench_function("write", |b| b.iter(|| batch(black_box(&changes))));
    let bytes = batch(&changes);
    group.bench_function("read", |b| {
        b.iter(|| {
            let mut reader = BatchReader::new(bytes.clone()).expect("a batch");
            let mut records = 0;
            while let Some(record) = reader.next_record().expect("a record") {
                black_box(record);
                records += 1;
            }
            assert_eq!(records, OPERATIONS);
        });
    });
    group.finish();
}

criterion_group!(benches, effects);
criterion_main!(benches);
