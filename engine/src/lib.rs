//! Storage, consensus and the one revision order of Stoa. Knows no runtime and no wire protocol.
//!
//! Modules have a rank and import downward only (a test in `tests/cases/tidy.rs` holds it):
//!
//! | rank | modules |
//! |---|---|
//! | 0 | `limits` `ids` `keys` `error` `event` `env` |
//! | 1 | `format` |
//! | 2 | `wal` `mvcc` `lease` `watch` (siblings, blind to each other) |
//! | 3 | `group` |
//! | 4 | `shard` |
//!
//! The server drives it: it supplies the outside world through the traits in [`mod@env`] and calls
//! the core handle in `shard`.

pub mod env;
pub mod error;
pub mod event;
pub mod format;
pub mod group;
pub mod ids;
pub mod keys;
pub mod lease;
pub mod limits;
pub mod mvcc;
pub mod shard;
pub mod wal;
pub mod watch;
