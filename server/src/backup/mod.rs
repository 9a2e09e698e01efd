//! Snapshots: the store as a file of etcd's, out of a running node and into a new data directory.
//! `api/maintenance` streams one; `main` hands `stoa snapshot` to [`cli`].

pub mod bbolt;
pub mod cli;
pub mod etcd;
pub mod export;
mod file;
mod progress;
mod restore;
mod status;
