//! Stoa and etcd measured one after the other by the same client on the same disk. The binary
//! `side_by_side` drives it: `workload` says what is asked, `load` asks it in a closed loop, and
//! `report` turns the samples of all rounds into medians, ratios and bars.

pub mod load;
pub mod report;
pub mod workload;
