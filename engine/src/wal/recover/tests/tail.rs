//! Where a lane ends: torn writes are cut, and what was cut stays so.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::*;

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
