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
    record.begin(from, Duration::from_secs(1), &Schedule::Closed);
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
    record.begin(from, Duration::from_secs(60), &Schedule::Closed);
    record.took("put", now);
    record.took("put", now);
    record.end(now + Duration::from_millis(50));
    record.close();
    let stalls = record.stalls.borrow();
    assert_eq!(stalls.len(), 1);
    assert!(stalls[0].took >= Duration::from_millis(900) && stalls[0].at == Duration::ZERO);
    let (length, pieces) = record.pieces();
    assert_eq!(length, Duration::from_millis(200));
    assert_eq!(pieces.iter().map(|p| p.operations).sum::<u64>(), 2);
    assert!(pieces.len() >= 5 && pieces[0].operations == 0);
}

#[test]
fn a_stretch_without_answers_up_to_the_end_is_a_stall() {
    let record = Record::new();
    let now = Instant::now();
    record.begin(now, Duration::from_secs(60), &Schedule::Closed);
    record.took("put", now);
    record.close();
    let stalls = record.stalls.borrow();
    assert_eq!(stalls.len(), 1);
    assert!(stalls[0].took > Duration::from_secs(59), "{stalls:?}");
}

#[test]
fn what_was_due_at_a_rate_is_told_with_it_and_answers_where_they_came() {
    let record = Record::new();
    let length = Duration::from_secs(1);
    let schedule = Schedule::Steps(vec![10.0, 20.0, 30.0]);
    // Now is in the second step.
    let from = Instant::now() - Duration::from_millis(500);
    record.begin(from, length, &schedule);
    for number in 0..schedule.due(length, length) {
        record.took("put", from + schedule.time_of(number, length));
    }
    record.failed(&Status::unavailable("gone"), from);
    let told = record.steps();
    assert_eq!(
        told.iter().map(|s| s.asked).collect::<Vec<_>>(),
        [10.0, 20.0, 30.0]
    );
    assert_eq!(told.iter().map(|s| s.errors).collect::<Vec<_>>(), [1, 0, 0]);
    assert_eq!(
        told.iter().map(|s| s.answers).collect::<Vec<_>>(),
        [0, 20, 0]
    );
    // Thirds of a second: a step holds what its rate makes, to the nearest whole operation.
    let due: Vec<u64> = told.iter().map(|s| s.latencies.len()).collect();
    assert_eq!(due, [4, 6, 10]);
    record.end(from + Duration::from_millis(400));
    let cut: Vec<_> = record.steps().iter().map(|step| step.length).collect();
    assert_eq!(cut.len(), 2, "{cut:?}");
    assert!(cut[1] < Duration::from_millis(67));
}
