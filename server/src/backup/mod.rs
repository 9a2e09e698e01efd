//! Snapshots: the store as a file of etcd's.

pub mod bbolt;
