//! The table of cases of recovery, one test each, and a long random run of crashes.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use super::super::lane::tests::{LANE, ME, during, head, open, small};
use super::super::{
    Done, Identity, Lane, LaneImage, LaneOptions, Lsn, WalError, era_after, recover, remove_lane,
};
use crate::env::memory::{MemoryDisk, SyncKind};
use crate::env::{Disk, DiskFile, OpenMode};
use crate::ids::{ClusterId, LaneId, MemberId};

fn path(number: u64) -> String {
    format!("wal/lane-00003/{number:020}.seg")
}

fn test<T>(seed: u64, body: impl AsyncFnOnce(MemoryDisk) -> T) -> T {
    let disk = MemoryDisk::new(seed);
    disk.run(body(disk.clone())).expect("everything waits")
}

async fn found(disk: &MemoryDisk) -> Result<LaneImage, WalError> {
    recover(disk, "wal", ME)
        .await
        .map(|mut images| images.remove(0))
}

/// Each frame's index, from its head and from its payload.
fn indexes(image: &LaneImage) -> Vec<u64> {
    let index = |frame: &super::Recovered| {
        assert_eq!(
            frame.payload[..],
            payload(frame.head.index),
            "frame {:?}",
            frame.lsn
        );
        frame.head.index
    };
    image.frames.iter().map(index).collect()
}

fn payload(index: u64) -> Vec<u8> {
    let len = [5, 100, 700, 3000, 4500][index as usize % 5];
    (0..len)
        .map(|at: usize| (at as u64 * 7 + index) as u8)
        .collect()
}

/// Appends frames `from..=to`, each durable before the next.
async fn fill(lane: &Lane<MemoryDisk>, from: u64, to: u64) {
    for index in from..=to {
        lane.append(head(index), &[&payload(index)], None).unwrap();
        lane.flush().await.unwrap();
    }
}

/// One era that appends `from..=to`.
async fn era(disk: &MemoryDisk, from: u64, to: u64) -> Lane<MemoryDisk> {
    let (lane, _) = open(disk, small(8)).await.unwrap();
    during(&lane, fill(&lane, from, to)).await;
    lane
}

async fn patch(disk: &MemoryDisk, path: &str, at: u64, change: impl FnOnce(&mut [u8])) {
    let file = disk.open(path, OpenMode::WRITE).await.unwrap();
    let mut block = file.alloc(4096);
    block
        .as_mut()
        .copy_from_slice(&file.read(at, 4096).await.unwrap());
    change(block.as_mut());
    file.write(at, block).await.unwrap();
    file.sync().await.unwrap();
}

#[test]
fn nothing_there_is_nothing_found() {
    test(1, async |disk| {
        assert_eq!(recover(&disk, "wal", ME).await, Ok(vec![]));
        disk.make_dir("wal/lane-00003").await.unwrap();
        disk.make_dir("wal/something").await.unwrap();
        assert_eq!(recover(&disk, "wal", ME).await, Ok(vec![]));
        assert_eq!(era_after(&[]), 1);
        let (_, images) = open(&disk, small(8)).await.unwrap();
        assert_eq!(images, []);
        let image = found(&disk).await.unwrap();
        assert_eq!(
            (image.frames.len(), image.tail.era, image.tail.last_lsn),
            (0, 1, Lsn(0))
        );
    });
}

#[test]
fn what_was_appended_is_found_with_its_place() {
    test(1, async |disk| {
        let lane = era(&disk, 1, 40).await;
        let image = found(&disk).await.unwrap();
        assert_eq!(indexes(&image), (1..=40).collect::<Vec<_>>());
        assert!(image.tail.segments.len() > 2);
        for (lsn, frame) in (1..).zip(&image.frames) {
            assert_eq!((frame.lsn, frame.era, frame.head), (Lsn(lsn), 1, head(lsn)));
            assert_eq!(lane.read(frame.place).await.unwrap(), frame.payload);
        }
        let (next, _) = open(&disk, small(8)).await.unwrap();
        for frame in &image.frames {
            assert_eq!(next.read(frame.place).await.unwrap(), frame.payload);
        }
        assert_eq!((next.next(), next.durable()), (Lsn(41), Lsn(40)));
        assert!(next.bytes_since(Lsn(1)) > 40 * 1600);
    });
}

