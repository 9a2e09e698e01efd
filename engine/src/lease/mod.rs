//! Leases: which are granted and when they end, and which keys hang on them. Plain code with
//! times as input; called by `shard` when it applies committed changes, and by the principal's
//! core for renewals and expiry.
//!
//! [`Table`] is one per node (grants are changes without a revision, of group 0);
//! [`Attachments`] is one per shard, beside the keys.

mod attachments;
mod checkpoint;
mod expiry;
mod table;

#[cfg(test)]
mod tests;

pub use attachments::Attachments;
pub use table::{Remaining, Renewal, Table};
