//! A lane lives, crashes and lives again, at random: nothing promised is lost.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;

use super::*;
use crate::format::checkpoint::LogEnd;

/// What was promised over all crashes of one run.
struct Promise {
    acknowledged: Rc<Cell<u64>>,
    appended: u64,
    released: u64,
    /// As a checkpoint would have noted it.
    end: LogEnd,
}

/// One life of a lane, to its crash. Frame `lsn` has index `lsn`.
fn live(disk: &MemoryDisk, random: &mut Random, promise: &mut Promise, options: LaneOptions) {
    let crash_after = random.below(120);
    disk.crash_at(disk.operations() + 1 + crash_after);
    let opened = disk.run(open(disk, options));
    if let Some(opened) = opened {
        let (lane, images) = opened.unwrap();
        if let Some(image) = images.first() {
            check(image, promise);
        }
        check_ends("wal", &images, &[promise.end]).unwrap();
        assert!(
            lane.next().0 > promise.acknowledged.get(),
            "what was promised is gone"
        );
        // What was not promised and is gone is appended anew under the same numbers.
        promise.appended = lane.next().0 - 1;
        promise.acknowledged.set(promise.appended);
        let work = async {
            for _ in 0..random.below(60) {
                for _ in 0..=random.below(4) {
                    let index = lane.next().0;
                    let acknowledged = promise.acknowledged.clone();
                    let done: Done = Box::new(move |result| {
                        if result.is_ok() {
                            assert_eq!(acknowledged.get() + 1, index, "out of order");
                            acknowledged.set(index);
                        }
                    });
                    match lane.append(head(index), &[&payload(index)], Some(done)) {
                        Ok((lsn, _)) => promise.appended = lsn.0,
                        Err(WalError::Busy) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                if random.below(3) > 0 {
                    lane.flush().await.unwrap();
                }
                if random.below(8) == 0 {
                    let acknowledged = promise.acknowledged.get();
                    promise.released = promise.released.max(random.below(acknowledged + 2));
                    promise.end = lane.end();
                    lane.release(Lsn(promise.released));
                }
            }
        };
        disk.run(during(&lane, work));
    }
    if random.below(6) > 0 {
        disk.crash();
    } else {
        // The process is killed and the power stays: what it asked for completes.
        disk.crash_at(u64::MAX);
        while disk.step() {}
        if disk.is_frozen() {
            disk.crash();
        }
    }
}

fn check(image: &LaneImage, promise: &Promise) {
    let found = indexes(image);
    let first = found.first().copied().unwrap_or(image.tail.last_lsn.0 + 1);
    let last = image.tail.last_lsn.0;
    assert_eq!(found, (first..=last).collect::<Vec<_>>(), "not in order");
    assert!(
        first <= promise.released.max(1),
        "{first} is the first, not {}",
        promise.released
    );
    let acknowledged = promise.acknowledged.get();
    assert!(
        last >= acknowledged,
        "{last} is the last, {acknowledged} was promised"
    );
    assert!(last <= promise.appended, "{last} was never appended");
    for frame in &image.frames {
        assert_eq!(frame.head, head(frame.lsn.0));
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn many_lives(seed: u64, break_sync: Option<fn(&str, SyncKind) -> bool>) -> u64 {
    let disk = MemoryDisk::new(seed);
    if let Some(breaks) = break_sync {
        disk.ignore_sync(Rc::new(breaks));
    }
    let mut random = Random(seed);
    let mut promise = Promise {
        acknowledged: Rc::default(),
        appended: 0,
        released: 0,
        end: LogEnd::default(),
    };
    let durable_writes = seed.is_multiple_of(2);
    for _ in 0..12 {
        let segment_bytes = 4096 * [6, 6, 8][random.below(3) as usize];
        let options = LaneOptions {
            segment_bytes,
            durable_writes,
            keep_segments: 4,
            queue_bytes: 30_000,
            spare_segments: 1 + random.below(2) as usize,
        };
        live(&disk, &mut random, &mut promise, options);
    }
    disk.trace()
}

#[test]
fn nothing_promised_is_lost_and_nothing_invented_over_many_crashes() {
    let seeds = std::env::var("WAL_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(150);
    for seed in 0..seeds {
        let lives = std::panic::catch_unwind(|| many_lives(seed, None));
        assert!(lives.is_ok(), "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_lives() {
    assert_eq!(many_lives(7, None), many_lives(7, None));
    assert_ne!(many_lives(7, None), many_lives(9, None));
}

#[test]
fn without_any_one_of_its_syncs_something_is_lost() {
    let breaks: [fn(&str, SyncKind) -> bool; 3] = [
        |_, kind| kind == SyncKind::File,
        |_, kind| kind == SyncKind::Dir,
        |_, kind| kind == SyncKind::Write,
    ];
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let seen = breaks.map(|broken| {
        (0..60).any(|seed| std::panic::catch_unwind(|| many_lives(seed, Some(broken))).is_err())
    });
    std::panic::set_hook(hook);
    assert_eq!(seen, [true; 3]);
}
