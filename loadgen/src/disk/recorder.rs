//! Times of operations: a histogram, the worst of each tenth of a second, and every operation slow
//! enough to count as a stall. Filled by the drivers, one for each thread, then merged.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// From here on an operation is kept by itself.
pub const SLOW: Duration = Duration::from_millis(10);
/// Slow operations that are kept; the histogram holds them all.
const SLOW_MAX: usize = 100_000;
/// The longest time that is told apart from a longer one.
const LONGEST_NS: u64 = 600_000_000_000;
const SLOT: Duration = Duration::from_millis(100);

/// A slow operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slow {
    /// When it began, since the run's zero.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
}

/// What was measured so far.
#[derive(Clone, Debug)]
pub struct Recorder {
    zero: Instant,
    /// When the first operation began and the last one ended, since the zero: making files ready
    /// and removing them is no part of what is measured.
    first: Duration,
    last: Duration,
    /// Nanoseconds.
    pub histogram: Histogram<u64>,
    /// Operations.
    pub count: u64,
    /// Slow ones, in the order of their ends.
    pub slow: Vec<Slow>,
    /// Tenths of a second since the zero: operations that ended there, and the slowest, ns.
    pub slots: BTreeMap<u64, (u64, u64)>,
    /// What the threads waited for a processor, and how long they ran; none if not known.
    pub waited: Option<(Duration, Duration)>,
}

impl Recorder {
    /// Nothing measured; times of slow operations count from `zero`.
    ///
    /// # Panics
    /// Never: the bounds are fixed.
    #[must_use]
    pub fn new(zero: Instant) -> Recorder {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3);
        Recorder {
            zero,
            first: Duration::MAX,
            last: Duration::ZERO,
            histogram: histogram.expect("the bounds are in order and three digits are allowed"),
            count: 0,
            slow: Vec::new(),
            slots: BTreeMap::new(),
            waited: None,
        }
    }

    /// An operation that began and ended then.
    pub fn record(&mut self, began: Instant, ended: Instant) {
        let took = ended.saturating_duration_since(began);
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(took_ns);
        self.count += 1;
        let from = began.saturating_duration_since(self.zero);
        let at = ended.saturating_duration_since(self.zero);
        self.first = self.first.min(from);
        self.last = self.last.max(at);
        let slot = self.slots.entry((at.as_millis() / SLOT.as_millis()) as u64);
        let slot = slot.or_default();
        *slot = (slot.0 + 1, slot.1.max(took_ns));
        if took >= SLOW && self.slow.len() < SLOW_MAX {
            self.slow.push(Slow { at: from, took });
        }
    }

    /// When the first operation began, since the zero.
    #[must_use]
    pub fn began(&self) -> Duration {
        self.first.min(self.last)
    }

    /// From the beginning of the first operation to the end of the last.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.last.saturating_sub(self.first)
    }

    /// Adds what another thread measured.
    pub fn merge(&mut self, other: &Recorder) {
        // Histograms of the same bounds always add up.
        let _ = self.histogram.add(&other.histogram);
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.slow.extend_from_slice(&other.slow);
        self.slow.sort_unstable();
        if let Some((waited, ran)) = other.waited {
            let own = self.waited.get_or_insert_default();
            *own = (own.0 + waited, own.1 + ran);
        }
        for (slot, (count, worst)) in &other.slots {
            let own = self.slots.entry(*slot).or_default();
            *own = (own.0 + count, own.1.max(*worst));
        }
    }

    /// Seconds since the zero and the slowest operation that ended within that tenth, in
    /// milliseconds.
    #[must_use]
    pub fn worst_over_time(&self) -> Vec<(f64, f64)> {
        let point = |(slot, (_, worst)): (&u64, &(u64, u64))| {
            (*slot as f64 * SLOT.as_secs_f64(), *worst as f64 / 1e6)
        };
        self.slots.iter().map(point).collect()
    }
}

#[cfg(test)]
mod tests;
