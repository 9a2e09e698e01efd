//! What the runtime behind the seam costs: the parts of the table that the binary `seam` prints.

pub mod cpu;
pub mod disk;
pub mod h2_client;
pub mod h2_server;
pub mod mail;
pub mod paths;

use std::time::Duration;

use hdrhistogram::Histogram;

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was done.
    pub name: String,
    /// Operations counted.
    pub operations: u64,
    /// Time they took together.
    pub elapsed: Duration,
    /// Latency of one, microseconds, at the median and at 99 of 100.
    pub latency_us: (f64, f64),
    /// CPU of the measured threads for one, microseconds.
    pub cpu_us: f64,
}

impl Row {
    /// A row from latencies in nanoseconds and CPU nanoseconds.
    pub fn new(name: &str, elapsed: Duration, latency_ns: &Histogram<u64>, cpu_ns: u64) -> Self {
        let operations = latency_ns.len();
        let at = |quantile| latency_ns.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            name: name.to_string(),
            operations,
            elapsed,
            latency_us: (at(0.5), at(0.99)),
            cpu_us: cpu_ns as f64 / 1000.0 / operations.max(1) as f64,
        }
    }
}

/// A histogram of nanoseconds up to ten seconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(10_000_000_000, 3).expect("the bounds are valid")
}

/// Reads how long each row takes, in seconds; for clap.
///
/// # Errors
/// A text that says what is wrong.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    if !(0.1..=3600.0).contains(&number) {
        return Err("has to be from 0.1 to 3600".to_owned());
    }
    Ok(Duration::from_secs_f64(number))
}
