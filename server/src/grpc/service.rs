//! The seam between gRPC and the API: `call` gives every call to a [`Service`]; `api` is the one
//! that answers for etcd, benches and tests bring their own.

use std::future::Future;

use bytes::Bytes;

use super::message::Reply;
use super::metadata::Metadata;
use super::method::Method;
use super::status::Status;
use super::stream::{Inbound, Outbound};

/// Answers calls. One per core; all calls of the core's connections go through it.
///
/// The futures are dropped when the client cancels, its time limit passes or its connection ends:
/// whatever must not be lost half done belongs to the engine, not in here. They run inside the
/// connection's task, so long computation in one holds up the others of its core.
pub trait Service: 'static {
    /// Answers a call of [`super::Kind::Unary`]. `message` is a slice of the receive buffer.
    fn unary(
        &self,
        method: Method,
        message: Bytes,
        meta: &Metadata,
    ) -> impl Future<Output = Result<Reply, Status>>;

    /// Runs a call of another kind until it ends; the result is its final status. What is sent
    /// through `outbound` goes out before it.
    fn stream(
        &self,
        method: Method,
        inbound: Inbound,
        outbound: Outbound,
        meta: &Metadata,
    ) -> impl Future<Output = Result<(), Status>>;
}
