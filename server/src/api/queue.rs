//! The queue behind locks and elections. Whoever stands in it has a key `NAME/LEASE`, the lease in
//! hexadecimal, and has his turn when no key under `NAME/` is older: as etcd's client library
//! (`client/v3/concurrency`) has it, so that both can stand in one queue.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use engine::env::Env;
use engine::error::Error;
use engine::event::Event;
use engine::keys::KeyRange;
use engine::shard::client::WatchStream;
use engine::shard::core::Core;
use engine::shard::request::{
    Compare, CompareResult, CompareTarget, DeleteRequest, Op, OpReply, Order, PutRequest,
    RangeReply, RangeRequest, SortTarget, TxnReply, TxnRequest,
};
use engine::watch::{CreateRequest, Kind, Response};
use futures::channel::oneshot;
use futures::future::{Either, select};
use prost::Message;
use proto::etcdserverpb as pb;
use proto::mvccpb;

use crate::grpc::{Code, Status};

/// Time to live of a lease that is granted to a caller who names none, seconds.
const LEASE_TTL_S: i64 = 60;

/// A place in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The key that holds it.
    pub key: Bytes,
    /// The key's create revision.
    pub created: i64,
    /// The lease it hangs on.
    pub lease: i64,
}

/// Someone who took a place and waits for his turn.
pub(super) struct Entered<W> {
    /// The place.
    pub place: Place,
    /// Whether it is new: if not, another call of the same lease stands there, too.
    pub is_new: bool,
    /// Resolves when the turn has come.
    pub wait: W,
}

/// What etcd answers when its own client fails with one of etcd's errors: the text is kept, the
/// code is lost.
pub(super) fn unknown(error: &Error) -> Status {
    Status::new(Code::Unknown, error.to_string())
}

/// The lease to stand on: the one named, or a new one.
pub(super) async fn lease<E: Env>(core: &Core<E>, named: i64) -> Result<i64, Error> {
    match named {
        0 => Ok(core.lease_grant(0, LEASE_TTL_S).await?.id),
        named => Ok(named),
    }
}

/// The key of a lease in the queue `name`. Go writes negative numbers with a sign, in hexadecimal
/// too.
pub(super) fn key(name: &[u8], lease: i64) -> Bytes {
    let sign = if lease < 0 { "-" } else { "" };
    let lease = format!("/{sign}{:x}", lease.unsigned_abs());
    [name, lease.as_bytes()].concat().into()
}

/// All keys of the queue `name`.
pub(super) fn all(name: &[u8]) -> KeyRange {
    KeyRange::Span([name, b"/"].concat().into(), [name, b"0"].concat().into())
}

/// Asks for the oldest key of the queue `name`.
pub(super) fn first(name: &[u8]) -> RangeRequest {
    RangeRequest {
        limit: 1,
        order: Some(Order::Ascend),
        target: SortTarget::Create,
        ..RangeRequest::all(all(name))
    }
}

/// Whether `key` was created at this revision; 0 is a key that does not exist.
pub(super) fn created_at(key: Bytes, revision: i64) -> Compare {
    Compare {
        range: KeyRange::One(key),
        result: CompareResult::Equal,
        target: CompareTarget::Create(revision),
    }
}

/// A put on a lease.
pub(super) fn put(key: Bytes, value: Bytes, lease: i64) -> Op {
    Op::Put(PutRequest {
        key,
        value,
        lease,
        ..PutRequest::default()
    })
}

/// The pairs of a range.
pub(super) fn pairs(reply: &RangeReply) -> Result<Vec<mvccpb::KeyValue>, Error> {
    let decoded = pb::RangeResponse::decode(reply.kvs.concat().as_slice());
    let broken = |error| Error::Storage(format!("a range of one's own: {error}"));
    Ok(decoded.map_err(broken)?.kvs)
}

/// The first pair of the range that stands at `at` in a transaction's answer.
pub(super) fn pair_at(reply: &TxnReply, at: usize) -> Result<Option<mvccpb::KeyValue>, Error> {
    match reply.responses.get(at) {
        Some(OpReply::Range(range)) => Ok(pairs(range)?.into_iter().next()),
        _ => Ok(None),
    }
}

