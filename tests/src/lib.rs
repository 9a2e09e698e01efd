//! Whole-system tests: real servers, real tools, real disks. This crate holds what the cases in
//! `tests/cases` and the side-by-side bench share: finding and running servers, a small gRPC
//! client, seeded workloads and the checks on what clients saw.

pub mod client;
pub mod damage;
pub mod differ;
pub mod history;
pub mod node;
pub mod page;
pub mod peer;
pub mod process;
pub mod random;

pub mod sim;
pub mod skip;
pub mod snapshots;
pub mod target;
pub mod throttle;
