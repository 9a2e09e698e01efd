//! What is measured in how much time.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::Plan;
use crate::disk::case::{Case, Pattern};

#[test]
fn a_plan_keeps_to_its_time_and_never_measures_the_same_twice() {
    for seconds in [5, 20, 60, 600] {
        let time = Duration::from_secs(seconds);
        let plan = Plan::new(time, 4);
        let sum: Duration = plan.cases.iter().map(|case| plan.time(case)).sum();
        assert!(sum <= time, "{sum:?} of {time:?}");
        assert!(sum >= time / 2, "{sum:?} of {time:?}");
        for (i, case) in plan.cases.iter().enumerate() {
            let again = plan.cases[..i].iter().find(|other| other.is_same(case));
            assert_eq!(again, None, "twice in {seconds} s");
        }
    }
}

#[test]
fn a_glance_has_what_the_verdict_rests_on_and_says_what_is_left_out() {
    let plan = Plan::new(Duration::from_secs(5), 4);
    assert!(
        plan.cases
            .contains(&Case::new(Pattern::Etcd).with_background().weight(8))
    );
    assert_eq!(plan.left_out.len(), 2, "{:?}", plan.left_out);
}

#[test]
fn a_minute_has_every_size_and_depth_and_up_to_all_logs() {
    let plan = Plan::new(Duration::from_secs(60), 4);
    assert!(plan.left_out.is_empty(), "{:?}", plan.left_out);
    let has = |case: Case| plan.cases.iter().any(|planned| planned.is_same(&case));
    let patterns = [
        Pattern::AppendFdatasync,
        Pattern::OverwriteFdatasync,
        Pattern::DirectDsync,
        Pattern::LinkedFsync,
    ];
    for pattern in patterns {
        for block in [512, 4096, 16_384, 131_072] {
            for depth in [1, 2, 4, 8] {
                let case = Case::new(pattern).block(block).depth(depth);
                assert!(has(case), "{case}");
            }
        }
        assert!(has(Case::new(pattern).with_background()));
        for logs in 2..=4 {
            assert!(
                has(Case::new(pattern).logs(logs)),
                "{pattern:?}, {logs} logs"
            );
        }
    }
}

#[test]
fn a_minute_measures_everything_again_beside_a_checkpoint() {
    let plan = Plan::new(Duration::from_secs(60), 4);
    let has = |case: Case| plan.cases.iter().any(|known| known.is_same(&case));
    for case in plan.cases.iter().filter(|case| !case.background) {
        assert!(has(case.with_background()), "{case}");
    }
}
