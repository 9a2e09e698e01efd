//! Which class a disk gets, and on which number.
#![allow(clippy::unwrap_used)]

use super::{Class, by_etcd, by_stoa};
use crate::disk::case::{Case, Pattern};
use crate::disk::judged::Judged;
use crate::disk::world;
use crate::machine::device::Kind;

#[test]
fn a_fast_disk_is_fit_for_everything() {
    let judged = Judged::new(world::disk(Kind::Nvme, 60, 200));
    assert_eq!(judged.class(), Some(Class::Xlarge), "{}", judged.reason());
}

#[test]
fn a_spinning_disk_is_refused_by_its_tail_and_the_number_is_named() {
    let judged = Judged::new(world::disk(Kind::Scsi, 8_300, 24_000));
    assert_eq!(judged.class(), Some(Class::Unfit));
    let reason = judged.reason();
    assert!(reason.contains("sync of the log, p99"), "{reason}");
    assert!(reason.contains("24.0 ms"), "{reason}");
    assert!(reason.contains("at most 10"), "{reason}");
}

#[test]
fn each_server_has_its_own_needs() {
    // 400 writes a second with an even tail: enough for a medium etcd, whose bound for a busy
    // cluster is 500; and for a large cluster of Stoa.
    let results = world::disk(Kind::Nvme, 2_500, 4_000);
    assert_eq!(by_etcd(&results).unwrap().class, Class::Medium);
    assert_eq!(by_stoa(&results).unwrap().class, Class::Large);
}

#[test]
fn a_checkpoint_that_holds_up_the_log_lowers_the_class() {
    let mut results = world::disk(Kind::Nvme, 60, 200);
    let beside = Case::new(Pattern::Etcd).with_background();
    world::replace(&mut results, beside, &[30_000; 200]);
    let judged = by_etcd(&results).unwrap();
    assert_eq!(judged.class, Class::Unfit);
    let number = judged
        .numbers
        .iter()
        .find(|number| number.class == Class::Unfit)
        .unwrap();
    assert_eq!(number.what, "sync beside a checkpoint, p99");
}

#[test]
fn without_the_log_s_pattern_there_is_no_verdict() {
    let mut results = world::disk(Kind::Nvme, 60, 200);
    results.measurements.retain(|m| !m.case.pattern.is_log());
    let judged = Judged::new(results);
    assert_eq!(judged.class(), None);
    assert!(
        judged.reason().contains("too little"),
        "{}",
        judged.reason()
    );
}

#[test]
fn a_run_ended_early_praises_no_disk_but_may_condemn_one() {
    let early = |write_us, tail_us| {
        let mut results = world::disk(Kind::Nvme, write_us, tail_us);
        results
            .measurements
            .retain(|m| m.case.pattern != Pattern::Wal);
        results.is_partial = true;
        Judged::new(results)
    };
    let judged = early(60, 200);
    assert_eq!(judged.class(), None);
    assert!(
        judged.reason().contains("too little"),
        "{}",
        judged.reason()
    );
    assert_eq!(early(8_300, 24_000).class(), Some(Class::Unfit));
    // All numbers are there: what was left out beside them is not needed.
    let mut results = world::disk(Kind::Nvme, 60, 200);
    results.is_partial = true;
    assert_eq!(Judged::new(results).class(), Some(Class::Xlarge));
}

#[test]
fn what_cannot_be_measured_here_is_left_out_and_said() {
    let mut results = world::disk(Kind::Nvme, 60, 200);
    results
        .measurements
        .retain(|m| m.case.pattern != Pattern::SequentialWrite);
    let judged = Judged::new(results);
    assert_eq!(judged.class(), Some(Class::Xlarge));
    assert_eq!(judged.etcd.as_ref().unwrap().missing, ["writes in order"]);
    assert!(
        judged.reason().contains("judged without"),
        "{}",
        judged.reason()
    );
}
