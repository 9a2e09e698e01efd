//! What a lane promises while it runs: order, durability, reading back, recycling, and what it
//! does when the disk fails or is full.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;

use futures::future::{Either, select};

use super::super::{
    Done, FrameHead, Identity, Lane, LaneImage, LaneOptions, Lsn, Place, Stage, WalError,
    era_after, recover,
};
use crate::env::memory::{MemoryDisk, OpKind};
use crate::env::{Disk, OpenMode};
use crate::error::Class;
use crate::ids::{ClusterId, GroupId, LaneId, MemberId};

pub(in super::super) const ME: Identity = Identity {
    cluster: ClusterId(0xc1),
    member: MemberId(0xa1),
};
pub(in super::super) const LANE: LaneId = LaneId(3);

pub(in super::super) fn small(segment_blocks: u64) -> LaneOptions {
    LaneOptions {
        segment_bytes: segment_blocks * 4096,
        ..LaneOptions::default()
    }
}

pub(in super::super) fn head(index: u64) -> FrameHead {
    FrameHead {
        group: GroupId(7),
        kind: 1,
        term: 2,
        index,
    }
}

/// A lane that goes on from whatever is on the disk.
pub(in super::super) async fn open(
    disk: &MemoryDisk,
    options: LaneOptions,
) -> Result<(Lane<MemoryDisk>, Vec<LaneImage>), WalError> {
    let images = recover(disk, "wal", ME).await?;
    let era = era_after(&images);
    let tail = images
        .iter()
        .find(|image| image.lane == LANE)
        .map(|image| image.tail.clone());
    let lane = Lane::create(disk.clone(), "wal".into(), LANE, era, ME, tail, options).await?;
    Ok((lane, images))
}

/// Runs the lane until `future` is through, then stops it and lets it finish.
pub(in super::super) async fn during<T>(
    lane: &Lane<MemoryDisk>,
    future: impl Future<Output = T>,
) -> T {
    let mut running = pin!(lane.run());
    match select(pin!(future), running.as_mut()).await {
        Either::Left((output, _)) => {
            lane.stop();
            let _ = running.await;
            output
        }
        // The lane ended first: what waits for it must learn so.
        Either::Right((_, future)) => future.await,
    }
}

/// Runs the lane's writer and keeper until nothing is left to do.
fn settle(disk: &MemoryDisk, lane: &Lane<MemoryDisk>) {
    assert!(disk.run(lane.run()).is_none(), "the lane ended");
}

fn test(seed: u64, body: impl AsyncFnOnce(MemoryDisk)) {
    let disk = MemoryDisk::new(seed);
    disk.run(body(disk.clone())).expect("everything waits");
}

fn payload(index: u64, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (index as usize * 31 + at) as u8)
        .collect()
}

#[test]
fn frames_are_durable_in_order_and_read_back() {
    test(1, async |disk| {
        let (lane, _) = open(&disk, small(64)).await.unwrap();
        let told: Rc<RefCell<Vec<u64>>> = Rc::default();
        let mut places = Vec::new();
        for index in 1..=300 {
            let told = told.clone();
            let done: Done = Box::new(move |result| {
                assert_eq!(result, Ok(()));
                told.borrow_mut().push(index);
            });
            let bytes = payload(index, index as usize * 3);
            let (left, right) = bytes.split_at(index as usize);
            let (lsn, place) = lane
                .append(head(index), &[left, right], Some(done))
                .unwrap();
            assert_eq!(lsn, Lsn(index));
            places.push(place);
        }
        assert_eq!((lane.durable(), lane.next()), (Lsn(0), Lsn(301)));
        for (index, place) in (1..).zip(&places) {
            let read = lane.read(*place).await.unwrap();
            assert_eq!(
                read,
                payload(index, index as usize * 3),
                "frame {index} from memory"
            );
        }
        during(&lane, async {
            let last = lane.read(places[299]).await.unwrap();
            assert_eq!(last, payload(300, 900));
            lane.flush().await.unwrap();
            assert_eq!(lane.durable(), Lsn(300));
            for (index, place) in (1..).zip(&places) {
                let read = lane.read(*place).await.unwrap();
                assert_eq!(read, payload(index, index as usize * 3), "frame {index}");
            }
        })
        .await;
        assert_eq!(*told.borrow(), (1..=300).collect::<Vec<_>>());
    });
}

#[test]
fn frames_queued_together_go_out_in_one_write() {
    test(1, async |disk| {
        let (lane, _) = open(&disk, small(64)).await.unwrap();
        let stages: Rc<RefCell<Vec<Stage>>> = Rc::default();
        let seen = stages.clone();
        lane.observe(Rc::new(move |stage| seen.borrow_mut().push(stage)));
        for index in 1..=50 {
            lane.append(head(index), &[&[1; 100]], None).unwrap();
        }
        during(&lane, lane.flush()).await.unwrap();
        let stats = lane.stats();
        assert_eq!((stats.writes, stats.rounds, stats.frames), (1, 1, 50));
        let bytes = (50 * 176u64).next_multiple_of(4096);
        assert_eq!(stats.bytes, bytes);
        let ends = Stage::RoundEnds { bytes, frames: 50 };
        assert_eq!(*stages.borrow(), [Stage::RoundBegins, ends]);
    });
}

