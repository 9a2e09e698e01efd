//! The granted leases of the cluster and, on the principal, when they end. Grants and revokes are
//! applied on every node from committed changes; deadlines exist only between
//! [`Table::promote`] and [`Table::demote`], because only the principal's clock counts.

use std::collections::BTreeMap;

use crate::env::Entropy;
use crate::error::Error;
use crate::ids::LeaseId;
use crate::lease::expiry::{Expiry, RETRY_NS, REVOKES_PER_S};
use crate::limits::LEASE_TTL_MAX_S;

pub(super) const SECOND_NS: u64 = 1_000_000_000;
/// Most leases that end in one second because of a promotion: three quarters of the rate at
/// which they can be revoked, so that others have room (as etcd).
const PROMOTED_PER_S: usize = REVOKES_PER_S * 3 / 4;

/// Most entries looked at in one call of [`Table::expired`].
const EXPIRY_STEPS_MAX: usize = 8192;

/// Granted leases.
#[derive(Debug)]
pub struct Table {
    pub(super) leases: BTreeMap<LeaseId, Lease>,
    expiry: Expiry,
    principal: bool,
    ttl_min_s: i64,
}

/// One lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    /// Seconds granted.
    pub(super) ttl_s: i64,
    /// When it ends; meaningful only on the principal.
    deadline_ns: u64,
    /// Where its entry in `expiry` stands; meaningful only on the principal.
    entry_ns: u64,
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease has its full time to live again, in seconds.
    Renewed(i64),
    /// There is no such lease: the answer is a time to live of 0.
    NotFound,
    /// It has ended and its revoke is under way: wait until that is applied and ask again, as
    /// etcd does.
    Expired,
    /// Only the principal renews: pass it on.
    NotPrincipal,
}

/// A lease's times, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// What was granted.
    pub granted_s: i64,
    /// What is left, whole seconds, 0 once it has ended. `None` where this node does not know,
    /// because it is not the principal.
    pub left_s: Option<i64>,
}

impl Table {
    /// An empty table of a node that is not principal. Grants below `ttl_min_s` (etcd: one and a
    /// half election timeouts, rounded up) are raised to it.
    pub fn new(ttl_min_s: i64) -> Self {
        let ttl_min_s = ttl_min_s.max(1);
        Self {
            leases: BTreeMap::new(),
            expiry: Expiry::default(),
            principal: false,
            ttl_min_s,
        }
    }

    /// The number of leases.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there are no leases.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Whether the lease is granted.
    pub fn contains(&self, id: LeaseId) -> bool {
        self.leases.contains_key(&id)
    }

    /// An id for a grant that names none: positive and not in use.
    pub fn pick_id(&self, entropy: &(impl Entropy + ?Sized)) -> LeaseId {
        loop {
            let id = LeaseId((entropy.next_u64() >> 1) as i64);
            if id != LeaseId(0) && !self.contains(id) {
                return id;
            }
        }
    }

    /// The seconds that a grant of `ttl_s` would get.
    ///
    /// # Errors
    /// [`Error::LeaseTtlTooLarge`], [`Error::LeaseExists`], and [`Error::LeaseNotFound`] for id 0,
    /// as in etcd.
    pub fn check_grant(&self, id: LeaseId, ttl_s: i64) -> Result<i64, Error> {
        if id == LeaseId(0) {
            return Err(Error::LeaseNotFound);
        }
        if ttl_s > LEASE_TTL_MAX_S {
            return Err(Error::LeaseTtlTooLarge);
        }
        if self.contains(id) {
            return Err(Error::LeaseExists);
        }
        Ok(ttl_s.max(self.ttl_min_s))
    }

    /// Enters a committed grant; on the principal its time runs from `now_ns`. Returns the
    /// seconds granted.
    ///
    /// # Errors
    /// As [`Table::check_grant`], with nothing changed.
    pub fn grant(&mut self, id: LeaseId, ttl_s: i64, now_ns: u64) -> Result<i64, Error> {
        let ttl_s = self.check_grant(id, ttl_s)?;
        let deadline_ns = after(now_ns, ttl_s);
        self.leases.insert(
            id,
            Lease {
                ttl_s,
                deadline_ns,
                entry_ns: deadline_ns,
            },
        );
        if self.principal {
            self.expiry.add(deadline_ns, id);
        }
        Ok(ttl_s)
    }

    /// Removes a lease by a committed revoke.
    ///
    /// # Errors
    /// [`Error::LeaseNotFound`].
    pub fn revoke(&mut self, id: LeaseId) -> Result<(), Error> {
        let lease = self.leases.remove(&id).ok_or(Error::LeaseNotFound)?;
        if self.principal {
            self.expiry.remove(lease.entry_ns, id);
        }
        Ok(())
    }

