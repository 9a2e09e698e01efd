//! Timeouts from tails.

use std::time::Duration;

use super::{Timeouts, derive};

fn from_ms(p999: u64, longest: u64) -> Timeouts {
    derive(Duration::from_millis(p999), Duration::from_millis(longest))
}

#[test]
fn a_fast_disk_keeps_the_defaults() {
    let timeouts = from_ms(2, 20);
    assert_eq!((timeouts.heartbeat_ms, timeouts.election_ms), (100, 1000));
}

#[test]
fn a_slow_tail_raises_both() {
    // 2 x 101 ms, rounded up; ten heartbeats.
    let timeouts = from_ms(100, 300);
    assert_eq!((timeouts.heartbeat_ms, timeouts.election_ms), (250, 2500));
}

#[test]
fn one_long_stall_raises_the_election_timeout_alone() {
    let timeouts = from_ms(10, 4_000);
    assert_eq!((timeouts.heartbeat_ms, timeouts.election_ms), (100, 8300));
    assert!(!timeouts.is_beyond);
}

#[test]
fn a_stall_beyond_the_bound_is_said() {
    let timeouts = from_ms(10, 40_000);
    assert_eq!(timeouts.election_ms, 50_000);
    assert!(timeouts.is_beyond);
}
