//! Newtypes for every id, so that a shard number cannot be passed for a core number.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id!(
    /// One executor thread of this node, numbered from 0.
    CoreId(u16)
);
id!(
    /// A part of the keyspace; the number of shards is fixed when the cluster is created.
    ShardId(u16)
);
id!(
    /// The Raft group that replicates the shard of the same number. Group 0 also carries changes
    /// that have no revision.
    GroupId(u16)
);
id!(
    /// A sequence of WAL segments with one writer.
    LaneId(u16)
);
id!(
    /// One principalship: the log index of its fence entry in group 0. Starts at 1.
    Epoch(u64)
);
id!(
    /// A member of the cluster, as etcd's member id.
    MemberId(u64)
);
id!(
    /// A cluster, as etcd's cluster id.
    ClusterId(u64)
);
id!(
    /// A lease, positive.
    LeaseId(i64)
);

impl ShardId {
    /// The group that replicates this shard.
    pub fn group(self) -> GroupId {
        GroupId(self.0)
    }

    /// The core that owns this shard on a node whose first `lanes` cores own shards.
    pub fn core(self, lanes: u16) -> CoreId {
        CoreId(self.0 % lanes.max(1))
    }
}

/// Where a change stands in the one global order: the transaction's revision and the change's
/// place inside it. etcd calls them main and sub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The transaction's revision; the store starts at 1, the first write is 2.
    pub main: i64,
    /// The change's number inside its transaction, from 0.
    pub sub: i64,
}

impl Revision {
    /// The revision `main`, `sub`.
    pub const fn new(main: i64, sub: i64) -> Self {
        Self { main, sub }
    }
}
