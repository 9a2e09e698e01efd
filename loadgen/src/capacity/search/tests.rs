//! The search against servers of paper.
#![allow(clippy::unwrap_used)]

use super::*;

/// A server that answers in a millisecond up to a rate, less for longer, and in a second above.
struct Made {
    short: f64,
    long: f64,
    /// Attempts at which this program is late.
    late: std::ops::Range<usize>,
    tried: Vec<f64>,
}

impl Load for Made {
    async fn hold(&mut self, rate: f64, span: Duration) -> Result<Held, String> {
        self.tried.push(rate);
        let mut held = Held::new(rate);
        let limit = if span > Duration::from_secs(10) {
            self.long
        } else {
            self.short
        };
        let is_late = self.late.contains(&(self.tried.len() - 1));
        let ms = if rate <= limit && !is_late { 1 } else { 1000 };
        if is_late {
            held.lateness.record(500_000_000).unwrap();
        }
        held.latencies.record(ms * 1_000_000).unwrap();
        Ok(held)
    }
}

const PLAN: Plan = Plan {
    first: 100.0,
    most: 100_000.0,
    near: 0.05,
    trial: Duration::from_secs(5),
    hold: Duration::from_secs(60),
};

fn searched(short: f64, long: f64) -> (f64, Vec<f64>) {
    let (found, tried) = searched_late(short, long, 0..0);
    (found.rate(), tried)
}

fn searched_late(short: f64, long: f64, late: std::ops::Range<usize>) -> (Searched, Vec<f64>) {
    let mut load = Made {
        short,
        long,
        late,
        tried: Vec::new(),
    };
    let objective = Objective::parse("p99<10ms").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let found = runtime.block_on(search(&mut load, &objective, PLAN, || false));
    (found.unwrap(), load.tried)
}

#[test]
fn the_highest_rate_is_found_to_within_what_was_asked() {
    for limit in [3.0, 99.0, 100.0, 1234.0, 54_321.0] {
        let (rate, tried) = searched(limit, limit);
        assert!(rate <= limit && rate * 1.05 >= limit, "{rate} of {limit}");
        assert!(tried.len() < 24, "{tried:?}");
    }
}

#[test]
fn what_holds_only_for_a_moment_is_not_the_answer() {
    let (rate, _) = searched(1000.0, 800.0);
    assert!((700.0..=800.0).contains(&rate), "{rate}");
}

#[test]
fn no_rate_is_tried_above_the_most_and_none_may_be_found() {
    let (rate, tried) = searched(1e9, 1e9);
    assert_eq!(rate, PLAN.most);
    assert!(tried.iter().all(|rate| *rate <= PLAN.most));
    assert_eq!(searched(0.0, 0.0).0, 0.0);
}

#[test]
fn a_rate_at_which_this_program_was_late_is_tried_again() {
    let (found, tried) = searched_late(1000.0, 1000.0, 1..2);
    assert_eq!(tried[..4], [100.0, 200.0, 200.0, 400.0]);
    assert!(found.rate() > 900.0 && !found.is_own_limit());
    // Where it is late again it is its own limit that was found, and that is said.
    let (found, tried) = searched_late(1e9, 1e9, 2..4);
    assert_eq!(tried[..4], [100.0, 200.0, 400.0, 400.0]);
    assert!(found.rate() < 400.0);
    assert!(found.is_own_limit());
}