#[test]
fn a_torn_last_write_is_cut_in_every_way_it_can_tear() {
    // Three frames in one block of eight sectors: every subset of what a crash may leave.
    let mut kept = BTreeSet::new();
    for subset in 0..256u32 {
        test(1, async |disk| {
            let (lane, _) = open(&disk, small(8)).await.unwrap();
            during(&lane, async {
                fill(&lane, 1, 2).await;
                for index in [5, 10, 15] {
                    lane.append(head(index), &[&[index as u8; 1200]], None)
                        .unwrap();
                }
                lane.flush().await.unwrap();
            })
            .await;
            let whole = found(&disk).await.unwrap();
            assert_eq!(whole.frames.len(), 5);
            let start = u64::from(whole.frames[2].place.offset) - 64;
            patch(&disk, &path(1), start, |block| {
                for (sector, bytes) in block.chunks_mut(512).enumerate() {
                    if subset & 1 << sector == 0 {
                        bytes.fill(0);
                    }
                }
            })
            .await;
            let image = found(&disk).await.unwrap();
            let frames = image.frames.len();
            assert_eq!(image.frames[..], whole.frames[..frames]);
            // The frames end in sectors 2, 4 and 7.
            let whole = (subset.trailing_ones(), [3, 5, 8]);
            let expected = 2 + whole
                .1
                .iter()
                .filter(|sectors| whole.0 >= **sectors)
                .count();
            assert_eq!(frames, expected, "subset {subset:08b}");
            kept.insert(frames);
            let lane = era(&disk, 100, 101).await;
            assert_eq!(lane.durable(), Lsn(frames as u64 + 2));
            let again = found(&disk).await.unwrap();
            assert_eq!(again.frames.len(), frames + 2);
            assert_eq!(again.frames[frames].head.index, 100);
        });
    }
    assert_eq!(kept, BTreeSet::from([2, 3, 4, 5]));
}

#[test]
fn stale_frames_in_a_recycled_segment_are_not_seen() {
    test(3, async |disk| {
        let (lane, _) = open(&disk, small(8)).await.unwrap();
        during(&lane, async {
            for index in 1..=60 {
                fill(&lane, index, index).await;
                lane.release(Lsn(index));
            }
        })
        .await;
        assert!(lane.stats().recycled > 2, "{:?}", lane.stats());
        let image = found(&disk).await.unwrap();
        let first = image.frames[0].lsn.0;
        assert!(first > 40, "{first} is the oldest");
        assert_eq!(indexes(&image), (first..=60).collect::<Vec<_>>());
        let files = disk.contents();
        let (last, _) = files
            .iter()
            .rfind(|(name, _)| name.ends_with(".seg"))
            .unwrap();
        assert!(*last > path(image.tail.next_segment), "nothing is ready");
        // The file that is next, full of frames of its former life, gets a header and no frame.
        let (_, images) = open(&disk, small(8)).await.unwrap();
        let image = found(&disk).await.unwrap();
        assert_eq!(image.frames, images[0].frames);
        assert_eq!(image.tail.era, 2);
    });
}

#[test]
fn a_flipped_bit_below_the_tail_is_damage_and_named() {
    let (frames, disk) = test(1, async |disk| {
        era(&disk, 1, 12).await;
        (found(&disk).await.unwrap().frames, disk)
    });
    let last = frames.len() - 1;
    for (at, frame) in frames.iter().enumerate() {
        let offset = u64::from(frame.place.offset);
        let path = path(frame.place.segment);
        for byte in [
            offset - 64,
            offset - 40,
            offset,
            offset + u64::from(frame.place.len) - 1,
        ] {
            disk.flip_bit(&path, byte, 3);
            let result = disk.run(found(&disk)).unwrap();
            if at == last {
                assert_eq!(result.unwrap().frames.len(), last, "the tail is cut");
            } else {
                let Err(WalError::Corrupt {
                    file,
                    offset: named,
                    ..
                }) = result
                else {
                    panic!(
                        "frame {at} byte {byte}: {:?}",
                        result.map(|image| image.frames.len())
                    );
                };
                assert_eq!((&*file, named), (&*path, offset - 64));
            }
            disk.flip_bit(&path, byte, 3);
        }
    }
}

