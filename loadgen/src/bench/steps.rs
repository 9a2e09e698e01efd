//! What a load whose rate changes came to, step by step.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::schedule::Schedule;
use crate::measured::{histogram, note};

/// A part of the measured time with a rate of its own.
#[derive(Clone, Debug)]
pub struct Step {
    /// When it began, since the start.
    pub at: Duration,
    /// How long it was, shorter than the others where the load was ended in it.
    pub length: Duration,
    /// Operations a second that were due; of a ramp, on average.
    pub asked: f64,
    /// Latencies of what was due in it, nanoseconds.
    pub latencies: Histogram<u64>,
    /// What was due in it and failed.
    pub errors: u64,
    /// Answers that came in it, whenever they were due.
    pub answers: u64,
}

impl Step {
    /// Answers a second in it.
    #[must_use]
    pub fn reached(&self) -> f64 {
        self.answers as f64 / self.length.as_secs_f64()
    }
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
        let parts = schedule.parts();
        let each = length / u32::try_from(parts.len().max(1)).unwrap_or(u32::MAX);
        let step = |(number, asked): (u32, f64)| Step {
            at: each * number,
            length: each,
            asked,
            latencies: histogram(),
            errors: 0,
            answers: 0,
        };
        Steps {
            length,
            all: (0..).zip(parts).map(step).collect(),
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

    /// Those that were begun within `measured`; the last of them ended with it.
    #[must_use]
    pub fn begun(&self, measured: Duration) -> Vec<Step> {
        let begun = self.all.iter().filter(|step| step.at < measured).cloned();
        let cut = |step: Step| Step {
            length: step.length.min(measured - step.at),
            ..step
        };
        begun.map(cut).collect()
    }
}
