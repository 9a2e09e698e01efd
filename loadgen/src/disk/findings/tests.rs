//! Disks that lie, and disks that do not.
#![allow(clippy::unwrap_used)]

use super::{Gravity, find};
use crate::disk::case::{Case, Pattern};
use crate::disk::judged::Judged;
use crate::disk::results::Results;
use crate::disk::stalls::Stalls;
use crate::disk::verdict::Class;
use crate::disk::world;
use crate::machine::device::Kind;

fn names(results: &Results) -> Vec<(&'static str, Gravity)> {
    let found = find(results, &Stalls::default());
    found
        .into_iter()
        .map(|finding| (finding.name, finding.gravity))
        .collect()
}

#[test]
fn an_honest_disk_raises_no_suspicion() {
    let mut results = world::disk(Kind::Nvme, 60, 200);
    results.device.write_cache = Some("write back".into());
    results.device.fua = Some(true);
    assert_eq!(names(&results), []);
}

#[test]
fn a_platter_that_syncs_within_a_fraction_of_a_turn_is_suspected() {
    let mut results = world::disk(Kind::Scsi, 150, 400);
    results.device.rotational = Some(true);
    assert_eq!(names(&results), [("too-fast", Gravity::Warning)]);
    // What a hypervisor says of turning means nothing.
    let mut results = world::disk(Kind::Virtio, 150, 400);
    results.device.rotational = Some(true);
    assert_eq!(names(&results), []);
}

#[test]
fn a_sync_that_does_nothing_makes_the_disk_unfit_however_fast_it_is() {
    let mut results = world::disk(Kind::Nvme, 60, 200);
    world::replace(
        &mut results,
        Case::new(Pattern::OverwriteFdatasync),
        &[4; 1000],
    );
    let found = names(&results);
    assert!(
        found.contains(&("sync-does-nothing", Gravity::Unfit)),
        "{found:?}"
    );
    assert!(found.contains(&("too-fast", Gravity::Unfit)), "{found:?}");
    assert_eq!(Judged::new(results).class(), Some(Class::Unfit));
}

#[test]
fn a_flush_that_costs_nothing_is_suspected_where_there_is_a_cache_to_flush() {
    let mut results = world::disk(Kind::Nvme, 60, 200);
    world::replace(
        &mut results,
        Case::new(Pattern::SequentialWrite),
        &[58; 1000],
    );
    assert_eq!(names(&results), []);
    results.device.write_cache = Some("write back".into());
    results.device.fua = Some(false);
    let expected = [
        ("sync-costs-nothing", Gravity::Warning),
        ("cache-without-fua", Gravity::Note),
    ];
    assert_eq!(names(&results), expected);
}

#[test]
fn memory_and_mounts_without_barriers_are_unfit() {
    let results = world::disk(Kind::Memory, 60, 200);
    assert_eq!(names(&results), [("in-memory", Gravity::Unfit)]);
    let mut results = world::disk(Kind::Nvme, 60, 200);
    results.device.mount_options = Some("rw,nobarrier".into());
    assert_eq!(names(&results), [("no-barriers", Gravity::Unfit)]);
}

#[test]
fn quick_writes_of_which_few_get_done_are_a_throttle() {
    let mut results = world::disk(Kind::Virtio, 60, 200);
    // Fifteen at once, then a wait until the next slice of time.
    let slice: Vec<u64> = (0..15).map(|n| if n == 14 { 98_000 } else { 90 }).collect();
    world::replace(
        &mut results,
        Case::new(Pattern::DirectDsync),
        &slice.repeat(20),
    );
    assert_eq!(names(&results), [("bursts", Gravity::Warning)]);
}

#[test]
fn a_busy_machine_is_said_to_be_one() {
    let mut results = world::disk(Kind::Nvme, 60, 200);
    let second = std::time::Duration::from_secs(1);
    for measured in &mut results.measurements {
        measured.recorder.waited = Some((second / 50, second));
    }
    assert_eq!(names(&results), []);
    for measured in &mut results.measurements {
        measured.recorder.waited = Some((second / 5, second));
    }
    assert_eq!(names(&results), [("busy-processors", Gravity::Warning)]);
}