#[test]
fn a_damaged_header_is_survived_once_and_named_twice() {
    test(1, async |disk| {
        era(&disk, 1, 12).await;
        let image = found(&disk).await.unwrap();
        for segment in &image.tail.segments {
            let path = path(segment.number);
            disk.flip_bit(&path, 40, 1);
            assert_eq!(found(&disk).await.unwrap(), image);
            disk.flip_bit(&path, 2048 + 41, 1);
            let error = found(&disk).await.unwrap_err();
            assert!(matches!(&error, WalError::Corrupt { file, offset: 0, .. } if **file == *path));
            disk.flip_bit(&path, 40, 1);
            disk.flip_bit(&path, 2048 + 41, 1);
        }
    });
}

#[test]
fn a_lost_segment_is_named_and_released_ones_are_not_missed() {
    test(1, async |disk| {
        era(&disk, 1, 30).await;
        let image = found(&disk).await.unwrap();
        assert!(image.tail.segments.len() >= 4);
        disk.remove(&path(3)).await.unwrap();
        let error = found(&disk).await.unwrap_err();
        assert_eq!(
            error,
            WalError::LostSegment {
                dir: "wal/lane-00003".into(),
                number: 3
            }
        );
        disk.remove(&path(1)).await.unwrap();
        disk.remove(&path(2)).await.unwrap();
        let rest = found(&disk).await.unwrap();
        let first = image
            .frames
            .iter()
            .position(|frame| frame.place.segment == 4)
            .unwrap();
        assert_eq!(rest.frames[..], image.frames[first..]);
        assert_eq!(rest.tail.last_lsn, Lsn(30));
    });
}

