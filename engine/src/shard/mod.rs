//! The shards of a node and what makes them one store: routing, evaluation, the one revision
//! order, transactions and ranges over several shards.

pub mod check;
pub mod order;
pub mod request;
pub mod route;
