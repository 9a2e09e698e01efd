//! What is measured: latencies by resource and kind, watch lag, errors by code, and the course of
//! the writes over time.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::model::{Resource, Verb};
use crate::client::Status;
use crate::measured::{self, Errors, histogram, note};

/// Revisions whose acknowledgement is remembered for the watch lag; older ones are forgotten.
const ACKS: usize = 1 << 22;

/// What a latency is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A write, from when it was due to its acknowledgement.
    Write(Verb),
    /// A read of one object.
    Get,
    /// A whole list, by a cache that begins.
    List,
    /// A count.
    Count,
    /// From a read that has to be consistent to the cache being as new.
    Fresh,
    /// From a write's acknowledgement to its event in a cache.
    Lag,
}

impl Kind {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Write(verb) => verb.name(),
            Kind::Get => "get",
            Kind::List => "list",
            Kind::Count => "count",
            Kind::Fresh => "consistent read",
            Kind::Lag => "watch lag",
        }
    }
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Second {
    /// Writes acknowledged in it.
    pub writes: u64,
    /// Their 99th percentile and maximum, nanoseconds.
    pub p99: u64,
    /// The slowest of them.
    pub max: u64,
    /// The longest watch lag, nanoseconds.
    pub lag: u64,
}

/// When each revision was acknowledged.
#[derive(Default)]
struct Acks {
    first: i64,
    times: VecDeque<Option<Instant>>,
}

/// A measurement in the making.
pub struct Record {
    on: Cell<bool>,
    /// Latencies, nanoseconds.
    pub latencies: RefCell<BTreeMap<(Kind, Resource), Histogram<u64>>>,
    /// From when something was due to when it was sent: how late this program was.
    pub lateness: RefCell<Histogram<u64>>,
    /// Failed calls by the name of their code, and the last message.
    pub errors: RefCell<Errors>,
    /// Calls made.
    pub operations: Cell<u64>,
    /// Writes that were not done within their limit, and renewals that were left out because the
    /// one before was still on its way.
    pub missed: Cell<u64>,
    /// Conditions that did not hold: somebody else had written, or an earlier attempt had.
    pub conflicts: Cell<u64>,
    /// Objects that were acknowledged and are gone or older than acknowledged.
    pub lost: Cell<u64>,
    /// Objects that lists brought.
    pub listed: Cell<u64>,
    /// Lists that were not whole in the end and count with the time they had taken.
    pub unfinished: Cell<u64>,
    /// The seconds that are over.
    pub seconds: RefCell<Vec<Second>>,
    now: RefCell<(Histogram<u64>, u64)>,
    acks: RefCell<Acks>,
}

impl Record {
    /// An empty one, which does not measure yet.
    pub fn new() -> Record {
        Record {
            on: Cell::new(false),
            latencies: RefCell::default(),
            lateness: RefCell::new(histogram()),
            errors: RefCell::default(),
            operations: Cell::default(),
            missed: Cell::default(),
            conflicts: Cell::default(),
            lost: Cell::default(),
            listed: Cell::default(),
            unfinished: Cell::default(),
            seconds: RefCell::default(),
            now: RefCell::new((histogram(), 0)),
            acks: RefCell::default(),
        }
    }

    /// Forgets what was measured, for another measurement of the same cluster.
    pub fn clear(&self) {
        self.latencies.take();
        self.lateness.borrow_mut().reset();
        self.errors.take();
        self.seconds.take();
        let counters = [
            &self.operations,
            &self.missed,
            &self.conflicts,
            &self.lost,
            &self.listed,
            &self.unfinished,
        ];
        for counter in counters {
            counter.set(0);
        }
        let (writes, lag) = &mut *self.now.borrow_mut();
        writes.reset();
        *lag = 0;
    }

    /// Whether what happens is measured.
    pub fn measure(&self, on: bool) {
        self.on.set(on);
    }

    /// Whether it is measured now.
    pub fn is_on(&self) -> bool {
        self.on.get()
    }

    /// Notes how long something took since `due`.
    pub fn took(&self, kind: Kind, resource: Resource, due: Instant) {
        self.latency(kind, resource, due.elapsed());
    }

