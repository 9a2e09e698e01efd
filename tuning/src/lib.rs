//! Settings by class of disk: the profiles, the type that reads them, and the rule that picks one
//! from a measurement. The server reads them at start; the load generator writes them.

mod choose;
mod profile;

pub use choose::{Choice, Durable, Told, choose};
pub use profile::{DurableWrites, Lanes, Profile, ProfileError, Raft, Runtime, Wal};
