//! What is compacted when, in made-up time.

use super::*;

/// Looks until `minutes` are over, with `per_minute` new revisions, and tells (minute, revision)
/// of each compaction.
fn run(mode: AutoCompaction, per_minute: i64, minutes: u64) -> Vec<(u64, i64)> {
    let minute_ns = 60_000_000_000;
    let mut compactor = Compactor::new(mode, 1, 0);
    let mut compactions = Vec::new();
    let Some(interval) = compactor.interval() else {
        return compactions;
    };
    let mut now = 0;
    loop {
        now += interval.as_nanos() as u64;
        if now > minutes * minute_ns {
            return compactions;
        }
        let revision = 1 + (now / minute_ns) as i64 * per_minute;
        if let Some(at) = compactor.look(revision, now) {
            compactions.push((now / minute_ns, at));
            compactor.done(at, now);
        }
        compactor.note(revision);
    }
}

#[test]
fn nothing_is_compacted_when_it_is_off() {
    assert_eq!(run(AutoCompaction::Off, 100, 1000), []);
}

#[test]
fn a_short_retention_compacts_once_a_retention_at_what_was_new_one_before() {
    let mode = AutoCompaction::Periodic(Duration::from_secs(600));
    assert_eq!(run(mode, 100, 35), [(10, 1), (20, 901), (30, 1901)]);
}

#[test]
fn a_long_retention_compacts_hourly_after_the_first() {
    let mode = AutoCompaction::Periodic(5 * HOUR);
    let expected = [(300, 1), (360, 55), (420, 115), (480, 175)];
    assert_eq!(run(mode, 1, 500), expected);
}

#[test]
fn a_quiet_store_is_compacted_once() {
    let mode = AutoCompaction::Periodic(Duration::from_secs(600));
    assert_eq!(run(mode, 0, 100), [(10, 1)]);
}

#[test]
fn so_many_revisions_are_kept() {
    let mode = AutoCompaction::Revision(1000);
    assert_eq!(run(mode, 100, 20), [(10, 1), (15, 501), (20, 1001)]);
    assert_eq!(run(mode, 10, 60), []);
}
