//! What the node says of itself: members, state of group 0, sizes.

use crate::env::Env;
use crate::error::Error;
use crate::group::types::Peer;
use crate::shard::core::{Core, unexpected};
use crate::shard::keeper::{ALARM_CORRUPT, ALARM_NO_SPACE};
use crate::shard::message::{Answer, Keep};

/// Who this node is.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The cluster's id.
    pub cluster: u64,
    /// This member's id.
    pub member: u64,
    /// This member's name and URLs.
    pub peer: Peer,
}

/// etcd's `StatusResponse`, without versions.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The settled revision.
    pub revision: i64,
    /// Bytes taken on disk, or about to be.
    pub db_size: i64,
    /// Bytes of that in use.
    pub db_size_in_use: i64,
    /// Leader of group 0, 0 for none.
    pub leader: u64,
    /// Last index of group 0.
    pub raft_index: u64,
    /// Term of group 0.
    pub raft_term: u64,
    /// Last applied index of group 0.
    pub raft_applied_index: u64,
    /// Alarms and the like, in etcd's words.
    pub errors: Vec<String>,
    /// The quota, bytes; 0 for none.
    pub quota: u64,
}

impl<E: Env> Core<E> {
    /// This node's state.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn status(&self) -> Result<Status, Error> {
        let (db_size, db_size_in_use) = self.desk.order.bytes();
        let group = match self.keep(Keep::Status).await? {
            Answer::Status(status) => status,
            other => return Err(unexpected(&other)),
        };
        let mut errors = Vec::new();
        if group.leader == 0 {
            errors.push(Error::NoLeader.to_string());
        }
        for (member, kind) in self.alarms().await? {
            let name = match kind {
                ALARM_NO_SPACE => "NOSPACE",
                ALARM_CORRUPT => "CORRUPT",
                _ => "UNKNOWN",
            };
            // As protobuf's text form has it, which leaves out a 0.
            let of = if member == 0 {
                String::new()
            } else {
                format!("memberID:{member} ")
            };
            errors.push(format!("{of}alarm:{name} "));
        }
        Ok(Status {
            revision: self.revision(),
            db_size,
            db_size_in_use,
            leader: group.leader,
            raft_index: group.committed,
            raft_term: group.term,
            raft_applied_index: group.applied,
            errors,
            quota: self.limits.quota_bytes,
        })
    }

    /// The alarms that are up: member and etcd's number of the kind.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn alarms(&self) -> Result<Vec<(u64, u8)>, Error> {
        match self.keep(Keep::Alarms).await? {
            Answer::Alarms(alarms) => Ok(alarms),
            other => Err(unexpected(&other)),
        }
    }

    /// Who this node is.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Term of group 0, for response headers.
    pub fn term(&self) -> u64 {
        self.desk.order.term()
    }
}
