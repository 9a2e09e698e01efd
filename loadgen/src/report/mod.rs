//! What a command found, and how it is shown: a summary on the terminal, JSON with a version, one
//! HTML file that needs nothing beside it.

pub mod number;

mod envelope;
mod html;
mod plot;
mod publish;
mod run;
mod terminal;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::Value;

pub use publish::check_file;
pub use run::{Run, begin};

/// The version of the JSON that [`Report::publish`] writes: `{"format":"stoa-loadgen","version":1,
/// "command":…,"program":…,"began":…,"seconds":…,"arguments":…,"machine":…,"summary":…, and the
/// command's own keys}`. It is raised when a key goes or changes its meaning, not for new ones.
pub const JSON_VERSION: u32 = 1;

/// The version of this program.
const PROGRAM_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where a report goes beside the terminal.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Outputs {
    /// Writes all results to this file as JSON; - is standard output, with the summary on
    /// standard error
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes a report with plots to this file as HTML
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Names this host in both files
    #[arg(long)]
    pub with_hostname: bool,
}

/// What a command found.
#[derive(Debug, Default)]
pub struct Report {
    /// The command, such as `disk`.
    pub command: &'static str,
    /// What stands above all, such as `Disk /var/lib/etcd`.
    pub title: String,
    /// The answer in one sentence, and whether it is good.
    pub verdict: Option<(Tone, String)>,
    /// What it was measured on and with, beside the machine: name and value.
    pub facts: Vec<(String, String)>,
    /// Text, tables and plots in their order.
    pub parts: Vec<Part>,
    /// The command's own keys in the JSON: an object.
    pub json: Value,
}

/// How something is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As one would wish.
    Good,
    /// Usable, with a caveat.
    Fair,
    /// Not usable.
    Bad,
}

impl Tone {
    /// `good`, `fair` or `bad`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Fair => "fair",
            Tone::Bad => "bad",
        }
    }
}

/// A piece of a report.
#[derive(Clone, Debug)]
pub enum Part {
    /// A heading over what follows.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// A caveat that a reader must not miss; before the first heading it holds for the whole run.
    Warning(String),
    /// A table.
    Table(Table),
    /// A plot; the terminal leaves it out.
    Plot(Plot),
}

/// A table; columns but the first are set to the right when all their cells are numbers.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Names of the columns, with units.
    pub columns: Vec<String>,
    /// A cell for each column.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Which columns are set to the right: those but the first in which all cells are numbers.
    fn right_columns(&self) -> Vec<bool> {
        let is_right = |i: usize| {
            let mut cells = self.rows.iter().filter_map(|row| row.get(i));
            i > 0 && cells.all(|cell| number::is_numeric(cell))
        };
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        (0..columns.max(self.columns.len())).map(is_right).collect()
    }
}

/// A plot.
#[derive(Clone, Debug)]
pub enum Plot {
    /// Latency against the percentile, both on log axes (the percentile as 1/(1-p)).
    Percentiles {
        /// What it shows.
        title: String,
        /// Name and latencies, nanoseconds.
        series: Vec<(String, Histogram<u64>)>,
    },
    /// Something over time.
    Timeline {
        /// What it shows.
        title: String,
        /// What the ordinate counts, with its unit.
        label: String,
        /// Whether the ordinate is on a log axis.
        log: bool,
        /// Name and points: seconds since the start, and a value.
        series: Vec<(String, Vec<(f64, f64)>)>,
        /// Spans to mark, such as stalls: from, to (seconds), and what happened.
        marks: Vec<(f64, f64, String)>,
    },
    /// One bar for each name, such as ratios or rates.
    Bars {
        /// What it shows.
        title: String,
        /// What the length means, with its unit.
        label: String,
        /// Name of each group and its bars: name and value.
        groups: Vec<(String, Vec<(String, f64)>)>,
    },
    /// A marker for each name with the span around it, such as ratios of interleaved rounds, on a
    /// log axis with a line at 1.
    Spreads {
        /// What it shows.
        title: String,
        /// What the axis counts.
        label: String,
        /// Name of each series and its spans; those of one name share a row.
        series: Vec<(String, Vec<Spread>)>,
    },
}

/// A number that came out differently each time; all of it above 0, or it has no place.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// What was measured.
    pub name: String,
    /// The least.
    pub lowest: f64,
    /// The one in the middle.
    pub middle: f64,
    /// The most.
    pub highest: f64,
    /// What was aimed at.
    pub aim: Option<f64>,
}

/// Latencies in a report's JSON, microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Half were no slower.
    pub p50: f64,
    /// 90 of 100 were no slower.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
    /// The average.
    pub mean: f64,
    /// How many there were.
    pub count: u64,
}

impl From<&Histogram<u64>> for Latency {
    /// `histogram` holds nanoseconds.
    fn from(histogram: &Histogram<u64>) -> Latency {
        let us = |nanos: u64| nanos as f64 / 1000.0;
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        Latency {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: us(histogram.max()),
            mean: histogram.mean() / 1000.0,
            count: histogram.len(),
        }
    }
}
