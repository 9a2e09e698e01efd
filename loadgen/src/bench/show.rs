//! The report of a run.

mod steps;

use std::time::Duration;

use serde_json::{Value, json};

use super::load::Load;
use super::run::Outcome;
use super::schedule::Schedule;
use crate::client::Options;
use crate::report::{Latency, Part, Plot, Report, Table, Tone, number};

/// Share of one processor from which on this client may be what was measured.
const BUSY: f64 = 0.9;

/// How late operations may be sent, nanoseconds, before that is told.
const LATE_NS: u64 = 1_000_000;

/// Share of the operations of an open loop that has to be answered before the end.
const KEPT_UP: f64 = 0.95;

/// Stalls that are marked in plots.
const MARKS_MAX: usize = 50;

pub(super) fn report(load: &Load, server: &Options, outcome: &Outcome) -> Report {
    let mut parts = warnings(load, outcome);
    parts.push(Part::Heading("Latency".to_owned()));
    parts.push(Part::Table(latencies(outcome)));
    parts.push(Part::Plot(percentiles(outcome)));
    parts.extend(steps::parts(outcome));
    parts.extend(errors(outcome));
    parts.push(Part::Heading("Over time".to_owned()));
    parts.extend(course(outcome).map(Part::Plot));
    parts.push(Part::Heading("Costs".to_owned()));
    parts.push(Part::Table(costs(outcome)));
    Report {
        command: "bench",
        title: format!("{} against {}", named(load), server.endpoints.join(", ")),
        verdict: Some(verdict(outcome)),
        facts: facts(load, outcome),
        parts,
        json: json(load, server, outcome),
    }
}

fn named(load: &Load) -> String {
    let names: Vec<&str> = load.mix.operations().map(|op| op.name()).collect();
    names.join(" + ")
}

fn verdict(outcome: &Outcome) -> (Tone, String) {
    let (rate, errors) = (
        number::rate(outcome.per_second()),
        outcome.record.errors_total(),
    );
    let p99 = number::latency(outcome.record.all().value_at_quantile(0.99));
    let faults = outcome.check.as_ref().map_or(0, |check| check.faults);
    let said = format!("{rate}, 99 of 100 within {p99}");
    if faults > 0 {
        let faults = number::count(faults);
        return (
            Tone::Bad,
            format!("{said}; the check found {faults} faults"),
        );
    }
    if outcome.operations() == 0 {
        let text = format!("nothing was answered, {} errors", number::count(errors));
        return (Tone::Bad, text);
    }
    if errors > 0 {
        return (
            Tone::Fair,
            format!("{said}; {} errors", number::count(errors)),
        );
    }
    match outcome.check {
        Some(_) => (Tone::Good, format!("{said}; the check found no fault")),
        None => (Tone::Good, said),
    }
}

fn schedule(load: &Load) -> String {
    match &load.schedule {
        Schedule::Closed => "closed loop".to_owned(),
        Schedule::Rate(rate) => format!("open loop, {}", number::rate(*rate)),
        Schedule::Steps(rates) => {
            let rates: Vec<String> = rates.iter().map(|rate| number::plain(*rate)).collect();
            format!("open loop, steps of {} a second", rates.join(", "))
        }
        Schedule::Ramp(from, to) => {
            format!(
                "open loop, from {} to {}",
                number::rate(*from),
                number::rate(*to)
            )
        }
    }
}

fn facts(load: &Load, outcome: &Outcome) -> Vec<(String, String)> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    vec![
        fact("Loop", schedule(load)),
        fact("Clients", number::count(outcome.clients as u64)),
        fact("Connections", number::count(load.conns as u64)),
        fact("Keys", keys(load)),
        fact("Value size", number::bytes(load.value_size as u64)),
        fact(
            "Measured",
            format!("{:.1} s", outcome.measured.as_secs_f64()),
        ),
        fact("Seed", load.seed.to_string()),
    ]
}

/// How many keys there are, and whether the run has put them all before it began.
fn keys(load: &Load) -> String {
    let count = number::count(load.keys);
    if load.needs_keys() {
        format!("{count}, each put once before the load")
    } else {
        count
    }
}