#[test]
fn eras_follow_each_other_and_a_hole_between_them_is_damage() {
    test(1, async |disk| {
        era(&disk, 1, 3).await;
        era(&disk, 4, 5).await;
        era(&disk, 6, 6).await;
        let image = found(&disk).await.unwrap();
        assert_eq!(indexes(&image), (1..=6).collect::<Vec<_>>());
        let eras: Vec<u64> = image.frames.iter().map(|frame| frame.era).collect();
        assert_eq!(eras, [1, 1, 1, 2, 2, 3]);
        assert_eq!(
            (image.tail.era, era_after(std::slice::from_ref(&image))),
            (3, 4)
        );
        // The last frame of the second era: no frame follows it there, but an era does.
        let place = image.frames[4].place;
        disk.flip_bit(&path(place.segment), u64::from(place.offset), 0);
        let error = found(&disk).await.unwrap_err();
        assert!(matches!(error, WalError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(&path(place.segment)), "{error}");
    });
}

#[test]
fn what_a_former_era_had_behind_its_cut_is_not_seen_later() {
    test(1, async |disk| {
        let (lane, _) = open(&disk, small(8)).await.unwrap();
        during(&lane, fill(&lane, 1, 4)).await;
        let image = found(&disk).await.unwrap();
        // The third write is lost, the fourth is there: a crash with both in flight. The marks
        // are those of writes that were in flight together.
        let third = image.frames[2].place;
        let fourth = u64::from(image.frames[3].place.offset) - 64;
        let start = u64::from(third.offset) - 64;
        let kept = disk.open(&path(1), OpenMode::READ).await.unwrap();
        let kept = kept.read(start, 4096).await.unwrap();
        patch(&disk, &path(1), fourth, |block| {
            crate::format::frame::mark(block, 2)
        })
        .await;
        patch(&disk, &path(1), start, |block| block.fill(0)).await;
        assert_eq!(found(&disk).await.unwrap().frames.len(), 2);
        era(&disk, 10, 11).await;
        assert_eq!(indexes(&found(&disk).await.unwrap()), [1, 2, 10, 11]);
        // The lost write turns up after all: it was cut, and stays so.
        patch(&disk, &path(1), start, |block| block.copy_from_slice(&kept)).await;
        assert_eq!(indexes(&found(&disk).await.unwrap()), [1, 2, 10, 11]);
    });
}

#[test]
fn many_lanes_are_found_and_one_can_be_removed() {
    test(1, async |disk| {
        for lane in [0, 1, 7, 40] {
            let lane = LaneId(lane);
            let made = Lane::create(disk.clone(), "wal".into(), lane, 1, ME, None, small(4))
                .await
                .unwrap();
            during(&made, fill(&made, u64::from(lane.0), u64::from(lane.0) + 3)).await;
        }
        let images = recover(&disk, "wal", ME).await.unwrap();
        let lanes: Vec<u16> = images.iter().map(|image| image.lane.0).collect();
        assert_eq!(lanes, [0, 1, 7, 40]);
        assert_eq!(indexes(&images[2]), [7, 8, 9, 10]);
        remove_lane(&disk, "wal", LaneId(7)).await.unwrap();
        let images = recover(&disk, "wal", ME).await.unwrap();
        assert_eq!(images.len(), 3);
        disk.crash();
        assert_eq!(recover(&disk, "wal", ME).await.unwrap(), images);
    });
}

#[test]
fn a_removal_cut_short_leaves_a_lane_that_can_be_recovered() {
    for step in 1..20 {
        let disk = MemoryDisk::new(step);
        let lane = disk.run(era(&disk, 1, 25)).unwrap();
        disk.crash_at(disk.operations() + step);
        let done = disk.run(remove_lane(&disk, "wal", LANE)).is_some();
        disk.crash();
        let images = disk.run(recover(&disk, "wal", ME)).unwrap().unwrap();
        assert!(!done || images.is_empty());
        for image in images {
            let first = 26 - image.frames.len() as u64;
            assert_eq!(indexes(&image), (first..26).collect::<Vec<_>>());
        }
        drop(lane);
        disk.run(async {
            era(&disk, 50, 53).await;
            let image = found(&disk).await.unwrap();
            assert_eq!(indexes(&image)[image.frames.len() - 4..], [50, 51, 52, 53]);
        })
        .unwrap();
    }
}

#[test]
fn another_identity_and_a_newer_format_are_refused_by_name() {
    test(1, async |disk| {
        era(&disk, 1, 3).await;
        let file = Arc::<str>::from(path(1));
        let other = Identity {
            cluster: ClusterId(5),
            ..ME
        };
        let error = recover(&disk, "wal", other).await.unwrap_err();
        let (own, found) = (5, 0xc1);
        assert_eq!(
            error,
            WalError::OtherCluster {
                file: file.clone(),
                found,
                own
            }
        );
        let other = Identity {
            member: MemberId(6),
            ..ME
        };
        let error = recover(&disk, "wal", other).await.unwrap_err();
        let (own, found) = (6, 0xa1);
        assert_eq!(
            error,
            WalError::OtherMember {
                file: file.clone(),
                found,
                own
            }
        );
        patch(&disk, &path(1), 0, |block| (block[8], block[2056]) = (9, 9)).await;
        let error = recover(&disk, "wal", ME).await.unwrap_err();
        assert_eq!(
            error,
            WalError::NewerFormat {
                file,
                found: 9,
                known: 1
            }
        );
    });
}

#[test]
fn a_segment_cut_short_is_named() {
    test(1, async |disk| {
        era(&disk, 1, 3).await;
        let bytes = disk.open(&path(1), OpenMode::READ).await.unwrap();
        let bytes = bytes.read(0, 8192).await.unwrap();
        disk.remove(&path(1)).await.unwrap();
        let file = disk.open(&path(1), OpenMode::CREATE).await.unwrap();
        let mut buf = file.alloc(8192);
        buf.as_mut().copy_from_slice(&bytes);
        file.write(0, buf).await.unwrap();
        let error = found(&disk).await.unwrap_err();
        let text = format!(
            "{}: offset 8192: the file is shorter than its header says",
            path(1)
        );
        assert_eq!(error.to_string(), text);
    });
}

#[test]
fn files_half_filled_are_removed_and_ready_ones_used() {
    let disk = MemoryDisk::new(1);
    let (lane, _) = disk.run(open(&disk, small(8))).unwrap().unwrap();
    assert!(
        disk.run(during(&lane, std::future::pending::<()>()))
            .is_none()
    );
    assert_eq!((lane.stats().filled, lane.stats().ready), (3, 2));
    let rest = async {
        disk.open("wal/lane-00003/new-00000000000000000077", OpenMode::CREATE)
            .await
            .unwrap();
        let (next, _) = open(&disk, small(8)).await.unwrap();
        assert_eq!(next.stats().filled, 0, "a ready file was not used");
        let names = disk.list("wal/lane-00003").await.unwrap();
        assert!(names.iter().all(|name| name.ends_with(".seg")), "{names:?}");
        // Another size of segment: what was ready does not fit.
        let (other, _) = open(&disk, small(16)).await.unwrap();
        assert_eq!((other.stats().filled, other.stats().ready), (1, 0));
        during(&other, fill(&other, 1, 30)).await;
        assert_eq!(
            indexes(&found(&disk).await.unwrap()),
            (1..=30).collect::<Vec<_>>()
        );
    };
    disk.run(rest).unwrap();
}

#[test]
fn release_and_reopen_keep_the_rest_and_the_numbers() {
    test(1, async |disk| {
        let (lane, _) = open(&disk, small(8)).await.unwrap();
        during(&lane, async {
            fill(&lane, 1, 20).await;
            lane.release(Lsn(15));
            fill(&lane, 21, 40).await;
        })
        .await;
        let (lane, images) = open(&disk, small(8)).await.unwrap();
        let first = images[0].frames[0].lsn.0;
        assert!(first > 1 && first <= 15, "{first}");
        assert_eq!(lane.next(), Lsn(41));
        // Released in the new era: segments of the old one go too.
        during(&lane, async {
            lane.release(Lsn(41));
            fill(&lane, 41, 70).await;
        })
        .await;
        let image = found(&disk).await.unwrap();
        assert!(image.frames[0].lsn >= Lsn(35), "{:?}", image.frames[0].lsn);
        assert_eq!(image.tail.last_lsn, Lsn(70));
    });
}

#[test]
fn the_last_segment_is_kept_until_the_next_is_begun() {
    for seed in 0..100 {
        let disk = MemoryDisk::new(seed);
        let (lane, _) = disk.run(open(&disk, small(3))).unwrap().unwrap();
        for index in [4, 9] {
            lane.append(head(index), &[&payload(index)[..4000]], None)
                .unwrap();
        }
        assert!(disk.run(lane.run()).is_none());
        assert_eq!((lane.durable(), lane.stats().segments), (Lsn(2), 1));
        // Everything before the frame that begins the next segment is released.
        lane.append(head(5), &[&payload(5)], None).unwrap();
        lane.release(Lsn(3));
        disk.crash_at(disk.operations() + 1 + seed % 6);
        assert!(disk.run(lane.run()).is_none());
        disk.crash();
        let image = disk.run(found(&disk)).unwrap().unwrap();
        assert!(
            image.tail.last_lsn >= Lsn(2),
            "seed {seed}: the numbers start again"
        );
    }
}

#[test]
fn what_was_read_after_a_kill_is_durable_before_the_lane_goes_on() {
    for seed in 0..30 {
        let disk = MemoryDisk::new(seed);
        let options = LaneOptions {
            durable_writes: false,
            ..small(8)
        };
        // The process is killed between a write and its sync; the power stays.
        let lane = disk.run(open(&disk, options)).unwrap().unwrap().0;
        lane.append(head(1), &[&payload(1)], None).unwrap();
        disk.ignore_sync(Rc::new(|_, kind| kind == SyncKind::File));
        disk.run(during(&lane, lane.flush())).unwrap().unwrap();
        disk.ignore_sync(Rc::new(|_, _| false));
        disk.run(async {
            let (_, images) = open(&disk, options).await.unwrap();
            assert_eq!(images[0].frames.len(), 1);
        })
        .unwrap();
        disk.crash();
        let image = disk.run(found(&disk)).unwrap().unwrap();
        assert_eq!(image.frames.len(), 1, "seed {seed}");
    }
}

/// What was promised over all crashes of one run.
struct Promise {
    acknowledged: Rc<Cell<u64>>,
    appended: u64,
    released: u64,
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
