//! What a run has seen: latencies, errors, the course over time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::schedule::Schedule;
use super::steps::{Step, Steps};
use crate::client::Status;
use crate::measured::{self, Errors, histogram, note};

/// Pieces that a run is cut into for its course over time.
const PIECES: u32 = 300;

/// The shortest piece.
const PIECE_LEAST: Duration = Duration::from_millis(100);

/// A stretch without any answer that is worth a mark.
const STALL_LEAST: Duration = Duration::from_millis(100);

/// One piece of the course.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Piece {
    /// Operations that ended in it.
    pub operations: u64,
    /// Their 99th percentile, nanoseconds.
    pub p99_ns: u64,
    /// The slowest, nanoseconds.
    pub max_ns: u64,
}

/// A stretch in which nothing was answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// From the start of the measured time.
    pub at: Duration,
    /// How long.
    pub took: Duration,
}

/// The measured time of a run.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: Instant,
    to: Instant,
}

/// A record in the making. What was due within the measured time counts, whenever it ended.
pub struct Record {
    window: Cell<Option<Window>>,
    piece_length: Cell<Duration>,
    /// Latencies by the name of the operation, nanoseconds.
    pub latencies: RefCell<BTreeMap<&'static str, Histogram<u64>>>,
    /// Failed operations by the name of their code: how many, and the last message.
    pub errors: RefCell<Errors>,
    /// The course; the last piece is still going on.
    pieces: RefCell<Vec<Piece>>,
    piece: RefCell<Histogram<u64>>,
    last_end: Cell<Option<Instant>>,
    /// Stretches without an answer.
    pub stalls: RefCell<Vec<Stall>>,
    /// Answers may be this far apart without being a stall.
    apart: Cell<Duration>,
    /// From when an operation of an open loop was due to when it was sent, nanoseconds; not of
    /// those that had to wait for answers to others.
    pub lateness: RefCell<Histogram<u64>>,
    steps: RefCell<Steps>,
}

impl Default for Record {
    fn default() -> Record {
        Record::new()
    }
}

impl Record {
    /// An empty one; nothing counts before [`Record::begin`].
    pub fn new() -> Record {
        Record {
            window: Cell::new(None),
            piece_length: Cell::new(PIECE_LEAST),
            latencies: RefCell::default(),
            errors: RefCell::default(),
            pieces: RefCell::default(),
            piece: RefCell::new(histogram()),
            last_end: Cell::new(None),
            stalls: RefCell::default(),
            apart: Cell::new(STALL_LEAST),
            lateness: RefCell::new(histogram()),
            steps: RefCell::default(),
        }
    }

    /// Counts from `from` on, for `length`, what is due by the schedule.
    pub fn begin(&self, from: Instant, length: Duration, schedule: &Schedule) {
        let every = schedule.least().map_or(0.0, |rate| 1.0 / rate);
        let every = Duration::from_secs_f64(every);
        *self.steps.borrow_mut() = Steps::new(schedule, length);
        self.window.set(Some(Window {
            from,
            to: from + length,
        }));
        self.piece_length.set((length / PIECES).max(PIECE_LEAST));
        self.apart.set(STALL_LEAST.max(every * 10));
        self.last_end.set(Some(from));
    }

    /// The run ends early: nothing that is due from now on counts.
    pub fn end(&self, at: Instant) {
        if let Some(window) = self.window.get() {
            let to = window.to.min(at);
            self.window.set(Some(Window { to, ..window }));
        }
    }

    /// How long was measured.
    pub fn measured(&self) -> Duration {
        self.window
            .get()
            .map_or(Duration::ZERO, |w| w.to.saturating_duration_since(w.from))
    }

    fn counts(&self, due: Instant) -> Option<Window> {
        self.window.get().filter(|w| w.from <= due && due < w.to)
    }

    /// An operation that was due then is sent.
    pub fn sent(&self, due: Instant) {
        if self.counts(due).is_some() {
            note(&mut self.lateness.borrow_mut(), due.elapsed());
        }
    }

    /// An operation that was due at `due` ended well.
    pub fn took(&self, name: &'static str, due: Instant) {
        self.took_since(name, due, due);
    }

    /// As [`Record::took`], with a latency that counts from another time.
    pub fn took_since(&self, name: &'static str, due: Instant, since: Instant) {
        let Some(window) = self.counts(due) else {
            return;
        };
        let now = Instant::now();
        let latency = now.saturating_duration_since(since);
        let mut all = self.latencies.borrow_mut();
        note(all.entry(name).or_insert_with(histogram), latency);
        let end = now.saturating_duration_since(window.from);
        let mut steps = self.steps.borrow_mut();
        steps.took(due - window.from, end, latency);
        self.course(window, now, latency);
    }

    fn course(&self, window: Window, now: Instant, latency: Duration) {
        let since = now.saturating_duration_since(window.from);
        let place = (since.as_nanos() / self.piece_length.get().as_nanos()) as usize;
        if now < window.to {
            let mut pieces = self.pieces.borrow_mut();
            if place >= pieces.len() {
                self.close_piece(&mut pieces);
                pieces.resize(place + 1, Piece::default());
            }
            note(&mut self.piece.borrow_mut(), latency);
        }
        let last = self.last_end.replace(Some(now)).unwrap_or(now);
        self.stall(window, last, now);
    }

    fn close_piece(&self, pieces: &mut [Piece]) {
        let mut piece = self.piece.borrow_mut();
        if let Some(last) = pieces.last_mut() {
            *last = Piece {
                operations: piece.len(),
                p99_ns: piece.value_at_quantile(0.99),
                max_ns: piece.max(),
            };
        }
        piece.reset();
    }

    /// An operation that was due at `due` failed.
    pub fn failed(&self, status: &Status, due: Instant) {
        if let Some(window) = self.counts(due) {
            measured::failed(&mut self.errors.borrow_mut(), status);
            self.steps.borrow_mut().failed(due - window.from);
        }
    }

    /// Nothing more comes: a stretch without an answer that lasts to the end is a stall, too.
    pub fn close(&self) {
        if let (Some(window), Some(last)) = (self.window.get(), self.last_end.get()) {
            self.stall(window, last, window.to);
        }
    }

    fn stall(&self, window: Window, last: Instant, next: Instant) {
        let took = next.saturating_duration_since(last);
        if took > self.apart.get() {
            let at = last.saturating_duration_since(window.from);
            self.stalls.borrow_mut().push(Stall { at, took });
        }
    }

    /// Where the rate changes, the steps that were begun.
    pub fn steps(&self) -> Vec<Step> {
        self.steps.borrow().begun(self.measured())
    }

    /// The course: the length of a piece, and the pieces.
    pub fn pieces(&self) -> (Duration, Vec<Piece>) {
        let mut pieces = self.pieces.borrow_mut();
        if !self.piece.borrow().is_empty() {
            self.close_piece(&mut pieces);
        }
        (self.piece_length.get(), pieces.clone())
    }

    /// All latencies together.
    pub fn all(&self) -> Histogram<u64> {
        measured::sum(self.latencies.borrow().values())
    }

    /// All failed operations.
    pub fn errors_total(&self) -> u64 {
        measured::errors_total(&self.errors.borrow())
    }
}

#[cfg(test)]
mod tests;
