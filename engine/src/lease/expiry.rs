//! In which order leases have to be looked at. Used by the table.
//!
//! One entry for each lease, at its deadline or earlier: a renewal does not touch the entry, it
//! only moves the deadline; whoever finds an entry too early puts it where it belongs. So a
//! renewal costs nothing here, and a lease that is renewed all its life costs one move for each
//! time to live.

use std::collections::BTreeSet;

use crate::ids::LeaseId;

/// Leases a second that may be offered for revocation; etcd's rate.
pub(super) const REVOKES_PER_S: usize = 1000;
/// Length of the windows in which revocations are counted; etcd's interval.
const WINDOW_NS: u64 = 500_000_000;
/// Most leases offered in one window.
const WINDOW_REVOKES: usize = REVOKES_PER_S / 2;
/// After this time a lease that was offered and is still there is offered again; as etcd.
pub(super) const RETRY_NS: u64 = 3_000_000_000;

/// Leases by the time at which to look at them.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    entries: BTreeSet<(u64, LeaseId)>,
    /// Begin of the present window.
    window_ns: u64,
    /// Leases offered in it.
    offered: usize,
}

impl Expiry {
    /// Enters a lease at `at_ns`.
    pub(super) fn add(&mut self, at_ns: u64, lease: LeaseId) {
        self.entries.insert((at_ns, lease));
    }

    /// Removes a lease that was entered at `at_ns`.
    pub(super) fn remove(&mut self, at_ns: u64, lease: LeaseId) {
        self.entries.remove(&(at_ns, lease));
    }

    /// The first entry.
    pub(super) fn first(&self) -> Option<(u64, LeaseId)> {
        self.entries.first().copied()
    }

    /// Replaces all entries.
    pub(super) fn refill(&mut self, entries: impl Iterator<Item = (u64, LeaseId)>) {
        self.entries = entries.collect();
    }

    /// How many leases may be offered now.
    pub(super) fn allowance(&mut self, now_ns: u64) -> usize {
        if now_ns >= self.window_ns + WINDOW_NS {
            self.window_ns = now_ns;
            self.offered = 0;
        }
        WINDOW_REVOKES - self.offered
    }

    /// Notes that a lease was offered.
    pub(super) fn note_offer(&mut self) {
        self.offered += 1;
    }

    /// When leases may be offered again, if the window is used up.
    pub(super) fn pause_ends_ns(&self) -> Option<u64> {
        (self.offered >= WINDOW_REVOKES).then_some(self.window_ns + WINDOW_NS)
    }
}
