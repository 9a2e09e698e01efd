//! The table of cases of recovery, by topic, and a long random run of crashes.
#![allow(clippy::unwrap_used)]

mod damage;
mod lanes;
mod lives;
mod mutated;
mod tail;

use std::rc::Rc;

use super::super::lane::tests::{LANE, ME, during, head, open, small};
use super::super::{
    Done, Identity, Lane, LaneImage, LaneOptions, Lsn, WalError, check_ends, era_after, recover,
    remove_lane,
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
