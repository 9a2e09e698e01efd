//! What all loads measure with: histograms of nanoseconds, and failed calls by their code. Used by
//! `bench`, `capacity` and `kubernetes`.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::client::Status;

/// The longest latency that is told from a longer one: an hour, in nanoseconds.
pub const LONGEST_NS: u64 = 3600 * 1_000_000_000;

/// A histogram of nanoseconds, from one to an hour, with three digits.
///
/// # Panics
/// Never: these bounds are valid.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("valid bounds")
}

/// Nanoseconds of a span as histograms take them: at least one, at most an hour.
#[must_use]
pub fn nanos(span: Duration) -> u64 {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(LONGEST_NS);
    nanos.clamp(1, LONGEST_NS)
}

/// Notes a latency.
pub fn note(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(nanos(latency));
}

/// All latencies of several histograms together.
#[must_use]
pub fn sum<'a>(all: impl IntoIterator<Item = &'a Histogram<u64>>) -> Histogram<u64> {
    let mut sum = histogram();
    for one in all {
        // Their bounds are the same, so this cannot fail.
        let _ = sum.add(one);
    }
    sum
}

/// Failed calls by the name of their code: how many, and the last message.
pub type Errors = BTreeMap<&'static str, (u64, String)>;

/// Counts a failed call.
pub fn failed(errors: &mut Errors, status: &Status) {
    let (count, last) = errors.entry(status.name()).or_default();
    *count += 1;
    last.clone_from(&status.message);
}

/// All failed calls.
#[must_use]
pub fn errors_total(errors: &Errors) -> u64 {
    errors.values().map(|(count, _)| count).sum()
}

#[cfg(test)]
mod tests;
