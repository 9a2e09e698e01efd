//! The arithmetic of rounds on made-up samples.
#![allow(clippy::unwrap_used)]

use hdrhistogram::Histogram;

use super::*;

fn sample(throughput: f64, server_us: f64) -> Sample {
    let mut histogram = Histogram::new(3).unwrap();
    histogram.record(20_000).unwrap();
    Sample {
        operations: 1,
        seconds: 1.0,
        operations_per_second: throughput,
        latency_us: (&histogram).into(),
        server_cpu_us_per_operation: Some(server_us),
        client_cpu_us_per_operation: 5.0,
        server_rss_bytes: None,
    }
}

fn workload(name: &str) -> &'static Workload {
    ALL.iter().find(|w| w.name == name).unwrap()
}

/// Rounds of puts by 64 clients: of each side the throughput and the server's CPU.
fn put_64(disk: Disk, rounds: &[[(f64, f64); 2]]) -> Results {
    let mut results = Results::default();
    for (number, sides) in rounds.iter().enumerate() {
        for (side, (throughput, server_us)) in sides.iter().enumerate() {
            let at = (disk, workload("put-64"));
            results.add(at, number, side, sample(*throughput, *server_us));
        }
    }
    results
}

#[test]
fn one_wild_round_moves_the_spread_and_not_the_median() {
    let of = |numbers: &[f64]| Spread::of(numbers.iter().copied());
    let spread = of(&[100.0, 9000.0, 101.0]).unwrap();
    assert_eq!(
        (spread.lowest, spread.median, spread.highest),
        (100.0, 101.0, 9000.0)
    );
    assert_eq!(of(&[100.0, 9000.0]).unwrap().median, 4550.0);
    assert_eq!(of(&[f64::NAN, 7.0, f64::INFINITY]).unwrap().highest, 7.0);
    assert_eq!(of(&[]), None);
}

#[test]
fn a_ratio_is_formed_within_a_round() {
    // A machine that slows down from round to round: the medians by themselves would say 1.
    let rounds = [
        [(400.0, 1.0), (200.0, 1.0)],
        [(200.0, 1.0), (100.0, 1.0)],
        [(200.0, 1.0), (200.0, 1.0)],
    ];
    let results = put_64(Disk::Plain, &rounds);
    let measured = results.on(Disk::Plain).next().unwrap();
    let spread = measured.ratio(Figure::Throughput).unwrap();
    assert_eq!(
        (spread.lowest, spread.median, spread.highest),
        (1.0, 2.0, 2.0)
    );
    assert_eq!(measured.side(1, Figure::Throughput).unwrap().median, 200.0);
}

#[test]
fn bars_are_judged_in_their_direction_and_on_their_disk() {
    let rounds = [[(250.0, 30.0), (100.0, 100.0)]; 3];
    let reached = |disk: Disk| -> Vec<(Figure, bool)> {
        let results = put_64(disk, &rounds);
        let measured = results.on(disk).next().unwrap();
        let judged = measured.judged().map(|j| (j.bar.1, j.is_reached));
        judged.collect()
    };
    assert_eq!(
        reached(Disk::Plain),
        [
            (Figure::Throughput, true),
            (Figure::P99, false),
            (Figure::ServerCpu, false)
        ]
    );
    assert_eq!(reached(Disk::Throttled), [(Figure::Throughput, false)]);
    assert_eq!(reached(Disk::Busy), []);
}

#[test]
fn a_side_without_samples_reaches_nothing() {
    let mut results = Results::default();
    let at = (Disk::Plain, workload("put-64"));
    results.add(at, 0, 0, sample(250.0, 30.0));
    results.add(at, 2, 1, sample(100.0, 100.0));
    let measured = results.on(Disk::Plain).next().unwrap();
    assert_eq!(measured.rounds.len(), 3);
    assert_eq!(measured.judged().filter(|j| j.is_reached).count(), 0);
    assert_eq!(measured.ratio(Figure::Throughput), None);
    // What was not measured is not shown as nothing.
    assert_eq!(measured.side(0, Figure::Memory), None);
}
