//! Objectives as people write them.
#![allow(clippy::unwrap_used)]

use super::*;

fn held(latencies: &[u64], failed: u64) -> Held {
    let mut held = Held::new(100.0);
    for ms in latencies {
        held.latencies.record(ms * 1_000_000).unwrap();
    }
    if failed > 0 {
        held.errors.insert("UNAVAILABLE", (failed, String::new()));
    }
    held
}

#[test]
fn an_objective_is_met_when_all_its_limits_are() {
    let objective = Objective::parse("p99<10ms, errors=0").unwrap();
    assert!(objective.is_met(&held(&[1, 2, 9], 0)));
    assert!(!objective.is_met(&held(&[1, 2, 10], 0)), "below, not at");
    assert!(!objective.is_met(&held(&[1, 2, 9], 1)));
    assert!(!objective.is_met(&held(&[], 0)), "nothing came");
    let mut overrun = held(&[1], 0);
    overrun.is_overrun = true;
    assert!(!objective.is_met(&overrun));
    let some = Objective::parse("p50<5ms,errors<50%").unwrap();
    assert!(some.is_met(&held(&[1, 1, 9], 3)));
    assert!(!some.is_met(&held(&[1, 1, 9], 4)));
}

#[test]
fn what_is_no_objective_says_how_one_is_written() {
    for bad in [
        "",
        "p99",
        "p98<1s",
        "p99<10",
        "errors",
        "errors=3",
        "errors<200%",
        "p99>1ms",
    ] {
        let said = Objective::parse(bad).unwrap_err();
        assert!(said.contains("p99<10ms,errors=0"), "{bad}: {said}");
    }
}
