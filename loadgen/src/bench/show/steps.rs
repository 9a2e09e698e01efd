//! How the steps of a load are told whose rate changes.

use serde_json::{Value, json};

use crate::bench::outcome::Outcome;
use crate::report::{Latency, Part, Plot, Table, number};

/// A table and a plot; nothing where the rate does not change.
pub(super) fn parts(outcome: &Outcome) -> Vec<Part> {
    let steps = outcome.record.steps();
    if steps.is_empty() {
        return Vec::new();
    }
    let mut rows = Vec::new();
    let mut series = Vec::new();
    for step in &steps {
        let quantile = |quantile| number::latency(step.latencies.value_at_quantile(quantile));
        rows.push(vec![
            format!("{:.1} s", step.at.as_secs_f64()),
            number::rate(step.asked),
            number::rate(step.reached()),
            number::count(step.errors),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            number::latency(step.latencies.max()),
        ]);
        series.push((number::rate(step.asked), step.latencies.clone()));
    }
    let columns = [
        "from", "asked", "reached", "errors", "p50", "p99", "p99.9", "max",
    ];
    let table = Table {
        title: "Latency by step".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows,
    };
    let plot = Plot::Percentiles {
        title: "Latency by percentile and rate asked".to_owned(),
        series,
    };
    vec![Part::Table(table), Part::Plot(plot)]
}

/// The same for programs.
pub(super) fn json(outcome: &Outcome) -> Vec<Value> {
    let steps = outcome.record.steps();
    let step = steps.iter().map(|step| {
        json!({
            "at_seconds": step.at.as_secs_f64(),
            "seconds": step.length.as_secs_f64(),
            "rate_asked": step.asked,
            "rate_reached": step.reached(),
            "operations": step.latencies.len(),
            "errors": step.errors,
            "latency_us": Latency::from(&step.latencies),
        })
    });
    step.collect()
}