    fn latency(&self, kind: Kind, resource: Resource, latency: Duration) {
        if !self.on.get() {
            return;
        }
        let mut all = self.latencies.borrow_mut();
        let of_kind = all.entry((kind, resource)).or_insert_with(histogram);
        note(of_kind, latency);
        match kind {
            Kind::Write(_) => note(&mut self.now.borrow_mut().0, latency),
            Kind::Lag => {
                let longest = &mut self.now.borrow_mut().1;
                *longest = measured::nanos(latency).max(*longest);
            }
            _ => {}
        }
    }

    /// A call is made that was due then.
    pub fn sent(&self, due: Instant) {
        if self.on.get() {
            note(&mut self.lateness.borrow_mut(), due.elapsed());
        }
    }

    /// A call ended.
    pub fn called(&self) {
        if self.on.get() {
            self.operations.set(self.operations.get() + 1);
        }
    }

    /// A call failed.
    pub fn failed(&self, status: &Status) {
        if self.on.get() {
            measured::failed(&mut self.errors.borrow_mut(), status);
        }
    }

    /// Adds to a counter while it is measured.
    pub fn bump(&self, counter: &Cell<u64>) {
        if self.on.get() {
            counter.set(counter.get() + 1);
        }
    }

    /// A write was acknowledged at `revision`.
    pub fn acknowledged(&self, revision: i64) {
        let acks = &mut *self.acks.borrow_mut();
        if acks.times.is_empty() {
            acks.first = revision;
        }
        let Ok(at) = usize::try_from(revision - acks.first) else {
            return;
        };
        // A revision far ahead means that somebody else writes, too: nothing is kept of that.
        if at > acks.times.len() + ACKS {
            acks.times.clear();
            acks.first = revision;
            acks.times.push_back(Some(Instant::now()));
            return;
        }
        if at >= acks.times.len() {
            acks.times.resize(at + 1, None);
        }
        acks.times[at] = Some(Instant::now());
        while acks.times.len() > ACKS {
            acks.times.pop_front();
            acks.first += 1;
        }
    }

    /// An event of `revision` was seen by a cache that has been listed since then. One that is seen
    /// before its acknowledgement has no lag; one from before the run has none either. While a
    /// cache lists, nobody is served from it: what comes meanwhile counts from the list's end.
    pub fn seen(&self, resource: Resource, revision: i64, listed: Option<Instant>) {
        let lag = {
            let acks = self.acks.borrow();
            let at = usize::try_from(revision - acks.first).ok();
            let acknowledged = at.and_then(|at| acks.times.get(at).copied().flatten());
            acknowledged.map_or(Duration::ZERO, |at| at.max(listed.unwrap_or(at)).elapsed())
        };
        self.latency(Kind::Lag, resource, lag);
    }

    /// A second is over.
    pub fn tick(&self) {
        if !self.on.get() {
            return;
        }
        let (writes, lag) = &mut *self.now.borrow_mut();
        self.seconds.borrow_mut().push(Second {
            writes: writes.len(),
            p99: writes.value_at_quantile(0.99),
            max: writes.max(),
            lag: *lag,
        });
        writes.reset();
        *lag = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_counted_from_the_acknowledgement_and_none_is_none() {
        let record = Record::new();
        record.measure(true);
        record.acknowledged(10);
        record.acknowledged(12);
        std::thread::sleep(Duration::from_millis(2));
        for revision in [10, 11, 12, 13, 3] {
            record.seen(Resource::Pods, revision, None);
        }
        record.seen(Resource::Pods, 10, Some(Instant::now()));
        let latencies = record.latencies.take();
        let lags = &latencies[&(Kind::Lag, Resource::Pods)];
        assert_eq!(lags.len(), 6);
        assert_eq!(lags.count_between(2_000_000, measured::LONGEST_NS), 2);
    }

    #[test]
    fn nothing_is_noted_before_the_measurement_begins() {
        let record = Record::new();
        record.took(Kind::Get, Resource::Pods, Instant::now());
        record.failed(&Status::unavailable("gone"));
        assert!(record.latencies.take().is_empty());
        assert!(record.errors.take().is_empty());
    }
}
