//! Stoa and etcd measured one after the other by the load generator on the same disk. The binary
//! `side_by_side` drives it: `args` says what is wanted, `run` starts the servers and has each
//! `workload` asked of them on each `disk`, `results` turns the `sample`s of all rounds into
//! medians, ratios and bars, and `show` and `markdown` make them readable.

pub mod args;
pub mod beside;
pub mod disk;
pub mod markdown;
pub mod results;
pub mod run;
pub mod sample;
pub mod show;
pub mod workload;
