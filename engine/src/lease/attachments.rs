//! Which key hangs on which lease, for the keys of one shard. Called by the shard when a put
//! names a lease, when a key is deleted, and when a lease is revoked.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::ids::LeaseId;

/// Keys with their leases; a key has at most one.
#[derive(Clone, Debug, Default)]
pub struct Attachments {
    lease_of: BTreeMap<Bytes, LeaseId>,
    keys_of: BTreeSet<(LeaseId, Bytes)>,
}

impl Attachments {
    /// Attaches a key to a lease, and detaches it from its former one. Costs O(log n).
    pub fn attach(&mut self, key: Bytes, lease: LeaseId) {
        debug_assert_ne!(lease, LeaseId(0), "no lease is 0");
        if let Some(former) = self.lease_of.insert(key.clone(), lease) {
            if former == lease {
                return;
            }
            self.keys_of.remove(&(former, key.clone()));
        }
        self.keys_of.insert((lease, key));
    }

    /// Detaches a key. Returns the lease it hung on. Costs O(log n).
    pub fn detach(&mut self, key: &[u8]) -> Option<LeaseId> {
        let (key, lease) = self.lease_of.remove_entry(key)?;
        self.keys_of.remove(&(lease, key));
        Some(lease)
    }

    /// The lease of a key.
    pub fn lease(&self, key: &[u8]) -> Option<LeaseId> {
        self.lease_of.get(key).copied()
    }

    /// The keys of a lease in ascending order, in which a revoke deletes them.
    pub fn keys(&self, lease: LeaseId) -> impl Iterator<Item = &Bytes> {
        let begin = (lease, Bytes::new());
        self.keys_of
            .range(begin..)
            .take_while(move |(of, _)| *of == lease)
            .map(|(_, key)| key)
    }

    /// The number of keys with a lease.
    pub fn len(&self) -> usize {
        self.lease_of.len()
    }

    /// Whether no key has a lease.
    pub fn is_empty(&self) -> bool {
        self.lease_of.is_empty()
    }
}