fn warnings(load: &Load, outcome: &Outcome) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut warn = |text: String| parts.push(Part::Warning(text));
    if outcome.measured < load.duration {
        warn("The run was ended before its time; this is what was measured so far.".to_owned());
    }
    let busy = outcome.client_cpu_us as f64 / 1e6 / outcome.measured.as_secs_f64().max(1e-9);
    if busy > BUSY {
        warn(format!(
            "This client was busy for {:.0}% of the time on its one processor: the server may be \
             faster than what is shown.",
            busy * 100.0
        ));
    }
    let late = outcome.record.lateness.borrow().value_at_quantile(0.99);
    if load.schedule != Schedule::Closed && late > LATE_NS {
        warn(format!(
            "One operation in a hundred was sent {} late or more; latencies contain that.",
            number::latency(late)
        ));
    }
    let (asked, in_time) = (outcome.operations(), in_time(outcome));
    if load.schedule != Schedule::Closed && (in_time as f64) < asked as f64 * KEPT_UP {
        let rate = in_time as f64 / outcome.measured.as_secs_f64().max(1e-9);
        warn(format!(
            "The server did not keep up: of {} operations {} were answered in the measured time, \
             {}.",
            number::count(asked),
            number::count(in_time),
            number::rate(rate)
        ));
    }
    if let Some(check) = &outcome.check {
        for fault in &check.told {
            warn(format!("Check: {fault}."));
        }
    }
    parts
}

/// Operations that were answered before the end. The clock goes on whatever a server does, so all
/// that were due are no measure of what it can do.
fn in_time(outcome: &Outcome) -> u64 {
    let (_, pieces) = outcome.record.pieces();
    pieces.iter().map(|piece| piece.operations).sum()
}

