//! The profile that a disk gets, and that the server can read it.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use tuning::{DurableWrites, Lanes, Profile};

use super::advise;
use crate::disk::case::{Case, Pattern};
use crate::disk::timeouts::derive;
use crate::disk::world;
use crate::machine::device::Kind;

#[test]
fn what_is_written_reads_back_as_the_settings_advised() {
    let advice = advise(&world::disk(Kind::Nvme, 900, 9_000), None).unwrap();
    assert_eq!(advice.name, "nvme-consumer");
    assert_eq!(advice.profile.raft, None);
    let text = advice.to_file(Path::new("/a\ndisk"));
    assert_eq!(Profile::parse("written", &text).unwrap(), advice.profile);
}

#[test]
fn the_timeouts_of_the_tail_are_those_of_the_profile() {
    let disk = world::disk(Kind::Nvme, 900, 9_000);
    let timeouts = derive(Duration::from_millis(99), Duration::from_millis(700));
    let raft = advise(&disk, Some(timeouts)).unwrap().profile.raft.unwrap();
    assert_eq!(
        (raft.heartbeat_interval_ms, raft.election_timeout_ms),
        (200, 2000)
    );
}

#[test]
fn a_throttled_disk_is_judged_by_what_gets_done() {
    let mut results = world::disk(Kind::Virtio, 90, 200);
    // The kernel's word is the host's.
    results.device.rotational = Some(false);
    let slice: Vec<u64> = (0..15).map(|n| if n == 14 { 98_000 } else { 90 }).collect();
    world::replace(
        &mut results,
        Case::new(Pattern::DirectDsync),
        &slice.repeat(20),
    );
    assert_eq!(advise(&results, None).unwrap().name, "spinning");
}

#[test]
fn settings_follow_the_measurement() {
    let mut results = world::disk(Kind::Nvme, 60, 200);
    let advice = advise(&results, None).unwrap();
    assert_eq!(advice.name, "nvme-plp");
    assert_eq!(advice.profile.wal.durable_writes, DurableWrites::Dsync);
    // Two logs get no more than one, and a write with a sync is twice as fast.
    let two = Case::new(Pattern::DirectDsync).logs(2);
    world::replace(&mut results, two, &[120; 1000]);
    world::replace(&mut results, Case::new(Pattern::WalWriteSync), &[25; 1000]);
    let advice = advise(&results, None).unwrap();
    assert_eq!(advice.profile.wal.lanes, Lanes::Device);
    assert_eq!(advice.profile.wal.durable_writes, DurableWrites::WriteSync);
    assert_eq!(advice.reasons.len(), 3, "{:?}", advice.reasons);
}
