//! Which watchers lie behind, in which order they are helped, and which reads of history are
//! under way. Used by the hub.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

/// Where a watcher stands between history and the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Gets each revision as it is delivered.
    Live,
    /// Behind, in the queue for help.
    Waiting {
        /// Its number in the queue.
        ticket: u64,
    },
    /// Behind, and its history is being read.
    Reading {
        /// The read.
        job: u64,
    },
    /// Behind until its stream's queue has shrunk.
    Blocked,
}

/// What identifies a watcher in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) watcher: u32,
    /// The slot of its range.
    pub(super) slot: u32,
    /// The first revision it has not got.
    pub(super) next: i64,
}

/// The watchers that are not live.
#[derive(Debug, Default)]
pub(super) struct BehindQueue {
    /// All of them by what they need next, for compaction.
    by_next: BTreeSet<(i64, u32)>,
    /// Those that wait, first come first served.
    waiting: BTreeMap<u64, u32>,
    /// Those that wait, by range and what they need next, so that one read serves all.
    alike: BTreeSet<(u32, i64, u32)>,
    last_ticket: u64,
    /// Reads under way with the watchers they are for; some may have gone since.
    jobs: BTreeMap<u64, Members>,
    last_job: u64,
}

/// Watchers that one read serves.
pub(super) type Members = SmallVec<[u32; 2]>;

impl BehindQueue {
    /// The number of watchers behind.
    pub(super) fn len(&self) -> usize {
        self.by_next.len()
    }

    /// A new number at the end of the queue.
    pub(super) fn ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// Notes a watcher that is in `state`.
    pub(super) fn enter(&mut self, seat: Seat, state: State) {
        if state == State::Live {
            return;
        }
        self.by_next.insert((seat.next, seat.watcher));
        if let State::Waiting { ticket } = state {
            self.waiting.insert(ticket, seat.watcher);
            self.alike.insert((seat.slot, seat.next, seat.watcher));
        }
    }

    /// Forgets a watcher that was in `state`.
    pub(super) fn leave(&mut self, seat: Seat, state: State) {
        if state == State::Live {
            return;
        }
        self.by_next.remove(&(seat.next, seat.watcher));
        if let State::Waiting { ticket } = state {
            self.waiting.remove(&ticket);
            self.alike.remove(&(seat.slot, seat.next, seat.watcher));
        }
    }

    /// The watcher that has waited longest.
    pub(super) fn first(&self) -> Option<u32> {
        self.waiting.first_key_value().map(|(_, &watcher)| watcher)
    }

    /// The watchers that wait for the same range from the same revision, `seat` among them.
    pub(super) fn alike(&self, seat: Seat) -> Members {
        let (slot, next) = (seat.slot, seat.next);
        self.alike
            .range((slot, next, 0)..=(slot, next, u32::MAX))
            .map(|at| at.2)
            .collect()
    }

    /// A watcher that needs a revision below `revision`.
    pub(super) fn any_below(&self, revision: i64) -> Option<u32> {
        self.by_next
            .first()
            .filter(|(next, _)| *next < revision)
            .map(|&(_, watcher)| watcher)
    }

    /// Begins a read for `members`.
    pub(super) fn begin_job(&mut self, members: Members) -> u64 {
        self.last_job += 1;
        self.jobs.insert(self.last_job, members);
        self.last_job
    }

    /// Ends a read: the watchers it was for, some of which may have gone.
    pub(super) fn end_job(&mut self, job: u64) -> Option<Members> {
        self.jobs.remove(&job)
    }

    /// Ends all reads: their watchers.
    pub(super) fn end_all_jobs(&mut self) -> Vec<(u64, Members)> {
        std::mem::take(&mut self.jobs).into_iter().collect()
    }
}
