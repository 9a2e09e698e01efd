//! The one revision order of a node, shared by its cores: the only place that gives out
//! revisions, and the settled revision. A few padded atomics and a ring; no locks.
//!
//! Rule 7 of the design while one principal sequences: revision r + 1 is settled when all its
//! parts are committed and r is settled. Each revision given out has a slot in the ring that
//! counts its parts down; whoever commits a part moves the settled revision on as far as it goes.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering::SeqCst};

use pad::Padded;

use crate::ids::CoreId;
use crate::limits::UNSETTLED_MAX;

const PART_BITS: u32 = 20;

/// Most parts of one transaction over all groups.
pub const PARTS_MAX: u32 = (1 << PART_BITS) - 1;

/// No revision: a core that waits for nothing.
const NOTHING: i64 = i64::MAX;

/// How much of events a core wants from all shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interest {
    /// It has no watchers.
    None,
    /// Events without former states.
    Events,
    /// Events with former states.
    Previous,
}

/// The shared order. One for each node, in an `Arc`.
#[derive(Debug)]
pub struct Order {
    next: Padded<AtomicI64>,
    settled: Padded<AtomicI64>,
    compacted: Padded<AtomicI64>,
    open: Padded<AtomicBool>,
    no_space: Padded<AtomicBool>,
    corrupt: Padded<AtomicBool>,
    behind: Padded<AtomicU64>,
    term: Padded<AtomicU64>,
    log_bytes: Box<[Padded<AtomicI64>]>,
    used_bytes: Box<[Padded<AtomicI64>]>,
    live_bytes: Box<[Padded<AtomicI64>]>,
    waiting: Box<[Padded<AtomicI64>]>,
    interest: Box<[Padded<AtomicU8>]>,
    /// Letters with events, by sender and then by receiver.
    letters: Box<[Padded<AtomicU64>]>,
    cores: usize,
    slots: Box<[AtomicU64]>,
}

