//! Many lanes, their removal, and files that are ready, half-filled or released.
#![allow(clippy::unwrap_used)]

use super::*;

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
