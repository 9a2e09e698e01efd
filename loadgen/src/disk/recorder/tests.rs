//! What is recorded, and over which time.

use std::time::{Duration, Instant};

use super::Recorder;

/// Operations that begin and end so many milliseconds after the zero.
fn recorded(zero: Instant, operations: &[(u64, u64)]) -> Recorder {
    let mut recorder = Recorder::new(zero);
    let at = |ms| zero + Duration::from_millis(ms);
    for (began, ended) in operations {
        recorder.record(at(*began), at(*ended));
    }
    recorder
}

#[test]
fn the_time_before_the_first_operation_and_after_the_last_does_not_count() {
    let recorder = recorded(Instant::now(), &[(500, 510), (510, 530), (505, 525)]);
    assert_eq!(recorder.began(), Duration::from_millis(500));
    assert_eq!(recorder.length(), Duration::from_millis(30));
}

#[test]
fn what_threads_measured_together_is_counted_over_the_time_of_all() {
    let zero = Instant::now();
    let mut all = Recorder::new(zero);
    assert_eq!(all.length(), Duration::ZERO);
    all.merge(&recorded(zero, &[(100, 150)]));
    all.merge(&recorded(zero, &[(120, 190)]));
    assert_eq!(all.count, 2);
    assert_eq!(all.began(), Duration::from_millis(100));
    assert_eq!(all.length(), Duration::from_millis(90));
    let took: Vec<u128> = all.slow.iter().map(|slow| slow.took.as_millis()).collect();
    assert_eq!(took, [50, 70]);
}
