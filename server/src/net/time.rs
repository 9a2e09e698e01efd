//! Time as the network code takes it, so that tests can drive it. The runtime supplies it.

use std::future::Future;
use std::time::Duration;

/// A monotonic clock that can also wait.
pub trait Time: Clone + 'static {
    /// What [`Time::sleep`] returns.
    type Sleep: Future<Output = ()>;

    /// Nanoseconds since some fixed point in the past; never goes back.
    fn now_ns(&self) -> u64;

    /// Completes when `duration` has passed.
    fn sleep(&self, duration: Duration) -> Self::Sleep;
}

/// A duration in nanoseconds, cut off at the end of time.
pub fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