    /// Gives a lease its full time to live from `now_ns`. The caller has proved its leadership.
    pub fn renew(&mut self, id: LeaseId, now_ns: u64) -> Renewal {
        if !self.principal {
            return Renewal::NotPrincipal;
        }
        let Some(lease) = self.leases.get_mut(&id) else {
            return Renewal::NotFound;
        };
        if lease.deadline_ns <= now_ns {
            return Renewal::Expired;
        }
        let Lease {
            ttl_s, entry_ns, ..
        } = *lease;
        let deadline_ns = after(now_ns, ttl_s);
        lease.deadline_ns = deadline_ns;
        // A promotion may have given it more than its time to live.
        if deadline_ns < entry_ns {
            self.move_entry(id, entry_ns, deadline_ns);
        }
        Renewal::Renewed(ttl_s)
    }

    /// The times of a lease; `None` if there is no such lease.
    pub fn remaining(&self, id: LeaseId, now_ns: u64) -> Option<Remaining> {
        let lease = self.leases.get(&id)?;
        let left_ns = lease.deadline_ns.saturating_sub(now_ns);
        let left_s = self.principal.then_some((left_ns / SECOND_NS) as i64);
        Some(Remaining {
            granted_s: lease.ttl_s,
            left_s,
        })
    }

    /// All leases, those that end first first; by id where this node does not know.
    pub fn list(&self) -> Vec<LeaseId> {
        let mut ids: Vec<LeaseId> = self.leases.keys().copied().collect();
        if self.principal {
            ids.sort_by_key(|id| (self.leases[id].deadline_ns, *id));
        }
        ids
    }

    /// This node has become principal: every lease gets its full time to live from `now_ns`, and
    /// `extend_ns` more (etcd: an election timeout). Where more than 750 would end within one
    /// second, the later ones get more, so that they do not all have to be revoked at once.
    pub fn promote(&mut self, now_ns: u64, extend_ns: u64) {
        self.principal = true;
        let start_ns = now_ns.saturating_add(extend_ns);
        let mut order: Vec<(u64, LeaseId)> = self
            .leases
            .iter()
            .map(|(id, lease)| (after(start_ns, lease.ttl_s), *id))
            .collect();
        order.sort_unstable();
        for at in PROMOTED_PER_S..order.len() {
            let room_ns = order[at - PROMOTED_PER_S].0.saturating_add(SECOND_NS);
            order[at].0 = order[at].0.max(room_ns);
        }
        for (deadline_ns, id) in &order {
            if let Some(lease) = self.leases.get_mut(id) {
                lease.deadline_ns = *deadline_ns;
                lease.entry_ns = *deadline_ns;
            }
        }
        self.expiry = Expiry::default();
        self.expiry.refill(order.into_iter());
    }

    /// This node is principal no longer: nothing ends here any more.
    pub fn demote(&mut self) {
        self.principal = false;
        self.expiry = Expiry::default();
    }

    /// The leases to revoke now, those that ended first first: at most `limit`, at most 500 in
    /// half a second (etcd's rate). Those that are still granted three seconds later are
    /// offered again. A call does bounded work; [`Table::next_deadline`] tells whether there is
    /// more to do at once.
    pub fn expired(&mut self, now_ns: u64, limit: usize) -> Vec<LeaseId> {
        let limit = limit.min(self.expiry.allowance(now_ns));
        let mut expired = Vec::new();
        let mut steps = 0;
        while expired.len() < limit
            && steps < EXPIRY_STEPS_MAX
            && let Some((entry_ns, id)) = self.expiry.first()
            && entry_ns <= now_ns
            && let Some(lease) = self.leases.get(&id)
        {
            steps += 1;
            if lease.deadline_ns > entry_ns {
                self.move_entry(id, entry_ns, lease.deadline_ns);
                continue;
            }
            self.move_entry(id, entry_ns, now_ns + RETRY_NS);
            self.expiry.note_offer();
            expired.push(id);
        }
        expired
    }

    /// When to call [`Table::expired`] next: no lease ends before, though renewals may have put
    /// off what would have ended then. `None` while nothing can end.
    pub fn next_deadline(&self) -> Option<u64> {
        let (entry_ns, _) = self.expiry.first()?;
        Some(entry_ns.max(self.expiry.pause_ends_ns().unwrap_or(0)))
    }

    fn move_entry(&mut self, id: LeaseId, from_ns: u64, to_ns: u64) {
        self.expiry.remove(from_ns, id);
        self.expiry.add(to_ns, id);
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.entry_ns = to_ns;
        }
    }

    /// A table that is not principal, with these grants.
    pub(super) fn with_grants(
        ttl_min_s: i64,
        grants: impl Iterator<Item = (LeaseId, i64)>,
    ) -> Self {
        let mut table = Self::new(ttl_min_s);
        let lease = |ttl_s| Lease {
            ttl_s,
            deadline_ns: 0,
            entry_ns: 0,
        };
        table.leases = grants.map(|(id, ttl_s)| (id, lease(ttl_s))).collect();
        table
    }
}

/// `ttl_s` seconds after `from_ns`, or the end of time.
fn after(from_ns: u64, ttl_s: i64) -> u64 {
    from_ns.saturating_add((ttl_s.max(0) as u64).saturating_mul(SECOND_NS))
}
