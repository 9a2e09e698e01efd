//! Times and counts of a schedule fit each other.

use super::*;

const LENGTH: Duration = Duration::from_secs(10);

#[test]
fn schedules_make_as_many_operations_as_their_rates_say() {
    let steps = Schedule::steps("100,300").expect("steps");
    let ramp = Schedule::ramp("100..300").expect("a ramp");
    for (schedule, half, all) in [
        (Schedule::Rate(200.0), 1000, 2000),
        (steps, 500, 2000),
        (ramp, 750, 2000),
        (Schedule::Ramp(50.0, 50.0), 250, 500),
    ] {
        assert_eq!(schedule.due(LENGTH / 2, LENGTH), half, "{schedule:?}");
        assert_eq!(schedule.due(LENGTH, LENGTH), all, "{schedule:?}");
        for number in 0..all {
            let at = schedule.time_of(number, LENGTH);
            let soon = at + Duration::from_micros(10);
            assert!(
                schedule.due(soon, LENGTH) >= number,
                "{schedule:?} {number}"
            );
            let before = at.saturating_sub(Duration::from_micros(10));
            assert!(
                schedule.due(before, LENGTH) <= number,
                "{schedule:?} {number}"
            );
        }
    }
}

#[test]
fn what_is_no_rate_is_refused() {
    for text in ["", "0", "-1", "x", "1e99", "nan"] {
        assert!(rate(text).is_err(), "{text}");
        assert!(Schedule::steps(&format!("1,{text}")).is_err(), "{text}");
        assert!(Schedule::ramp(&format!("1..{text}")).is_err(), "{text}");
    }
    assert!(Schedule::ramp("5").is_err());
}

#[test]
fn the_parts_of_a_ramp_have_its_rates() {
    let parts = Schedule::Ramp(100.0, 300.0).parts();
    assert_eq!(parts.len(), 10);
    assert_eq!((parts[0], parts[9]), (110.0, 290.0));
    assert!(Schedule::Rate(5.0).parts().is_empty());
    let many = vec!["5"; 201].join(",");
    assert!(Schedule::steps(&many).is_err());
}