fn latencies(outcome: &Outcome) -> Table {
    let mut rows = Vec::new();
    let all = outcome.record.latencies.borrow();
    for (name, histogram) in &*all {
        let at = |quantile| number::latency(histogram.value_at_quantile(quantile));
        rows.push(vec![
            (*name).to_owned(),
            number::count(histogram.len()),
            number::rate(histogram.len() as f64 / outcome.measured.as_secs_f64().max(1e-9)),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            number::latency(histogram.max()),
        ]);
    }
    Table {
        title: "Latency by operation".to_owned(),
        columns: [
            "operation",
            "count",
            "rate",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
    }
}

fn percentiles(outcome: &Outcome) -> Plot {
    let all = outcome.record.latencies.borrow();
    let series = all.iter().map(|(name, h)| ((*name).to_owned(), h.clone()));
    Plot::Percentiles {
        title: "Latency by percentile".to_owned(),
        series: series.collect(),
    }
}

fn errors(outcome: &Outcome) -> Option<Part> {
    let errors = outcome.record.errors.borrow();
    let rows = errors
        .iter()
        .map(|(name, (count, last))| vec![(*name).to_owned(), number::count(*count), last.clone()]);
    let table = Table {
        title: "Errors by code".to_owned(),
        columns: ["code", "count", "the last one said"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows.collect(),
    };
    (!errors.is_empty()).then_some(Part::Table(table))
}

fn marks(outcome: &Outcome) -> Vec<(f64, f64, String)> {
    let mut stalls = outcome.record.stalls.borrow().clone();
    stalls.sort_by_key(|stall| std::cmp::Reverse(stall.took));
    stalls.truncate(MARKS_MAX);
    let mark = |at: Duration, took: Duration| {
        let text = format!("nothing for {}", number::latency(took.as_nanos() as u64));
        (at.as_secs_f64(), (at + took).as_secs_f64(), text)
    };
    stalls.into_iter().map(|s| mark(s.at, s.took)).collect()
}

fn course(outcome: &Outcome) -> [Plot; 2] {
    let (length, pieces) = outcome.record.pieces();
    let length = length.as_secs_f64();
    let line = |value: &dyn Fn(&super::record::Piece) -> f64| -> Vec<(f64, f64)> {
        let points = pieces.iter().enumerate();
        points
            .map(|(n, piece)| ((n as f64 + 0.5) * length, value(piece)))
            .collect()
    };
    let ms = |ns: u64| ns as f64 / 1e6;
    let slow = |value: &dyn Fn(&super::record::Piece) -> u64| -> Vec<(f64, f64)> {
        let all = line(&|piece| ms(value(piece)));
        all.into_iter().filter(|(_, ms)| *ms > 0.0).collect()
    };
    [
        Plot::Timeline {
            title: "Throughput over time".to_owned(),
            label: "operations a second".to_owned(),
            log: false,
            series: vec![(
                "all".to_owned(),
                line(&|piece| piece.operations as f64 / length),
            )],
            marks: marks(outcome),
        },
        Plot::Timeline {
            title: "Latency over time".to_owned(),
            label: "ms".to_owned(),
            log: true,
            series: vec![
                ("p99".to_owned(), slow(&|piece| piece.p99_ns)),
                ("slowest".to_owned(), slow(&|piece| piece.max_ns)),
            ],
            marks: marks(outcome),
        },
    ]
}

fn costs(outcome: &Outcome) -> Table {
    let us = |each: f64| format!("{} µs", number::plain(each));
    let mut rows = vec![vec![
        "this client".to_owned(),
        us(outcome.each(outcome.client_cpu_us)),
        "–".to_owned(),
    ]];
    if let Some(server) = &outcome.server {
        rows.push(vec![
            "server".to_owned(),
            us(outcome.each(server.cpu_us)),
            number::bytes(server.rss_bytes),
        ]);
    }
    Table {
        title: "Processor time and memory".to_owned(),
        columns: ["process", "CPU an operation", "memory at most"]
            .map(str::to_owned)
            .to_vec(),
        rows,
    }
}

fn json(load: &Load, server: &Options, outcome: &Outcome) -> Value {
    let record = &outcome.record;
    let by_operation: serde_json::Map<String, Value> = record
        .latencies
        .borrow()
        .iter()
        .map(|(name, h)| ((*name).to_owned(), json!(Latency::from(h))))
        .collect();
    let by_code: serde_json::Map<String, Value> = record
        .errors
        .borrow()
        .iter()
        .map(|(name, (count, last))| {
            let error = json!({ "count": count, "last_message": last });
            ((*name).to_owned(), error)
        })
        .collect();
    let (length, pieces) = record.pieces();
    let stalls = record.stalls.borrow();
    let stalls = stalls.iter().map(|stall| {
        json!({ "at_seconds": stall.at.as_secs_f64(), "seconds": stall.took.as_secs_f64() })
    });
    let course = pieces.iter().enumerate().map(|(n, piece)| {
        json!({
            "at_seconds": n as f64 * length.as_secs_f64(),
            "operations": piece.operations,
            "p99_us": piece.p99_ns as f64 / 1e3,
            "max_us": piece.max_ns as f64 / 1e3,
        })
    });
    let mut all = json!({
        "endpoints": server.endpoints,
        "workload": named(load),
        "loop": schedule(load),
        "clients": outcome.clients,
        "connections": load.conns,
        "keys": load.keys,
        "keys_filled": load.needs_keys(),
        "value_size": load.value_size,
        "seed": load.seed,
        "measured_seconds": outcome.measured.as_secs_f64(),
        "operations": outcome.operations(),
        "operations_per_second": outcome.per_second(),
        "operations_in_time": in_time(outcome),
        "errors": record.errors_total(),
        "errors_by_code": by_code,
        "latency_us": Latency::from(&record.all()),
        "latency_us_by_operation": by_operation,
        "steps": steps::json(outcome),
        "client_cpu_us_per_operation": outcome.each(outcome.client_cpu_us),
        "lateness_us": Latency::from(&*record.lateness.borrow()),
        "stalls": stalls.collect::<Vec<_>>(),
        "course": { "piece_seconds": length.as_secs_f64(), "pieces": course.collect::<Vec<_>>() },
    });
    if let Some(server) = &outcome.server {
        all["server_cpu_us_per_operation"] = json!(outcome.each(server.cpu_us));
        all["server_rss_bytes"] = json!(server.rss_bytes);
    }
    if let Some(check) = &outcome.check {
        all["check"] = json!({
            "compared": check.compared,
            "faults": check.faults,
            "first_faults": check.told,
        });
    }
    all
}
