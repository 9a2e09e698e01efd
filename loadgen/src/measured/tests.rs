//! Bounds of what is measured.

use super::*;

#[test]
fn latencies_out_of_bounds_count_as_the_nearest_within() {
    let mut some = histogram();
    note(&mut some, Duration::ZERO);
    note(&mut some, Duration::MAX);
    assert_eq!((some.len(), some.min()), (2, 1));
    assert!(some.max() >= LONGEST_NS);
    let both = sum([&some, &some]);
    assert_eq!((both.len(), both.max()), (4, some.max()));
}

#[test]
fn failed_calls_are_counted_by_their_code_with_the_last_words() {
    let mut errors = Errors::new();
    failed(&mut errors, &Status::unavailable("first"));
    failed(&mut errors, &Status::unavailable("second"));
    failed(&mut errors, &Status::new(Status::INTERNAL, "other"));
    assert_eq!(errors["UNAVAILABLE"], (2, "second".to_owned()));
    assert_eq!(errors_total(&errors), 3);
}
