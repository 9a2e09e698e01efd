//! What a load whose rate changes came to, step by step.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::schedule::Schedule;
use crate::measured::{histogram, note};

/// A part of the measured time with a rate of its own.
#[derive(Clone, Debug)]
pub struct Step {
    /// Operations a second that were due; of a ramp, on average.
    pub asked: f64,
    /// Latencies of what was due in it, nanoseconds.
    pub latencies: Histogram<u64>,
    /// What was due in it and failed.
    pub errors: u64,
    /// Answers that came in it, whenever they were due.
    pub answers: u64,
}

/// All of them, of equal length; none where the rate does not change.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    length: Duration,
    all: Vec<Step>,
}

impl Steps {
    /// Those of a schedule over a time of this length.
    #[must_use]
    pub fn new(schedule: &Schedule, length: Duration) -> Steps {
        let step = |asked: f64| Step {
            asked,
            latencies: histogram(),
            errors: 0,
            answers: 0,
        };
        Steps {
            length,
            all: schedule.parts().into_iter().map(step).collect(),
        }
    }

    /// The step at a time since the start.
    fn at(&mut self, since: Duration) -> Option<&mut Step> {
        if since >= self.length || self.all.is_empty() {
            return None;
        }
        let count = self.all.len();
        // The first operation of a step is due at its start to the nearest nanosecond, which may
        // be the one before.
        let place = (since.as_nanos() + 1) * count as u128 / self.length.as_nanos();
        self.all.get_mut((place as usize).min(count - 1))
    }

    /// An operation due at `due` ended well at `end`, both since the start.
    pub fn took(&mut self, due: Duration, end: Duration, latency: Duration) {
        if let Some(step) = self.at(end) {
            step.answers += 1;
        }
        if let Some(step) = self.at(due) {
            note(&mut step.latencies, latency);
        }
    }

    /// An operation due at `due` since the start failed.
    pub fn failed(&mut self, due: Duration) {
        if let Some(step) = self.at(due) {
            step.errors += 1;
        }
    }

    /// Those that were begun within `measured`: when each began, how long it was, and the step.
    #[must_use]
    pub fn begun(&self, measured: Duration) -> Vec<(Duration, Duration, Step)> {
        let length = self.length / u32::try_from(self.all.len().max(1)).unwrap_or(u32::MAX);
        let mut begun = Vec::new();
        let mut at = Duration::ZERO;
        for step in &self.all {
            let left = measured.saturating_sub(at);
            if left.is_zero() {
                break;
            }
            begun.push((at, left.min(length), step.clone()));
            at += length;
        }
        begun
    }
}
