//! What puts a load of a given rate on a server: the seam between the search and the engine of the
//! load.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::bench::run::Outcome;
use crate::measured::{Errors, errors_total};
use crate::server_process::Usage;

/// Part of a core from which on this program may have been what was measured.
const BUSY: f64 = 0.8;

/// Lateness of this program (99th percentile, nanoseconds) that is too much of a latency.
const LATE_NS: u64 = 5_000_000;

/// What came of holding a rate.
#[derive(Clone, Debug)]
pub struct Held {
    /// Operations a second that were due.
    pub rate: f64,
    /// For how long, seconds.
    pub seconds: f64,
    /// From when each was due to its answer, nanoseconds.
    pub latencies: Histogram<u64>,
    /// From when each was due to when it was sent: how late this program was, nanoseconds.
    pub lateness: Histogram<u64>,
    /// Failed operations.
    pub errors: Errors,
    /// Whether it was given up because the answers fell ever further behind.
    pub is_overrun: bool,
    /// Processor time of this program, microseconds.
    pub own_us: u64,
    /// What servers on this machine took.
    pub server: Option<Usage>,
}

impl Held {
    /// Nothing yet.
    #[cfg(test)]
    pub fn new(rate: f64) -> Held {
        Held {
            rate,
            seconds: 0.0,
            latencies: crate::measured::histogram(),
            lateness: crate::measured::histogram(),
            errors: Errors::new(),
            is_overrun: false,
            own_us: 0,
            server: None,
        }
    }

    /// What the engine gave.
    #[must_use]
    pub fn of(rate: f64, outcome: &Outcome) -> Held {
        Held {
            rate,
            seconds: outcome.measured.as_secs_f64(),
            latencies: outcome.record.all(),
            lateness: outcome.record.lateness.borrow().clone(),
            errors: outcome.record.errors.borrow().clone(),
            is_overrun: outcome.is_overrun,
            own_us: outcome.client_cpu_us,
            server: outcome.server,
        }
    }

    /// Failed operations.
    #[must_use]
    pub fn errors_total(&self) -> u64 {
        errors_total(&self.errors)
    }

    /// All operations.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.latencies.len() + self.errors_total()
    }

    /// Whether this program sent so late that its latencies say little of the server.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.lateness.value_at_quantile(0.99) > LATE_NS
    }

    /// Whether this program, not the server, may have been what was measured.
    #[must_use]
    pub fn is_own_limit(&self) -> bool {
        self.is_late() || self.own_us as f64 / 1e6 > self.seconds * BUSY
    }
}

/// A load.
pub trait Load {
    /// Holds a rate (operations a second) for a while, or until told to stop.
    ///
    /// # Errors
    /// Why it cannot be made at all; failed operations are part of what is held.
    fn hold(&mut self, rate: f64, span: Duration) -> impl Future<Output = Result<Held, String>>;
}
