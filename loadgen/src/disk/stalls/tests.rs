//! Stalls: counted, joined, and their rhythm found.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use super::{Counts, find};
use crate::disk::case::{Case, Pattern};
use crate::disk::measure::Measurement;
use crate::disk::recorder::Recorder;

/// Stalls that begin and last so many milliseconds.
fn with(case: Case, stalls: &[(u64, u64)]) -> Measurement {
    let zero = Instant::now();
    let mut recorder = Recorder::new(zero);
    for (at, took) in stalls {
        let began = zero + Duration::from_millis(*at);
        recorder.record(began, began + Duration::from_millis(*took));
    }
    Measurement { case, recorder }
}

const fn counts(over_10ms: usize, over_100ms: usize, over_1000ms: usize) -> Counts {
    Counts {
        over_10ms,
        over_100ms,
        over_1000ms,
    }
}

#[test]
fn stalls_are_counted_by_length_and_marked_in_order() {
    let case = Case::new(Pattern::DirectDsync);
    let stalls = find(&[with(case, &[(5000, 1500), (0, 9), (100, 11), (3000, 200)])]);
    assert_eq!(stalls.counts, counts(3, 2, 1));
    let at: Vec<f64> = stalls.marked.iter().map(|mark| mark.at).collect();
    assert_eq!(at, [0.1, 3.0, 5.0]);
    assert_eq!(stalls.every_seconds, None);
}

#[test]
fn writes_that_wait_for_the_same_thing_are_one_stall() {
    let case = Case::new(Pattern::DirectDsync);
    let stalls = find(&[with(case, &[(1000, 300), (1050, 400)])]);
    assert_eq!(stalls.counts, counts(1, 1, 0));
    assert!(
        (stalls.marked[0].took - 0.45).abs() < 1e-6,
        "{:?}",
        stalls.marked
    );
}

#[test]
fn a_rhythm_is_found_and_noise_is_none() {
    let case = Case::new(Pattern::Wal);
    let even: Vec<_> = (0..8).map(|n| (n * 5000 + n % 3 * 40, 60)).collect();
    let every = find(&[with(case, &even)]).every_seconds.unwrap();
    assert!((4.8..5.2).contains(&every), "{every}");
    let uneven: Vec<_> = [0u64, 300, 4000, 4100, 9000, 20_000]
        .map(|at| (at, 60))
        .into();
    assert_eq!(find(&[with(case, &uneven)]).every_seconds, None);
}

#[test]
fn what_waits_by_nature_is_no_stall() {
    let beside = Case::new(Pattern::Etcd).with_background();
    let deep = Case::new(Pattern::DirectDsync).depth(8);
    let read = Case::new(Pattern::RandomRead);
    let all = [beside, deep, read].map(|case| with(case, &[(0, 500)]));
    assert_eq!(find(&all).counts, counts(0, 0, 0));
}