impl Order {
    /// The order of a node with `cores` cores, closed until [`Order::begin`].
    pub fn new(cores: u16) -> Self {
        let each = |value: i64| (0..cores).map(|_| Padded(AtomicI64::new(value))).collect();
        Self {
            next: Padded(AtomicI64::new(2)),
            settled: Padded(AtomicI64::new(1)),
            compacted: Padded(AtomicI64::new(-1)),
            open: Padded(AtomicBool::new(false)),
            no_space: Padded(AtomicBool::new(false)),
            corrupt: Padded(AtomicBool::new(false)),
            behind: Padded(AtomicU64::new(0)),
            term: Padded(AtomicU64::new(0)),
            log_bytes: each(0),
            used_bytes: each(0),
            live_bytes: each(0),
            waiting: each(NOTHING),
            interest: (0..cores).map(|_| Padded(AtomicU8::new(0))).collect(),
            letters: (0..usize::from(cores).pow(2))
                .map(|_| Padded(AtomicU64::new(0)))
                .collect(),
            cores: usize::from(cores),
            slots: (0..UNSETTLED_MAX).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Begins a principalship after the settled revision that recovery or fail-over found.
    pub fn begin(&self, settled: i64) {
        assert!(settled >= 1, "the store begins at revision 1");
        self.settled.0.store(settled, SeqCst);
        self.next.0.store(settled + 1, SeqCst);
        self.open.0.store(true, SeqCst);
    }

    /// Ends it: no revision is given out any more.
    pub fn end(&self) {
        self.open.0.store(false, SeqCst);
    }

    /// Term of group 0.
    pub fn term(&self) -> u64 {
        self.term.0.load(SeqCst)
    }

    /// Sets it.
    pub fn set_term(&self, term: u64) {
        self.term.0.store(term, SeqCst);
    }

    /// Says how much `core` logged since the last checkpoint, bytes.
    pub fn set_log_bytes(&self, core: CoreId, bytes: i64) {
        self.log_bytes[core.0 as usize].0.store(bytes, SeqCst);
    }

    /// What all cores logged since the last checkpoint, bytes.
    pub fn log_bytes(&self) -> i64 {
        self.log_bytes
            .iter()
            .map(|bytes| bytes.0.load(SeqCst))
            .sum()
    }

    /// Whether a principalship runs here.
    pub fn is_open(&self) -> bool {
        self.open.0.load(SeqCst)
    }

    /// Whether a revision can be taken now; too many unsettled ones wait otherwise.
    pub fn has_room(&self) -> bool {
        let ahead = self.next.0.load(SeqCst) - self.settled.0.load(SeqCst);
        // Every core may take one between its check and its `take`.
        (ahead as u64) + 2 * (self.waiting.len() as u64) < UNSETTLED_MAX
    }

    /// Gives out the next revision, for a transaction of `parts` parts. The caller has asked
    /// [`Order::has_room`] without waiting in between.
    pub fn take(&self, parts: u32) -> i64 {
        assert!(
            (1..=PARTS_MAX).contains(&parts),
            "a transaction has 1..={PARTS_MAX} parts"
        );
        let revision = self.next.0.fetch_add(1, SeqCst);
        self.slot(revision)
            .store(tag(revision) | u64::from(parts), SeqCst);
        revision
    }

    /// The last revision given out: what the heads of all shards together stand at.
    pub fn last(&self) -> i64 {
        self.next.0.load(SeqCst) - 1
    }

    /// The settled revision.
    pub fn settled(&self) -> i64 {
        self.settled.0.load(SeqCst)
    }

    /// One part of `revision` is committed. Returns whether the settled revision moved.
    pub fn part_committed(&self, revision: i64) -> bool {
        let before = self.slot(revision).fetch_sub(1, SeqCst);
        assert_eq!(
            before >> PART_BITS,
            revision as u64,
            "a part commits once, in its slot"
        );
        assert!(
            before & u64::from(PARTS_MAX) > 0,
            "no more parts commit than there are"
        );
        before & u64::from(PARTS_MAX) == 1 && self.advance()
    }

    /// Two cores may complete neighbouring revisions at once. Each first counts its own slot down
    /// and then looks, in one total order (SeqCst), so the later of the two sees both.
    fn advance(&self) -> bool {
        let mut moved = false;
        loop {
            let settled = self.settled.0.load(SeqCst);
            if self.slot(settled + 1).load(SeqCst) != tag(settled + 1) {
                return moved;
            }
            let step = self
                .settled
                .0
                .compare_exchange(settled, settled + 1, SeqCst, SeqCst);
            moved |= step.is_ok();
        }
    }

    fn slot(&self, revision: i64) -> &AtomicU64 {
        &self.slots[(revision as u64 & (UNSETTLED_MAX - 1)) as usize]
    }

    /// `core` waits for `revision` to settle; it must look at [`Order::settled`] once more after.
    pub fn wait_for(&self, core: CoreId, revision: Option<i64>) {
        self.waiting[core.0 as usize]
            .0
            .store(revision.unwrap_or(NOTHING), SeqCst);
    }

    /// Whether `core` waits for something that has settled; if so it counts as told.
    pub fn tell(&self, core: CoreId) -> bool {
        let waiting = &self.waiting[core.0 as usize].0;
        let revision = waiting.load(SeqCst);
        revision <= self.settled()
            && waiting
                .compare_exchange(revision, NOTHING, SeqCst, SeqCst)
                .is_ok()
    }

    /// What `core` wants of events.
    pub fn interest(&self, core: CoreId) -> Interest {
        match self.interest[core.0 as usize].0.load(SeqCst) {
            0 => Interest::None,
            1 => Interest::Events,
            _ => Interest::Previous,
        }
    }

    /// The highest interest of any core.
    pub fn interest_of_any(&self) -> Interest {
        let cores = 0..self.interest.len() as u16;
        cores
            .map(|core| self.interest(CoreId(core)))
            .max()
            .unwrap_or(Interest::None)
    }

    /// Sets what `core` wants of events.
    pub fn set_interest(&self, core: CoreId, interest: Interest) {
        let number = interest as u8;
        self.interest[core.0 as usize].0.store(number, SeqCst);
    }

    /// `from` sends a letter with events to `to`. To be called before the revisions of the events
    /// can settle.
    pub fn letter(&self, from: CoreId, to: CoreId) {
        let at = from.0 as usize * self.cores + to.0 as usize;
        self.letters[at].0.fetch_add(1, SeqCst);
    }

    /// How many letters with events each core has sent to `to`, by sender. Read after the settled
    /// revision, it counts every letter with events up to that revision.
    pub fn letters_to(&self, to: CoreId) -> impl Iterator<Item = u64> {
        let column = self.letters.iter().skip(to.0 as usize);
        column.step_by(self.cores).map(|count| count.0.load(SeqCst))
    }

    /// The compaction revision, -1 before the first.
    pub fn compacted(&self) -> i64 {
        self.compacted.0.load(SeqCst)
    }

    /// Raises the compaction revision.
    pub fn set_compacted(&self, revision: i64) {
        self.compacted.0.fetch_max(revision, SeqCst);
    }

    /// Whether the NOSPACE alarm is up.
    pub fn no_space(&self) -> bool {
        self.no_space.0.load(SeqCst)
    }

    /// Raises or clears it.
    pub fn set_no_space(&self, on: bool) {
        self.no_space.0.store(on, SeqCst);
    }

    /// Whether any shard is so far behind with its pages that changes have to wait.
    pub fn is_behind(&self) -> bool {
        self.behind.0.load(SeqCst) > 0
    }

    /// A shard fell behind, or is no longer.
    pub fn note_behind(&self, on: bool) {
        match on {
            true => self.behind.0.fetch_add(1, SeqCst),
            false => self.behind.0.fetch_sub(1, SeqCst),
        };
    }

    /// Whether the CORRUPT alarm is up.
    pub fn corrupt(&self) -> bool {
        self.corrupt.0.load(SeqCst)
    }

    /// Raises or clears it.
    pub fn set_corrupt(&self, on: bool) {
        self.corrupt.0.store(on, SeqCst);
    }

    /// Says what the shards of `core` take on disk or will take, and how much of it lives. Bytes.
    pub fn set_bytes(&self, core: CoreId, used: i64, live: i64) {
        self.used_bytes[core.0 as usize].0.store(used, SeqCst);
        self.live_bytes[core.0 as usize].0.store(live, SeqCst);
    }

    /// (used, live) bytes of the node's data.
    pub fn bytes(&self) -> (i64, i64) {
        let sum = |all: &[Padded<AtomicI64>]| all.iter().map(|b| b.0.load(SeqCst)).sum();
        (sum(&self.used_bytes), sum(&self.live_bytes))
    }
}

fn tag(revision: i64) -> u64 {
    (revision as u64) << PART_BITS
}

/// Keeps neighbours out of one cache line.
mod pad {
    /// A value alone in its cache lines.
    #[derive(Debug)]
    #[repr(align(128))]
    pub struct Padded<T>(pub T);
}

#[cfg(test)]
mod tests;
