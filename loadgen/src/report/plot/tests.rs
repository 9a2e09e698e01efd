//! Tests of axes and lines; how plots look is seen by tests/cases/loadgen_report.rs in a browser.
#![allow(clippy::unwrap_used)]

use super::{Figure, figure};
use crate::report::Plot;
use hdrhistogram::Histogram;

/// The labels of a drawing in their order.
fn texts(svg: &str) -> Vec<&str> {
    let parts = svg.split("<text").skip(1);
    let inner = |part: &'_ str| {
        let from = part.find('>').unwrap() + 1;
        (from, part.find("</text>").unwrap())
    };
    parts
        .map(|part| {
            let (from, to) = inner(part);
            &part[from..to]
        })
        .collect()
}

fn latencies(nanos: impl IntoIterator<Item = u64>) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).unwrap();
    for nanos in nanos {
        histogram.record(nanos).unwrap();
    }
    histogram
}

fn percentiles(series: Vec<(String, Histogram<u64>)>) -> Figure {
    figure(&Plot::Percentiles {
        title: "t".to_owned(),
        series,
    })
}

fn timeline(log: bool, points: Vec<(f64, f64)>, marks: Vec<(f64, f64, String)>) -> Figure {
    figure(&Plot::Timeline {
        title: "t".to_owned(),
        label: "operations".to_owned(),
        log,
        series: vec![("a".to_owned(), points)],
        marks,
    })
}

#[test]
fn percentiles_reach_as_far_as_there_are_measurements() {
    let few = percentiles(vec![("a".to_owned(), latencies(1_000..1_900))]);
    let labels = texts(&few.wide);
    assert!(
        labels.contains(&"99.9") && !labels.contains(&"99.99"),
        "{labels:?}"
    );
    let many = percentiles(vec![("a".to_owned(), latencies(1_000..201_000))]);
    let labels = texts(&many.wide);
    for label in [
        "0", "50", "90", "99", "99.9", "99.99", "99.999", "1 µs", "100 µs",
    ] {
        assert!(labels.contains(&label), "{label} in {labels:?}");
    }
    assert_eq!(many.legend[0].note, "max 201 µs, 200,000 measured");
}

#[test]
fn nothing_measured_is_said_and_draws_no_line() {
    let nothing = percentiles(vec![("a".to_owned(), latencies([]))]);
    assert_eq!(texts(&nothing.wide), ["nothing measured"]);
    let nothing = timeline(true, vec![(0.0, 0.0), (1.0, f64::NAN)], Vec::new());
    assert_eq!(texts(&nothing.narrow), ["nothing measured"]);
    let nothing = figure(&Plot::Bars {
        title: "t".to_owned(),
        label: "l".to_owned(),
        groups: Vec::new(),
    });
    assert_eq!(texts(&nothing.wide), ["nothing measured"]);
}

#[test]
fn no_value_makes_a_drawing_that_is_none() {
    let points = vec![
        (0.0, f64::INFINITY),
        (1.0, -3.0),
        (2.0, 0.0),
        (f64::NAN, 1.0),
        (3.0, 1e300),
        (4.0, 5e-324),
    ];
    for log in [false, true] {
        let drawn = timeline(log, points.clone(), vec![(f64::NAN, 9.0, "x".to_owned())]);
        for bad in ["NaN", "inf"] {
            assert!(!drawn.wide.contains(bad), "{bad} in {}", drawn.wide);
        }
    }
    let bars = vec![("a".to_owned(), f64::NAN), ("b".to_owned(), f64::INFINITY)];
    let drawn = figure(&Plot::Bars {
        title: "t".to_owned(),
        label: "l".to_owned(),
        groups: vec![("g".to_owned(), bars)],
    });
    assert!(!drawn.wide.contains("NaN") && !drawn.wide.contains("inf"));
}

#[test]
fn a_peak_among_many_points_is_drawn() {
    let mut points: Vec<_> = (0..100_000)
        .map(|n| (f64::from(n) / 1000.0, 10.0))
        .collect();
    points[54_321].1 = 1000.0;
    let drawn = timeline(false, points, Vec::new());
    assert!(drawn.wide.len() < 60_000, "{} bytes", drawn.wide.len());
    // Only one point is as high as the plot's upper edge, where 1000 is.
    let top = drawn.wide.split("class=\"grid\" d=\"M").skip(1);
    let heights = top.filter_map(|line| line.split([',', ' ']).nth(1));
    let highest = heights
        .map(|y| y.parse::<f64>().unwrap())
        .fold(f64::MAX, f64::min);
    let line = drawn.wide.split("class=\"line").nth(1).unwrap();
    let line = &line[..line.find("/>").unwrap()];
    assert_eq!(
        line.matches(&format!(",{highest:.1} ")).count(),
        1,
        "{highest}"
    );
}

#[test]
fn long_runs_are_told_in_minutes_and_hours() {
    let name = |seconds: f64| {
        let drawn = timeline(false, vec![(0.0, 1.0), (seconds, 2.0)], Vec::new());
        let texts = texts(&drawn.wide);
        let name = texts
            .iter()
            .find(|t| matches!(**t, "seconds" | "minutes" | "hours"));
        (*name.unwrap()).to_owned()
    };
    assert_eq!(name(60.0), "seconds");
    assert_eq!(name(1800.0), "minutes");
    assert_eq!(name(86_400.0), "hours");
}

#[test]
fn marks_without_room_for_a_label_are_listed() {
    let marks: Vec<_> = (0..40)
        .map(|n| (f64::from(n), f64::from(n) + 0.05, "sync stalled".to_owned()))
        .collect();
    let drawn = timeline(false, vec![(0.0, 1.0), (60.0, 2.0)], marks);
    let labelled = texts(&drawn.narrow)
        .iter()
        .filter(|t| **t == "sync stalled")
        .count();
    assert!((1..6).contains(&labelled), "{labelled}");
    assert_eq!(drawn.narrow.matches("class=\"mark\"").count(), 40);
    assert_eq!((drawn.marks.len(), drawn.marks_total), (40, 40));
    assert_eq!(drawn.marks[1], "1 to 1.05 s: sync stalled");
}

#[test]
fn lines_differ_by_more_than_their_colour() {
    let series = (0..24).map(|n| (n.to_string(), latencies([1000 + n])));
    let drawn = percentiles(series.collect());
    let mut swatches: Vec<_> = drawn.legend.iter().map(|key| key.swatch.clone()).collect();
    swatches.sort();
    swatches.dedup();
    assert_eq!(swatches.len(), 24);
}

#[test]
fn marks_on_one_place_are_one_and_many_are_counted() {
    let marks = (0..3000).map(|n| (f64::from(n), f64::from(n) + 0.1, "stall".to_owned()));
    let drawn = timeline(false, vec![(0.0, 1.0), (3000.0, 2.0)], marks.collect());
    assert!(drawn.narrow.matches("class=\"mark\"").count() < 350);
    assert_eq!((drawn.marks.len(), drawn.marks_total), (201, 3000));
    assert_eq!(drawn.marks[200], "and 2,800 more");
}

#[test]
fn the_end_of_a_run_has_a_line_where_a_round_time_is_near() {
    let drawn = timeline(false, vec![(0.0, 1.0), (59.9, 2.0)], Vec::new());
    assert!(texts(&drawn.wide).contains(&"60"));
    let drawn = timeline(false, vec![(0.0, 1.0), (57.0, 2.0)], Vec::new());
    assert!(!texts(&drawn.wide).contains(&"60"));
}
