//! The monotonic clock and the random numbers of a real node. `boot` hands them to the engine.

use std::cell::RefCell;
use std::time::Instant;

use engine::env::{Clock, Entropy};
use rand::Rng;
use rand::rngs::ThreadRng;

/// The kernel's monotonic clock, counted from when this value was made. Clones agree.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    start: Instant,
}

impl MonotonicClock {
    /// Starts at 0 now. Make one for the node and copy it to every core.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for MonotonicClock {
    fn now_ns(&self) -> u64 {
        // 64 bits of nanoseconds last 584 years.
        self.start.elapsed().as_nanos() as u64
    }
}

/// Random numbers of this thread, seeded by the kernel.
#[derive(Debug)]
pub struct ThreadEntropy(RefCell<ThreadRng>);

impl ThreadEntropy {
    /// The generator of the calling thread.
    pub fn new() -> Self {
        Self(RefCell::new(rand::rng()))
    }
}

impl Default for ThreadEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for ThreadEntropy {
    fn next_u64(&self) -> u64 {
        self.0.borrow_mut().next_u64()
    }
}

#[cfg(test)]
mod tests;
