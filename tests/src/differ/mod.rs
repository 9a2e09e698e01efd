//! The differential test: several servers are told the same seeded random story and have to
//! answer alike, field by field. Called by the case `same_answers` and the program `differ`.
//!
//! A run goes `script` (makes the steps) -> `contest` (asks everybody in step) -> `session` (one
//! server's side) -> `known` (what an old etcd answers otherwise, and why). A failing run goes
//! through `shrink` and is printed in the form of `step`; what was found and mended stays as a
//! `golden` script, which needs no etcd.

pub mod contest;
pub mod golden;
pub mod known;
pub mod outcome;
pub mod peers;
pub mod queues;
pub mod script;
pub mod session;
pub mod shrink;
pub mod step;
pub mod text;
pub mod ties;
mod told;
pub mod watches;
