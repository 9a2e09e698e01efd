//! A lane that lost its end is found, and one that did not is not suspected.
#![allow(clippy::unwrap_used)]

use super::super::lane::tests::{LANE, ME, during, head, open, small};
use super::super::{Lane, LaneImage, Lsn, WalError, recover};
use super::*;
use crate::env::memory::MemoryDisk;
use crate::env::{Disk, DiskFile, OpenMode};

fn path(number: u64) -> String {
    format!("wal/lane-00003/{number:020}.seg")
}

async fn fill(lane: &Lane<MemoryDisk>, count: u64) {
    for _ in 0..count {
        let index = lane.next().0;
        lane.append(head(index), &[&[7; 3000]], None).unwrap();
        lane.flush().await.unwrap();
    }
}

/// A lane with 20 frames in segments of seven, and its end as a checkpoint notes it.
async fn written(disk: &MemoryDisk) -> LogEnd {
    let (lane, _) = open(disk, small(8)).await.unwrap();
    during(&lane, fill(&lane, 20)).await;
    lane.end()
}

async fn images(disk: &MemoryDisk) -> Vec<LaneImage> {
    recover(disk, "wal", ME).await.unwrap()
}

fn test(body: impl AsyncFnOnce(MemoryDisk)) {
    let disk = MemoryDisk::new(1);
    disk.run(body(disk.clone())).expect("everything waits");
}

fn early(file: &str, offset: u64, found: u64, known: u64) -> Result<(), WalError> {
    Err(WalError::EndsEarly {
        file: file.into(),
        offset,
        found,
        known,
    })
}

#[test]
fn a_last_segment_that_is_gone_is_named() {
    test(async |disk| {
        let end = written(&disk).await;
        assert_eq!((end.lane, end.segment, end.lsn), (LANE.0, 3, 20));
        assert_eq!(check_ends("wal", &images(&disk).await, &[end]), Ok(()));
        disk.remove(&path(3)).await.unwrap();
        let rest = images(&disk).await;
        assert_eq!(rest[0].tail.last_lsn, Lsn(14));
        assert_eq!(check_ends("wal", &rest, &[end]), early(&path(3), 0, 14, 20));
    });
}

#[test]
fn a_tail_that_was_durable_is_not_cut_as_torn() {
    test(async |disk| {
        let end = written(&disk).await;
        let last = images(&disk).await[0].frames[19].place;
        let at = u64::from(last.offset) - 64;
        let file = disk.open(&path(3), OpenMode::WRITE).await.unwrap();
        file.write(at, file.alloc(4096)).await.unwrap();
        let rest = images(&disk).await;
        assert_eq!(rest[0].tail.last_lsn, Lsn(19));
        let Err(WalError::EndsEarly { file, offset, .. }) = check_ends("wal", &rest, &[end]) else {
            panic!("the lost frame is not missed");
        };
        assert_eq!(*file, *path(3));
        assert!(offset <= at && offset + 4096 > at, "{offset} for {at}");
    });
}

#[test]
fn a_lane_that_is_gone_is_named() {
    test(async |disk| {
        let end = written(&disk).await;
        assert_eq!(check_ends("wal", &[], &[end]), early(&path(3), 0, 0, 20));
        let other = LogEnd { lane: 4, ..end };
        let found = check_ends("wal", &images(&disk).await, &[end, other]);
        let file = "wal/lane-00004/00000000000000000003.seg";
        assert_eq!(found, early(file, 0, 0, 20));
    });
}

#[test]
fn a_lane_that_never_held_a_frame_is_not_missed() {
    test(async |disk| {
        let (lane, _) = open(&disk, small(8)).await.unwrap();
        let end = lane.end();
        assert_eq!((end.lsn, end.segment), (0, 1));
        assert_eq!(check_ends("wal", &images(&disk).await, &[end]), Ok(()));
        assert_eq!(check_ends("wal", &[], &[end]), Ok(()));
    });
}

#[test]
fn the_end_holds_when_what_came_before_is_released() {
    test(async |disk| {
        written(&disk).await;
        // A new opening with nothing in it but its first header.
        let (lane, _) = open(&disk, small(8)).await.unwrap();
        assert_eq!((lane.end().segment, lane.end().lsn), (3, 20));
        during(&lane, async {
            lane.release(Lsn(21));
            fill(&lane, 2).await;
        })
        .await;
        let end = lane.end();
        assert_eq!((end.segment, end.lsn), (4, 22));
        let image = images(&disk).await;
        assert!(image[0].frames[0].lsn > Lsn(1), "nothing was released");
        assert_eq!(check_ends("wal", &image, &[end]), Ok(()));
    });
}
