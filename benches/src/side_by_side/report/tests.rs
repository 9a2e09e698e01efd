//! The report's arithmetic on made-up samples.
#![allow(clippy::unwrap_used)]

use super::*;

fn sample(throughput: f64, server_us: f64) -> Sample {
    Sample {
        throughput,
        server_us,
        p50_us: 10.0,
        p99_us: 20.0,
        ..Sample::default()
    }
}

fn put_64() -> &'static Workload {
    ALL.iter().find(|w| w.name == "put-64").unwrap()
}

#[test]
fn one_wild_round_does_not_move_the_median() {
    let rounds = [sample(100.0, 1.0), sample(9000.0, 9.0), sample(101.0, 1.1)];
    assert_eq!(median(&rounds).throughput, 101.0);
    assert_eq!(median(&rounds[..2]).throughput, 4550.0);
    assert_eq!(median(&[]).throughput, 0.0);
}

#[test]
fn bars_are_judged_in_their_direction() {
    let mut results = Results::default();
    for _ in 0..3 {
        results.add(put_64(), 0, sample(250.0, 30.0));
        results.add(put_64(), 1, sample(100.0, 100.0));
    }
    let table = results.table(["stoa", "etcd"]);
    assert!(
        table.contains("reached put-64      throughput 2.50"),
        "{table}"
    );
    assert!(
        table.contains("MISSED  put-64      server CPU per operation 0.30"),
        "{table}"
    );
    assert!(table.contains("MISSED  put-64      p99 1.00"), "{table}");
    let bars = results.json(["stoa", "etcd"])["loads"][0]["bars"].clone();
    assert_eq!(bars[0]["reached"], true);
    assert_eq!(bars[2]["reached"], false);
}

#[test]
fn a_side_without_samples_reaches_nothing() {
    let mut results = Results::default();
    results.add(put_64(), 0, sample(250.0, 30.0));
    assert!(!results.table(["stoa", "etcd"]).contains("reached"));
}
