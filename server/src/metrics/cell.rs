//! Counters, gauges and histograms with one writer and any number of readers.
//!
//! The writer adds with a plain load and store, which cost what a variable costs; readers see each
//! value whole, some a little later than others. Two writers of one counter would lose counts: a
//! block belongs to one core.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Goes up only.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one. Only the owner may.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`. Only the owner may.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Sets the value. Any thread may, if all of them only set.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// Adds `n`, which may be negative. Only the owner may.
    pub fn add(&self, n: i64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The value.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of a histogram's buckets, in nanoseconds, ascending.
pub type Bounds = [u64; BUCKETS];

/// Buckets of a histogram, without the last one that has no bound.
pub const BUCKETS: usize = 14;

/// etcd's buckets for disk latencies: 1 ms doubled up to 8.192 s.
pub const DISK_BOUNDS: Bounds = doubling(1_000_000);

/// Buckets for what takes microseconds: 1 us times 4 up to 67 s.
pub const FINE_BOUNDS: Bounds = {
    let mut bounds = [0; BUCKETS];
    let mut i = 0;
    while i < BUCKETS {
        bounds[i] = 1_000 << (2 * i);
        i += 1;
    }
    bounds
};

const fn doubling(first: u64) -> Bounds {
    let mut bounds = [0; BUCKETS];
    let mut i = 0;
    while i < BUCKETS {
        bounds[i] = first << i;
        i += 1;
    }
    bounds
}

/// Counts durations by size.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static Bounds,
    /// How many fell into each bucket (not below its bound, as the page has it).
    counts: [Counter; BUCKETS + 1],
    sum_ns: Counter,
}

impl Histogram {
    /// An empty one.
    pub fn new(bounds: &'static Bounds) -> Self {
        Self {
            bounds,
            counts: Default::default(),
            sum_ns: Counter::default(),
        }
    }

    /// Counts one duration. Only the owner may.
    pub fn observe(&self, duration: Duration) {
        self.observe_ns(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts one duration in nanoseconds. Only the owner may.
    pub fn observe_ns(&self, ns: u64) {
        let bucket = self
            .bounds
            .iter()
            .position(|bound| ns <= *bound)
            .unwrap_or(BUCKETS);
        self.counts[bucket].inc();
        self.sum_ns.add(ns);
    }

    /// What it holds now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            bounds: self.bounds,
            counts: std::array::from_fn(|i| self.counts[i].get()),
            sum_ns: self.sum_ns.get(),
        }
    }
}

/// A histogram's content at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Upper bounds of the buckets, nanoseconds.
    pub bounds: &'static Bounds,
    /// How many fell into each; the last has no bound.
    pub counts: [u64; BUCKETS + 1],
    /// All durations together, nanoseconds.
    pub sum_ns: u64,
}

impl Snapshot {
    /// Nothing, with these bounds.
    pub fn empty(bounds: &'static Bounds) -> Self {
        Self {
            bounds,
            counts: [0; BUCKETS + 1],
            sum_ns: 0,
        }
    }

    /// Adds another core's.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(
            self.bounds, other.bounds,
            "histograms of one name have one set of bounds"
        );
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.sum_ns = self.sum_ns.wrapping_add(other.sum_ns);
    }
}
