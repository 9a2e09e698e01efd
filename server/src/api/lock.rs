//! Lock: locks run by the server, for clients without a lock library.

use std::rc::Rc;

use bytes::Bytes;
use engine::env::Env;
use engine::error::Error;
use engine::keys::KeyRange;
use engine::shard::core::Core;
use engine::shard::request::{DeleteRequest, Op, RangeRequest, TxnRequest};
use proto::v3lockpb as pb;

use super::queue::{self, Entered, Place, unknown};
use super::{Api, decode};
use crate::grpc::{Code, Reply, Status};

impl<E: Env> Api<E> {
    /// Answers once the lock is held.
    pub(super) async fn lock(&self, message: Bytes) -> Result<Reply, Status> {
        let request: pb::LockRequest = decode(message)?;
        let (key, revision) = queue::stand(&self.core, enter(self.core.clone(), request)).await?;
        Ok(Reply::encode(&pb::LockResponse {
            header: self.pb_header(revision),
            key,
        }))
    }

    /// A plain delete, as in etcd: also of a key that is not there, or is no lock.
    pub(super) async fn unlock(&self, message: Bytes) -> Result<Reply, Status> {
        let request: pb::UnlockRequest = decode(message)?;
        let delete = DeleteRequest {
            range: KeyRange::One(request.key),
            prev_kv: false,
        };
        let deleted = self.core.delete(delete).await;
        let reply = deleted.map_err(|error| unknown(&error))?;
        Ok(Reply::encode(&pb::UnlockResponse {
            header: self.pb_header(reply.revision),
        }))
    }
}

/// Takes a place, or finds the one that this lease has already.
async fn enter<E: Env>(
    core: Rc<Core<E>>,
    request: pb::LockRequest,
) -> Result<Entered<impl Future<Output = Result<(Bytes, i64), Status>>>, Status> {
    let taken = take(&core, &request).await;
    let taken = taken.map_err(|error| unknown(&error))?;
    let (mine, is_new) = (taken.place.clone(), taken.is_new);
    let wait = async move {
        if taken.is_held {
            return Ok((mine.key, taken.revision));
        }
        let turn = queue::turn(&core, &request.name, &mine).await;
        turn.map_err(|error| unknown(&error))?;
        let own = RangeRequest::all(KeyRange::One(mine.key.clone()));
        let found = core.range(own).await.map_err(|error| unknown(&error))?;
        match found.len {
            0 => Err(Status::new(Code::Unknown, "mutex: session is expired")),
            _ => Ok((mine.key, found.revision)),
        }
    };
    Ok(Entered {
        place: taken.place,
        is_new,
        wait,
    })
}

struct Taken {
    place: Place,
    is_new: bool,
    /// Whether it is the first in the queue.
    is_held: bool,
    /// The store's revision.
    revision: i64,
}

async fn take<E: Env>(core: &Core<E>, request: &pb::LockRequest) -> Result<Taken, Error> {
    let lease = queue::lease(core, request.lease).await?;
    let key = queue::key(&request.name, lease);
    let own = RangeRequest::all(KeyRange::One(key.clone()));
    let holder = || Op::Range(queue::first(&request.name));
    let txn = TxnRequest {
        compare: vec![queue::created_at(key.clone(), 0)],
        success: vec![queue::put(key.clone(), Bytes::new(), lease), holder()],
        failure: vec![Op::Range(own), holder()],
    };
    let reply = core.txn(txn).await?;
    let found = queue::pair_at(&reply, 0)?;
    let created = found.map_or(reply.revision, |kv| kv.create_revision);
    let holder = queue::pair_at(&reply, 1)?;
    let is_held = holder.is_none_or(|kv| kv.create_revision == created);
    let place = Place {
        key,
        created,
        lease,
    };
    Ok(Taken {
        place,
        is_new: reply.succeeded,
        is_held,
        revision: reply.revision,
    })
}
