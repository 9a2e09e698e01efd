//! What `engine/src/wal` costs in CPU: 64 frames appended and made durable in one round, on a disk
//! in memory. Run with `cargo bench -p benches --bench wal`.
#![allow(missing_docs)]

use std::pin::pin;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::env::memory::MemoryDisk;
use engine::format::identity::Identity;
use engine::ids::{GroupId, LaneId};
use engine::wal::{FrameHead, Lane, LaneOptions};
use futures::future::select;

const FRAMES: u64 = 64;
const PAYLOAD: [u8; 512] = [b'p'; 512];

/// Rounds of appends with a flush each; the time they took.
async fn rounds(lane: Lane<MemoryDisk>, rounds: u64) -> Duration {
    let began = Instant::now();
    for _ in 0..rounds {
        for index in 0..FRAMES {
            let head = FrameHead {
                group: GroupId(0),
                kind: 1,
                term: 1,
                index,
            };
            lane.append(head, &[&PAYLOAD], None).expect("there is room");
        }
        lane.flush().await.expect("durable");
        lane.release(lane.next());
    }
    began.elapsed()
}

fn wal(c: &mut Criterion) {
    let mut group = c.benchmark_group("wal");
    group.throughput(Throughput::Elements(FRAMES));
    group.bench_function("append 64 frames and flush", |b| {
        b.iter_custom(|count| {
            let disk = MemoryDisk::new(1);
            disk.set_immediate(true);
            let work = async {
                let identity = Identity::new(1, 2);
                let dir = "wal".to_owned();
                let options = LaneOptions {
                    segment_bytes: 4 << 20,
                    ..LaneOptions::default()
                };
                let lane = Lane::create(disk.clone(), dir, LaneId(0), 1, identity, None, options)
                    .await
                    .expect("a lane");
                let running = lane.clone();
                let running = pin!(running.run());
                let work = pin!(rounds(lane.clone(), count));
                match select(work, running).await {
                    futures::future::Either::Left((took, _)) => took,
                    futures::future::Either::Right((ended, _)) => panic!("ended: {ended:?}"),
                }
            };
            disk.run(work).expect("the disk does not freeze")
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = wal
}
criterion_main!(benches);
