//! Watches of one core: who wants which key, what each stream is sent, and how a watcher that
//! lies behind comes up to the present. Called by the core loop in `shard`.
//!
//! [`Hub`] is plain code: events, history and times are handed in, responses and read jobs come
//! out. One hub serves all watch streams of one core's connections.
//!
//! ```text
//! events of one revision --> Hub::deliver --> ranges (who wants the key)
//!                                  |              |
//!                                recent         live watcher --> stream queue --> Hub::pop
//!                                  |                                  | full
//!      Hub::caught <-- history <-- Hub::next_catch_up <-- behind <----+
//! ```
//!
//! A watcher is *live*, and then gets each revision as it is delivered, or *behind*, and then
//! gets whole revisions from the recent events or from history until it is live. It is never
//! cancelled for being slow, only when what it needs next was compacted.

mod batch;
mod catch_up;
mod deliver;
mod hub;
mod intervals;
mod progress;
mod queue;
mod ranges;
mod recent;
mod response;
mod stream;

#[cfg(test)]
mod tests;

pub use batch::EventBatch;
pub use catch_up::{CatchUp, Job, JobId};
pub use hub::{Counts, Hub, Settings};
pub use response::{CreateRequest, Filters, Kind, Response};
pub use stream::StreamId;
