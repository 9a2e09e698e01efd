//! The simulator's runs: seeds, crashes at every operation of the disk, broken promises.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use tests::sim::run::{Plan, run};

fn must_hold(plan: &Plan) -> tests::sim::run::Summary {
    match run(plan) {
        Ok(summary) => summary,
        Err(failure) => panic!("{failure}\nshown again by {plan:?}"),
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let plan = Plan::new(1);
    let (first, second) = (must_hold(&plan), must_hold(&plan));
    assert_eq!(first, second);
    assert_ne!(first.trace, must_hold(&Plan::new(2)).trace);
}

#[test]
fn nothing_is_lost_or_invented_over_many_seeds() {
    for seed in 0..20 {
        must_hold(&Plan::new(seed));
    }
}
