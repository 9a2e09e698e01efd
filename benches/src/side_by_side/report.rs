//! Samples of all rounds into medians, ratios and bars: a table for people, JSON for the rest.
//! Called by the binary at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::load::Sample;
use super::workload::{ALL, Bar, Figure, Workload};

/// All samples of a run: by workload, then side (0 is Stoa), one a round.
#[derive(Default)]
pub struct Results {
    samples: BTreeMap<&'static str, [Vec<Sample>; 2]>,
}

impl Results {
    /// Adds what one run gave.
    pub fn add(&mut self, workload: &Workload, side: usize, sample: Sample) {
        self.samples.entry(workload.name).or_default()[side].push(sample);
    }

    /// The table: a line for each workload and side with medians, one with the ratios, then the
    /// bars.
    #[must_use]
    pub fn table(&self, sides: [&str; 2]) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{:<11} {:<8} {:>10} {:>10} {:>10} {:>11} {:>11} {:>8}",
            "load", "server", "op/s", "p50 us", "p99 us", "srv us/op", "cli us/op", "RSS MB"
        );
        for (workload, both) in self.measured() {
            for (side, samples) in sides.iter().zip(both) {
                let m = median(samples);
                let _ = writeln!(
                    out,
                    "{:<11} {side:<8} {:>10.0} {:>10.0} {:>10.0} {:>11.2} {:>11.2} {:>8.0}",
                    workload.name,
                    m.throughput,
                    m.p50_us,
                    m.p99_us,
                    m.server_us,
                    m.client_us,
                    m.rss_bytes as f64 / 1e6
                );
            }
            let r = |figure| ratio(both, figure);
            let _ = writeln!(
                out,
                "{:<11} {:<8} {:>10.2} {:>10.2} {:>10.2} {:>11.2}",
                "",
                "ratio",
                r(Figure::Throughput),
                r(Figure::P50),
                r(Figure::P99),
                r(Figure::ServerCpu)
            );
        }
        out.push('\n');
        for (workload, both) in self.measured() {
            for bar in workload.bars {
                let (have, reached) = judge(both, *bar);
                let (name, sign) = words(bar.0);
                let _ = writeln!(
                    out,
                    "{} {:<11} {name} {have:.2} (bar: {sign} {:.3})",
                    if reached { "reached" } else { "MISSED " },
                    workload.name,
                    bar.1
                );
            }
        }
        out
    }

    /// Medians, ratios, bars and every sample.
    #[must_use]
    pub fn json(&self, sides: [&str; 2]) -> Value {
        let loads: Vec<Value> = self
            .measured()
            .map(|(workload, both)| {
                let bars: Vec<Value> = workload
                    .bars
                    .iter()
                    .map(|bar| {
                        let (have, reached) = judge(both, *bar);
                        json!({ "figure": words(bar.0).0, "bar": bar.1, "ratio": have,
                                "reached": reached })
                    })
                    .collect();
                json!({
                    "load": workload.name,
                    "clients": workload.connections * workload.clients,
                    "sides": [side(sides[0], &both[0]), side(sides[1], &both[1])],
                    "bars": bars,
                })
            })
            .collect();
        json!({ "loads": loads })
    }

    fn measured(&self) -> impl Iterator<Item = (&'static Workload, &[Vec<Sample>; 2])> {
        ALL.iter()
            .filter_map(|w| self.samples.get(w.name).map(|s| (w, s)))
    }
}

fn side(name: &str, samples: &[Sample]) -> Value {
    let one = |s: &Sample| {
        json!({ "operations": s.operations, "throughput": s.throughput, "p50_us": s.p50_us,
                "p99_us": s.p99_us, "server_us": s.server_us, "client_us": s.client_us,
                "rss_bytes": s.rss_bytes })
    };
    let rounds: Vec<Value> = samples.iter().map(one).collect();
    json!({ "server": name, "median": one(&median(samples)), "rounds": rounds })
}

fn figure(sample: &Sample, figure: Figure) -> f64 {
    match figure {
        Figure::Throughput => sample.throughput,
        Figure::P50 => sample.p50_us,
        Figure::P99 => sample.p99_us,
        Figure::ServerCpu => sample.server_us,
    }
}

/// Each figure's median on its own: no single round need have been in the middle in all.
fn median(samples: &[Sample]) -> Sample {
    let of = |get: &dyn Fn(&Sample) -> f64| {
        let mut all: Vec<f64> = samples.iter().map(get).collect();
        all.sort_by(f64::total_cmp);
        match all.len() {
            0 => 0.0,
            n if n % 2 == 1 => all[n / 2],
            n => (all[n / 2 - 1] + all[n / 2]) / 2.0,
        }
    };
    Sample {
        operations: of(&|s| s.operations as f64) as u64,
        throughput: of(&|s| s.throughput),
        p50_us: of(&|s| s.p50_us),
        p99_us: of(&|s| s.p99_us),
        server_us: of(&|s| s.server_us),
        client_us: of(&|s| s.client_us),
        rss_bytes: of(&|s| s.rss_bytes as f64) as u64,
    }
}

fn ratio(both: &[Vec<Sample>; 2], by: Figure) -> f64 {
    let [a, b] = both.each_ref().map(|samples| figure(&median(samples), by));
    if b == 0.0 { f64::NAN } else { a / b }
}

/// The ratio reached and whether it passes; a ratio that could not be formed does not.
fn judge(both: &[Vec<Sample>; 2], bar: Bar) -> (f64, bool) {
    let have = ratio(both, bar.0);
    let reached = match bar.0 {
        Figure::Throughput => have >= bar.1,
        Figure::P50 | Figure::P99 | Figure::ServerCpu => have <= bar.1,
    };
    (have, reached)
}

fn words(figure: Figure) -> (&'static str, &'static str) {
    match figure {
        Figure::Throughput => ("throughput", "at least"),
        Figure::P50 => ("p50", "at most"),
        Figure::P99 => ("p99", "at most"),
        Figure::ServerCpu => ("server CPU per operation", "at most"),
    }
}

#[cfg(test)]
mod tests;
