//! One Raft group: openraft joined to the WAL below and the shard above.

pub mod types;
