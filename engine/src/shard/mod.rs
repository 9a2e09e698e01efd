//! The shards of a node and what makes them one store: routing, evaluation, the one revision
//! order, transactions and ranges over several shards.
//!
//! The server starts a node with [`boot`] and [`prepare`], and then calls [`core::Core`].

mod admission;
pub mod auto_compact;
pub mod boot;
pub mod check;
pub mod checkpoint;
pub mod client;
mod commit;
pub mod core;
pub mod counts;
pub mod desk;
pub mod dump;
mod evaluate;
mod events;
mod head;
mod keeper;
mod keeping;
mod maintain;
pub mod message;
pub mod node;
pub mod order;
mod pace;
pub mod prepare;
mod program;
mod range;
mod read;
mod reading;
mod replay;
pub mod request;
pub mod restore;
pub mod route;
mod sealing;
mod shard_state;
mod slow;
mod span;
pub mod status;
mod store;
mod turn;
mod watching;