#[test]
fn segments_follow_each_other_and_released_ones_are_used_again() {
    let disk = MemoryDisk::new(4);
    let (lane, _) = disk.run(open(&disk, small(8))).unwrap().unwrap();
    settle(&disk, &lane);
    assert_eq!((lane.stats().filled, lane.stats().ready), (3, 2));
    let mut last = Place {
        lane: LANE,
        segment: 0,
        offset: 0,
        len: 0,
    };
    let first = lane.append(head(1), &[b"first"], None).unwrap().1;
    for index in 2..200 {
        last = lane
            .append(head(index), &[&payload(index, 3000)], None)
            .unwrap()
            .1;
        settle(&disk, &lane);
        assert_eq!(lane.durable(), Lsn(index));
        lane.release(Lsn(index.saturating_sub(10)));
        settle(&disk, &lane);
        let stats = lane.stats();
        assert!(stats.segments <= 4, "{stats:?}");
        assert!(stats.filled + 1 < 10, "{stats:?}");
    }
    assert!(last.segment > 25, "{last:?}");
    assert!(lane.stats().recycled > 20, "{:?}", lane.stats());
    assert_eq!(
        disk.run(lane.read(first)).unwrap(),
        Err(WalError::Released(1))
    );
    let read = disk.run(lane.read(last)).unwrap().unwrap();
    assert_eq!(read, payload(199, 3000));
    let files = disk.contents().len();
    assert!(files <= 9, "{files} files");
}

#[test]
fn no_sync_extends_a_file_once_a_segment_is_filled() {
    let disk = MemoryDisk::new(4);
    let (lane, _) = disk.run(open(&disk, small(8))).unwrap().unwrap();
    for index in 1..=20 {
        lane.append(head(index), &[&payload(index, 3000)], None)
            .unwrap();
        settle(&disk, &lane);
    }
    for (path, bytes) in disk.contents() {
        assert_eq!(bytes.len(), 8 * 4096, "{path}");
    }
}

#[test]
fn a_failed_write_or_sync_stops_the_lane_for_good() {
    for durable_writes in [true, false] {
        let kind = if durable_writes {
            OpKind::Write
        } else {
            OpKind::Sync
        };
        test(2, async |disk| {
            let options = LaneOptions {
                durable_writes,
                ..small(16)
            };
            let (lane, _) = open(&disk, options).await.unwrap();
            let told: Rc<RefCell<Vec<Result<(), WalError>>>> = Rc::default();
            let append = |index| {
                let told = told.clone();
                let done: Done = Box::new(move |result| told.borrow_mut().push(result));
                lane.append(head(index), &[b"x"], Some(done))
            };
            append(1).unwrap();
            append(2).unwrap();
            disk.fail_next("wal/lane-00003/00000000000000000001.seg", kind);
            let error = lane.run().await.unwrap_err();
            assert_eq!(error.class(), Class::Fatal);
            assert!(
                error.to_string().contains("00000000000000000001.seg"),
                "{error}"
            );
            assert_eq!(*told.borrow(), [Err(error.clone()), Err(error.clone())]);
            assert_eq!(append(3).unwrap_err(), error);
            assert_eq!(lane.flush().await, Err(error.clone()));
            let before = disk.operations();
            assert_eq!(lane.run().await, Err(error), "it ran again");
            assert_eq!(disk.operations(), before, "a sync was tried again");
            assert_eq!(lane.durable(), Lsn(0));
        });
    }
}

#[test]
fn a_full_disk_refuses_before_queueing_and_recovers() {
    let disk = MemoryDisk::new(6);
    let (lane, _) = disk.run(open(&disk, small(4))).unwrap().unwrap();
    disk.set_free_bytes(4 * 4096 + 100);
    settle(&disk, &lane);
    assert_eq!((lane.stats().ready, lane.stats().starved), (1, true));
    let mut index = 0;
    let refused = loop {
        match lane.append(head(index + 1), &[&payload(index + 1, 4000)], None) {
            Ok(_) => index += 1,
            Err(error) => break error,
        }
        settle(&disk, &lane);
    };
    assert_eq!(
        (refused.clone(), refused.class()),
        (WalError::NoSpace, Class::Retry)
    );
    assert_eq!(index, 6, "two segments of three blocks take six");
    assert_eq!(lane.next(), Lsn(7));
    settle(&disk, &lane);
    assert_eq!(lane.durable(), Lsn(6));
    disk.set_free_bytes(100 * 4096);
    let refused = lane.append(head(7), &[&payload(7, 4000)], None);
    assert_eq!(refused.unwrap_err(), WalError::NoSpace);
    settle(&disk, &lane);
    assert_eq!(lane.stats().ready, 2, "the refusal did not retry");
    lane.append(head(7), &[&payload(7, 4000)], None).unwrap();
    settle(&disk, &lane);
    assert_eq!(lane.durable(), Lsn(7));
    assert_eq!(lane.stats().ready, 2);
}

