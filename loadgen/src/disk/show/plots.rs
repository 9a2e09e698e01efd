//! The plots of a report.

use super::name;
use crate::disk::case::{Case, Pattern};
use crate::disk::exhaust::Exhaustion;
use crate::disk::judged::Judged;
use crate::disk::measure::Measurement;
use crate::disk::plan::GROUPED;
use crate::report::Plot;

/// A series' name: with the disk's where there are several.
fn label(disks: &[Judged], disk: &Judged, what: &str) -> String {
    match disks.len() {
        1 => what.to_owned(),
        _ => format!("{}: {what}", name(disk)),
    }
}

/// Latency curves of what a log waits for; with several disks fewer of each, so that they can be
/// told apart.
pub(super) fn percentiles(disks: &[Judged]) -> Plot {
    let one = Case::new;
    let mut cases = vec![
        (one(Pattern::DirectDsync), "direct-dsync"),
        (one(Pattern::OverwriteFdatasync), "overwrite-fdatasync"),
        (one(Pattern::Etcd), "etcd's log"),
        (one(Pattern::Wal), "Stoa's log"),
        (
            one(Pattern::Wal).with_background(),
            "Stoa's log beside a checkpoint",
        ),
    ];
    if disks.len() > 1 {
        cases.truncate(2);
    }
    let mut series = Vec::new();
    for disk in disks {
        for (case, what) in &cases {
            if let Some(measured) = disk.results.get(*case) {
                let name = label(disks, disk, what);
                series.push((name, measured.recorder.histogram.clone()));
            }
        }
    }
    Plot::Percentiles {
        title: "Latency of one durable write".to_owned(),
        series,
    }
}

/// Rates by pattern.
pub(super) fn rates(disks: &[Judged]) -> Plot {
    let one = Case::new;
    let cases = [
        one(Pattern::OverwriteFdatasync),
        one(Pattern::DirectDsync),
        one(Pattern::DirectDsync).depth(4),
        one(Pattern::Etcd),
        one(Pattern::Wal),
        one(Pattern::Etcd).depth(GROUPED),
        one(Pattern::Wal).depth(GROUPED),
    ];
    let group = |case: Case| {
        let bar = |disk: &Judged| {
            let rate = disk.results.get(case).map(Measurement::per_second)?;
            Some((name(disk), rate))
        };
        let title = match case.depth {
            1 => case.pattern.name().to_owned(),
            depth if case.pattern.is_log() => format!("{}, {depth} clients", case.pattern.name()),
            depth => format!("{}, depth {depth}", case.pattern.name()),
        };
        (title, disks.iter().filter_map(bar).collect())
    };
    let groups: Vec<(String, Vec<(String, f64)>)> = cases.into_iter().map(group).collect();
    Plot::Bars {
        title: "Durable writes a second".to_owned(),
        label: "writes a second".to_owned(),
        groups: groups
            .into_iter()
            .filter(|(_, bars)| !bars.is_empty())
            .collect(),
    }
}

/// The slowest durable write of each tenth of a second over the run, with stalls marked.
pub(super) fn over_time(disks: &[Judged]) -> Plot {
    let (mut series, mut marks) = (Vec::new(), Vec::new());
    for disk in disks {
        let measurements = &disk.results.measurements;
        for (what, beside) in [("durable writes", false), ("beside a checkpoint", true)] {
            let wanted =
                |m: &&Measurement| m.case.pattern.is_durable() && m.case.background == beside;
            let points = measurements.iter().filter(wanted);
            let mut points: Vec<(f64, f64)> =
                points.flat_map(|m| m.recorder.worst_over_time()).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            if !points.is_empty() {
                series.push((label(disks, disk, what), points));
            }
        }
        marks.extend(disk.stalls.marked.iter().map(|mark| {
            let text = format!("stall of {:.0} ms", mark.took * 1e3);
            (mark.at, mark.at + mark.took, label(disks, disk, &text))
        }));
    }
    Plot::Timeline {
        title: "The slowest write of each tenth of a second".to_owned(),
        label: "ms".to_owned(),
        log: true,
        series,
        marks,
    }
}

/// From where on burst credits or fast cells were used up.
fn ran_dry(long: &Exhaustion) -> Option<(f64, f64, String)> {
    let fell = format!("{} slowed down", long.what);
    Some((long.fell_at?, long.seconds, fell))
}

/// The rates of a long run.
pub(super) fn exhaustion(disk: &Judged) -> Option<Plot> {
    let long = &disk.results.exhaustion;
    if long.is_empty() {
        return None;
    }
    let series = long
        .iter()
        .map(|one| (one.what.to_owned(), one.rates.clone()));
    Some(Plot::Timeline {
        title: format!("Long writing on {}", name(disk)),
        label: "writes a second".to_owned(),
        log: true,
        series: series.collect(),
        marks: long.iter().filter_map(ran_dry).collect(),
    })
}
