//! For how long a driver works: until its time is over or the run is told to end.

use std::time::{Duration, Instant};

use crate::progress::Stop;

/// A stretch of time to measure in.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// What times count from.
    pub zero: Instant,
    /// How long.
    pub length: Duration,
    /// Ends it early.
    pub stop: Stop,
}

impl Stretch {
    /// Whether a driver that began then should end.
    #[must_use]
    pub fn is_over(&self, began: Instant) -> bool {
        began.elapsed() >= self.length || self.stop.is_set()
    }
}
