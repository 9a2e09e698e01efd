//! What core 0 keeps for the whole node: leases, alarms, and which compactions were decided. The
//! state alone; the core drives it. Changes come here only once they are committed.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::format::effects::Meta;
use crate::ids::LeaseId;
use crate::lease::Table;

/// etcd's number of the NOSPACE alarm.
pub const ALARM_NO_SPACE: u8 = 1;
/// etcd's number of the CORRUPT alarm.
pub const ALARM_CORRUPT: u8 = 2;

/// Stands for this member where an alarm is raised by the node itself.
pub const THIS_MEMBER: u64 = u64::MAX;

/// The state. One for each node, on core 0.
pub struct Keeper {
    /// Leases.
    pub leases: Table,
    /// Alarms that are up: member and kind.
    pub alarms: BTreeSet<(u64, u8)>,
    /// The last compaction that was decided, -1 for none.
    pub compacted: i64,
    /// Grants on their way, so that no id is granted twice.
    pub granting: BTreeSet<i64>,
}

impl Keeper {
    /// Nothing yet. Grants below `ttl_min_s` are raised to it.
    pub fn new(ttl_min_s: i64) -> Self {
        Self {
            leases: Table::new(ttl_min_s),
            alarms: BTreeSet::new(),
            compacted: -1,
            granting: BTreeSet::new(),
        }
    }

    /// Takes in a committed change. Replaying one twice is harmless.
    pub fn commit(&mut self, meta: Meta, now_ns: u64) {
        match meta {
            Meta::Grant { id, ttl_s } => {
                self.granting.remove(&id);
                if let Err(error) = self.leases.grant(LeaseId(id), ttl_s, now_ns) {
                    tracing::debug!(lease = id, %error, "a grant was replayed");
                }
            }
            Meta::Revoke { id } => {
                if let Err(error) = self.leases.revoke(LeaseId(id)) {
                    tracing::debug!(lease = id, %error, "a revoke was replayed");
                }
            }
            Meta::Compact { revision } => self.compacted = self.compacted.max(revision),
            Meta::Alarm {
                member,
                kind,
                on: true,
            } => {
                self.alarms.insert((member, kind));
            }
            Meta::Alarm {
                member,
                kind,
                on: false,
            } => {
                self.alarms.remove(&(member, kind));
            }
        }
    }

    /// Whether any member is out of space.
    pub fn no_space(&self) -> bool {
        self.alarms.iter().any(|(_, kind)| *kind == ALARM_NO_SPACE)
    }

    /// Whether any member's data is known to be corrupt.
    pub fn corrupt(&self) -> bool {
        self.alarms.iter().any(|(_, kind)| *kind == ALARM_CORRUPT)
    }

    /// For a checkpoint: alarms, compaction, then the lease table.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&self.compacted.to_le_bytes());
        out.extend_from_slice(&(self.alarms.len() as u64).to_le_bytes());
        for (member, kind) in &self.alarms {
            out.extend_from_slice(&member.to_le_bytes());
            out.extend_from_slice(&u64::from(*kind).to_le_bytes());
        }
        out.extend_from_slice(&self.leases.encode());
        out
    }

    /// Reads what [`Keeper::encode`] wrote.
    ///
    /// # Errors
    /// The bytes are cut or make no sense.
    pub fn decode(bytes: &[u8], ttl_min_s: i64) -> Result<Self, Error> {
        let broken = |what: String| Error::Storage(format!("node state in the manifest: {what}"));
        let mut at = 0;
        let mut next = || {
            let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
            at += 8;
            let cut = || broken(format!("cut at byte {at}"));
            word.map(u64::from_le_bytes).ok_or_else(cut)
        };
        let compacted = next()? as i64;
        let mut alarms = BTreeSet::new();
        for _ in 0..next()? {
            let (member, kind) = (next()?, next()?);
            let kind = match u8::try_from(kind) {
                Ok(kind @ (ALARM_NO_SPACE | ALARM_CORRUPT)) => kind,
                _ => return Err(broken(format!("unknown kind {kind} of an alarm"))),
            };
            if !alarms.insert((member, kind)) {
                return Err(broken(format!("two alarms {kind} of member {member:x}")));
            }
        }
        let leases = Table::decode(bytes.get(at..).unwrap_or_default(), ttl_min_s)?;
        Ok(Self {
            leases,
            alarms,
            compacted,
            granting: BTreeSet::new(),
        })
    }
}

#[cfg(test)]
mod tests;
