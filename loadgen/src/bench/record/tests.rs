//! What counts and what does not.

use super::*;

#[test]
fn what_was_due_in_the_measured_time_counts_and_nothing_else() {
    let record = Record::new();
    let now = Instant::now();
    record.took("put", now);
    record.failed(&Status::unavailable("gone"), now);
    assert_eq!((record.all().len(), record.errors_total()), (0, 0));
    let from = now - Duration::from_secs(2);
    record.begin(from, Duration::from_secs(1), Duration::ZERO);
    // Due in it, ended after it: the latency is what it is.
    record.took("put", from + Duration::from_millis(500));
    record.took("put", from + Duration::from_millis(1500));
    record.took("get", from - Duration::from_millis(1));
    record.failed(&Status::unavailable("gone"), from);
    assert_eq!(record.all().len(), 1);
    assert!(record.all().max() >= 1_490_000_000);
    assert_eq!(
        record.errors.borrow()["UNAVAILABLE"],
        (1, "gone".to_owned())
    );
    record.end(from + Duration::from_millis(400));
    record.took("put", from + Duration::from_millis(500));
    assert_eq!(record.all().len(), 1);
    assert_eq!(record.measured(), Duration::from_millis(400));
}

#[test]
fn a_stretch_without_answers_is_a_stall() {
    let record = Record::new();
    let now = Instant::now();
    let from = now - Duration::from_millis(900);
    record.begin(from, Duration::from_secs(60), Duration::ZERO);
    record.took("put", now);
    record.took("put", now);
    let stalls = record.stalls.borrow();
    assert_eq!(stalls.len(), 1);
    assert!(stalls[0].took >= Duration::from_millis(900) && stalls[0].at == Duration::ZERO);
    let (length, pieces) = record.pieces();
    assert_eq!(length, Duration::from_millis(200));
    assert_eq!(pieces.iter().map(|p| p.operations).sum::<u64>(), 2);
    assert!(pieces.len() >= 5 && pieces[0].operations == 0);
}
