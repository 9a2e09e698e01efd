//! Whose a file is: cluster and member, in every header of the data directory.

use super::fault::Fault;
use crate::ids::{ClusterId, MemberId};

pub use super::segment::Identity;

impl Identity {
    /// Of raw ids.
    pub fn new(cluster: u64, member: u64) -> Self {
        Self {
            cluster: ClusterId(cluster),
            member: MemberId(member),
        }
    }

    /// Refuses a file that names another owner than `own`.
    pub fn check(&self, own: &Self, path: &str) -> Result<(), Fault> {
        if self == own {
            return Ok(());
        }
        Err(Fault::Foreign {
            path: path.to_owned(),
            found_cluster: self.cluster.0,
            found_member: self.member.0,
            cluster: own.cluster.0,
            member: own.member.0,
        })
    }
}