#[test]
fn what_does_not_fit_is_refused() {
    test(1, async |disk| {
        let (lane, _) = open(&disk, small(4)).await.unwrap();
        let max = 3 * 4096 - 64;
        lane.append(head(1), &[&payload(1, max)], None).unwrap();
        let refused = lane
            .append(head(2), &[&payload(1, max + 1)], None)
            .unwrap_err();
        assert_eq!(
            refused,
            WalError::TooLarge {
                len: max as u64 + 1,
                max: max as u64
            }
        );
        assert_eq!(lane.next(), Lsn(2));
        let options = LaneOptions {
            queue_bytes: 1000,
            ..small(4)
        };
        let disk = MemoryDisk::new(1);
        disk.set_immediate(true);
        let (lane, _) = open(&disk, options).await.unwrap();
        lane.append(head(1), &[&[0; 900]], None).unwrap();
        assert_eq!(
            lane.append(head(1), &[&[0; 100]], None).unwrap_err(),
            WalError::Busy
        );
    });
}

#[test]
fn stop_lets_what_is_queued_become_durable_and_takes_no_more() {
    test(1, async |disk| {
        let (lane, _) = open(&disk, small(4)).await.unwrap();
        for index in 1..=4 {
            lane.append(head(index), &[&payload(index, 3000)], None)
                .unwrap();
        }
        lane.stop();
        assert_eq!(
            lane.append(head(5), &[], None).unwrap_err(),
            WalError::Stopped
        );
        assert_eq!(lane.run().await, Ok(()));
        assert_eq!(lane.durable(), Lsn(4));
        assert_eq!(
            lane.append(head(5), &[], None).unwrap_err(),
            WalError::Stopped
        );
    });
}

#[test]
fn a_done_may_append() {
    test(1, async |disk| {
        let (lane, _) = open(&disk, small(8)).await.unwrap();
        let again = lane.clone();
        let done: Done = Box::new(move |_| {
            again.append(head(2), &[b"second"], None).unwrap();
        });
        lane.append(head(1), &[b"first"], Some(done)).unwrap();
        during(&lane, async {
            lane.flush().await.unwrap();
            lane.flush().await.unwrap();
            assert_eq!(lane.durable(), Lsn(2));
        })
        .await;
    });
}

#[test]
fn bytes_since_grows_with_what_is_appended() {
    let disk = MemoryDisk::new(1);
    let (lane, _) = disk.run(open(&disk, small(64))).unwrap().unwrap();
    assert_eq!(lane.bytes_since(Lsn(1)), 0);
    for index in 1..=200 {
        lane.append(head(index), &[&[0; 4032]], None).unwrap();
        settle(&disk, &lane);
    }
    let near = |lsn, want: u64| {
        let bytes = lane.bytes_since(Lsn(lsn));
        assert!(
            bytes.abs_diff(want) <= 64 << 10,
            "since {lsn}: {bytes}, not {want}"
        );
    };
    near(1, 200 * 4096);
    near(101, 100 * 4096);
    near(200, 4096);
    assert_eq!(lane.bytes_since(Lsn(201)), 0);
    lane.release(Lsn(150));
    settle(&disk, &lane);
    near(101, 100 * 4096);
}

#[test]
fn reading_damage_says_where_and_reading_nothing_says_so() {
    test(1, async |disk| {
        let (lane, _) = open(&disk, small(8)).await.unwrap();
        let place = lane.append(head(1), &[b"hello"], None).unwrap().1;
        during(&lane, lane.flush()).await.unwrap();
        let path = "wal/lane-00003/00000000000000000001.seg";
        disk.flip_bit(path, u64::from(place.offset) + 2, 5);
        let error = lane.read(place).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{path}: offset 4096: the frame is damaged")
        );
        let nowhere = Place {
            offset: 3 * 4096,
            ..place
        };
        assert_eq!(lane.read(nowhere).await.unwrap_err().class(), Class::Caller);
    });
}

#[test]
fn options_and_eras_that_cannot_be_are_refused() {
    test(1, async |disk| {
        let make = |era, tail, options| {
            Lane::create(disk.clone(), "wal".into(), LANE, era, ME, tail, options)
        };
        for options in [
            LaneOptions {
                segment_bytes: 5000,
                ..small(8)
            },
            small(1),
            small(1 << 21),
            LaneOptions {
                spare_segments: 0,
                ..small(8)
            },
        ] {
            assert!(matches!(
                make(1, None, options).await,
                Err(WalError::Misuse(_))
            ));
        }
        assert!(matches!(
            make(0, None, small(8)).await,
            Err(WalError::Misuse(_))
        ));
        make(1, None, small(8)).await.unwrap();
        assert!(matches!(
            make(2, None, small(8)).await,
            Err(WalError::Exists(_))
        ));
        let images = recover(&disk, "wal", ME).await.unwrap();
        let tail = Some(images[0].tail.clone());
        assert!(matches!(
            make(1, tail.clone(), small(8)).await,
            Err(WalError::Misuse(_))
        ));
        make(2, tail, small(8)).await.unwrap();
        assert!(disk.open("wal/lane-00003/x", OpenMode::READ).await.is_err());
    });
}