/// Gives a place up, unless its key is another's by now. Answers with the store's revision.
pub(super) async fn leave<E: Env>(core: &Core<E>, place: &Place) -> Result<i64, Error> {
    let delete = Op::Delete {
        request: DeleteRequest {
            range: KeyRange::One(place.key.clone()),
            prev_kv: false,
        },
        raw_end: Bytes::new(),
    };
    let request = TxnRequest {
        compare: vec![created_at(place.key.clone(), place.created)],
        success: vec![delete],
        failure: Vec::new(),
    };
    Ok(core.txn(request).await?.revision)
}

/// Waits until nobody in the queue `name` is before `place`: until the youngest of those before it
/// goes, and then looks again.
pub(super) async fn turn<E: Env>(
    core: &Rc<Core<E>>,
    name: &[u8],
    place: &Place,
) -> Result<(), Error> {
    loop {
        let before = RangeRequest {
            limit: 1,
            order: Some(Order::Descend),
            target: SortTarget::Create,
            keys_only: true,
            max_create_revision: place.created - 1,
            ..RangeRequest::all(all(name))
        };
        let reply = core.range(before).await?;
        let Some(before) = pairs(&reply)?.into_iter().next() else {
            return Ok(());
        };
        let range = KeyRange::One(before.key);
        let mut changes = Changes::open(core, range, reply.revision + 1).await?;
        // A compaction that went past the watch ends it: then one looks again, too.
        while let Some((_, events)) = changes.next().await? {
            if events.iter().any(|event| event.delete) {
                break;
            }
        }
    }
}

/// What happens to some keys from a revision on.
pub(super) struct Changes<E: Env>(WatchStream<E>, Vec<Response>);

impl<E: Env> Changes<E> {
    /// Changes of `range` from `start` on.
    pub(super) async fn open(
        core: &Rc<Core<E>>,
        range: KeyRange,
        start: i64,
    ) -> Result<Self, Error> {
        let stream = core.watch_open();
        stream.create(&CreateRequest::new(range, start)).await?;
        Ok(Self(stream, Vec::new()))
    }

    /// The next of them with the store's revision; none when they were compacted.
    pub(super) async fn next(&mut self) -> Result<Option<(i64, Vec<Event>)>, Error> {
        loop {
            while self.1.is_empty() {
                self.1 = self.0.next().await;
            }
            let response = self.1.remove(0);
            match response.kind {
                Kind::Events { batch, .. } => {
                    return Ok(Some((response.header_revision, batch.events().to_vec())));
                }
                Kind::Canceled { .. } | Kind::Refused { .. } => return Ok(None),
                Kind::Failed { reason } => return Err(Error::Storage(reason.to_string())),
                Kind::Created | Kind::Progress => {}
            }
        }
    }
}

/// Stands in a queue in a task of its own: a client that goes away takes the call with it, and
/// then the place has to be given up.
pub(super) async fn stand<E: Env, R: 'static, W>(
    core: &Rc<Core<E>>,
    enter: impl Future<Output = Result<Entered<W>, Status>> + 'static,
) -> Result<R, Status>
where
    W: Future<Output = Result<R, Status>> + 'static,
{
    let (mut tell, told) = oneshot::channel();
    let own = core.clone();
    core.spawn(async move {
        let entered = match enter.await {
            Ok(entered) => entered,
            Err(status) => return drop(tell.send(Err(status))),
        };
        let result = match select(pin!(entered.wait), tell.cancellation()).await {
            Either::Left((result, _)) => Some(result),
            Either::Right(_) => None,
        };
        // Where a place cannot be given up its lease takes it away.
        match result {
            Some(Ok(answer)) => {
                if tell.send(Ok(answer)).is_err() && entered.is_new {
                    let _ = leave(&own, &entered.place).await;
                }
            }
            Some(Err(status)) => {
                let _ = leave(&own, &entered.place).await;
                let _ = tell.send(Err(status));
            }
            None => drop(leave(&own, &entered.place).await),
        }
    });
    told.await.unwrap_or_else(|_| Err(Error::Stopped.into()))
}

#[cfg(test)]
mod tests;
