//! What one core counts of its work. The shards and the core add, the server reads now and then
//! and shows it on its metrics page. Plain cells: nothing here is shared between cores.

use std::cell::{Cell, RefCell};

use crate::format::effects::Change;

/// Durations kept between two readings; later ones are left out of the histogram.
const SEALS_MAX: usize = 1024;

/// Counts since the start of the node.
#[derive(Debug, Default)]
pub struct Counts {
    /// Keys put.
    pub puts: Cell<u64>,
    /// Keys deleted.
    pub deletes: Cell<u64>,
    /// Bytes of keys and values put.
    pub put_bytes: Cell<u64>,
    /// Ranges read for this core's clients.
    pub ranges: Cell<u64>,
    /// Transactions run for this core's clients.
    pub txns: Cell<u64>,
    /// Events sent to this core's watchers.
    pub events: Cell<u64>,
    /// Versions forgotten by compactions.
    pub compacted: Cell<u64>,
    /// Leases granted, renewed, revoked (expired ones included) and expired; on core 0.
    pub leases_granted: Cell<u64>,
    /// See [`Counts::leases_granted`].
    pub leases_renewed: Cell<u64>,
    /// See [`Counts::leases_granted`].
    pub leases_revoked: Cell<u64>,
    /// See [`Counts::leases_granted`].
    pub leases_expired: Cell<u64>,
    /// Raft entries proposed.
    pub batches: Cell<u64>,
    /// Records in them.
    pub batched: Cell<u64>,
    /// Raft entries that ended other than committed.
    pub failed: Cell<u64>,
    /// Messages sent to cores.
    pub mail: Cell<u64>,
    /// Checkpoints made; on core 0.
    pub checkpoints: Cell<u64>,
    seals: RefCell<Vec<u64>>,
}

impl Counts {
    /// Adds the changes of a transaction, or of a part of one.
    pub(super) fn changes(&self, changes: &[Change]) {
        for change in changes {
            match &change.put {
                Some(put) => {
                    add(&self.puts, 1);
                    add(&self.put_bytes, (change.key.len() + put.value.len()) as u64);
                }
                None => add(&self.deletes, 1),
            }
        }
    }

    /// Notes how long it took to seal staged versions into durable pages, nanoseconds.
    pub(super) fn sealed(&self, ns: u64) {
        let mut seals = self.seals.borrow_mut();
        if seals.len() < SEALS_MAX {
            seals.push(ns);
        }
    }

    /// Takes the durations of the seals since the last call, nanoseconds.
    pub fn take_seals(&self) -> Vec<u64> {
        std::mem::take(&mut *self.seals.borrow_mut())
    }
}

/// Adds to a count.
pub(super) fn add(count: &Cell<u64>, by: u64) {
    count.set(count.get().wrapping_add(by));
}
