//! `stoa-loadgen`: qualifies disks for a log, loads any etcd v3 server, finds how much a cluster
//! can take and plays Kubernetes without machines.
//!
//! Each command builds a [`report::Report`]; `report` alone knows how it looks on a terminal, in
//! JSON and in HTML. `machine` says what it was measured on, `measured` has what all loads measure
//! with, `progress` shows how far a run is and hears ctrl-C.

pub mod bench;
pub mod capacity;
pub mod client;
mod command;
pub mod disk;
pub mod kubernetes;
pub mod machine;
pub mod measured;
pub mod progress;
pub mod report;
pub mod server_process;
pub mod span;
