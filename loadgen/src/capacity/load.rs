//! What puts a load of a given rate on a server: the seam between the search and the engine of the
//! load.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

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
    /// Failed operations by the name of their code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Whether it was given up because the answers fell ever further behind.
    pub is_overrun: bool,
}

impl Held {
    /// Nothing yet.
    #[must_use]
    pub fn new(rate: f64) -> Held {
        Held {
            rate,
            seconds: 0.0,
            latencies: histogram(),
            lateness: histogram(),
            errors: BTreeMap::new(),
            is_overrun: false,
        }
    }

    /// Failed operations.
    #[must_use]
    pub fn errors_total(&self) -> u64 {
        self.errors.values().sum()
    }

    /// All operations.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.latencies.len() + self.errors_total()
    }
}

/// A histogram of nanoseconds up to a minute.
fn histogram() -> Histogram<u64> {
    // These bounds are always valid.
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds")
}

/// A load.
pub trait Load {
    /// Holds a rate (operations a second) for a while, or until told to stop.
    ///
    /// # Errors
    /// Why it cannot be made at all; failed operations are part of what is held.
    fn hold(&mut self, rate: f64, span: Duration) -> impl Future<Output = Result<Held, String>>;
}
