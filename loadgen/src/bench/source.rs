//! What is asked: the seam between the engine, which says when, and those who use it.

use std::rc::Rc;
use std::time::Instant;

use super::slot::Slot;
use crate::client::Status;

/// Where operations come from.
pub(crate) trait Source: 'static {
    /// One of those who make them.
    type Client: Caller + 'static;

    /// The client with this number, from 0 on, on one of the connections.
    fn client(self: &Rc<Self>, slot: &Rc<Slot>, number: u64) -> Self::Client;
}

/// A client: it makes one operation after the other.
pub(crate) trait Caller {
    /// Makes the next operation, which was due then.
    fn call(&mut self, due: Instant) -> impl Future<Output = Called>;
}

/// How an operation ended.
pub(crate) struct Called {
    /// What it was.
    pub name: &'static str,
    /// From when its latency counts; nothing where others count what comes of it.
    pub result: Result<Option<Instant>, Status>,
}
