//! Election: elections run by the server, for clients without an election library.

use std::rc::Rc;

use bytes::Bytes;
use engine::env::Env;
use engine::error::Error;
use engine::event::{Event, KeyValue};
use engine::keys::KeyRange;
use engine::shard::core::Core;
use engine::shard::request::{Op, RangeRequest, TxnRequest};
use proto::mvccpb;
use proto::v3electionpb as pb;

use super::queue::{self, Changes, Entered, Place, unknown};
use super::{Api, decode};
use crate::grpc::{Code, Inbound, Outbound, Reply, Status};

fn no_leader() -> Status {
    Status::new(Code::Unknown, "election: no leader")
}

fn not_leader() -> Status {
    Status::new(Code::Unknown, "election: not leader")
}

fn missing_leader() -> Status {
    Status::new(Code::Unknown, "\"leader\" field must be provided")
}

impl<E: Env> Api<E> {
    /// Answers once elected.
    pub(super) async fn campaign(&self, message: Bytes) -> Result<Reply, Status> {
        let request: pb::CampaignRequest = decode(message)?;
        let name = request.name.clone();
        let enter = enter(self.core.clone(), request);
        let (place, revision) = queue::stand(&self.core, enter).await?;
        Ok(Reply::encode(&pb::CampaignResponse {
            header: self.pb_header(revision),
            leader: Some(pb::LeaderKey {
                name,
                key: place.key,
                rev: place.created,
                lease: place.lease,
            }),
        }))
    }

    pub(super) async fn proclaim(&self, message: Bytes) -> Result<Reply, Status> {
        let request: pb::ProclaimRequest = decode(message)?;
        let mut place = place(request.leader)?;
        let lease = queue::lease(&self.core, place.lease).await;
        place.lease = lease.map_err(|error| unknown(&error))?;
        let revision = proclaim(&self.core, &place, request.value).await?;
        Ok(Reply::encode(&pb::ProclaimResponse {
            header: self.pb_header(revision),
        }))
    }

    pub(super) async fn leader(&self, message: Bytes) -> Result<Reply, Status> {
        let request: pb::LeaderRequest = decode(message)?;
        let (revision, leader) = first(&self.core, &request.name).await?;
        let leader = leader.ok_or_else(no_leader)?;
        Ok(self.leads(revision, leader))
    }

    /// Also without a place that could be given up, as in etcd.
    pub(super) async fn resign(&self, message: Bytes) -> Result<Reply, Status> {
        let request: pb::ResignRequest = decode(message)?;
        let place = place(request.leader)?;
        let left = queue::leave(&self.core, &place).await;
        let revision = left.map_err(|error| unknown(&error))?;
        Ok(Reply::encode(&pb::ResignResponse {
            header: self.pb_header(revision),
        }))
    }

    /// Tells who leads and what they proclaim, for as long as the client listens.
    pub(super) async fn observe(
        &self,
        mut inbound: Inbound,
        outbound: Outbound,
    ) -> Result<(), Status> {
        let request: pb::LeaderRequest = decode(inbound.only().await?)?;
        loop {
            let (revision, leader) = self.elected(&request.name).await?;
            let range = KeyRange::One(leader.key.clone());
            outbound.send(self.leads(revision, leader)).await?;
            let opened = Changes::open(&self.core, range, revision + 1).await;
            let mut changes = opened.map_err(|error| unknown(&error))?;
            'led: while let Some((revision, events)) = next(&mut changes).await? {
                for event in events {
                    if event.delete {
                        break 'led;
                    }
                    let leader = pair(event.kv);
                    outbound.send(self.leads(revision, leader)).await?;
                }
            }
        }
    }

    /// The present leader, or else the next, and the revision at which they led.
    async fn elected(&self, name: &[u8]) -> Result<(i64, mvccpb::KeyValue), Status> {
        loop {
            let (revision, leader) = first(&self.core, name).await?;
            if let Some(leader) = leader {
                return Ok((revision, leader));
            }
            let opened = Changes::open(&self.core, queue::all(name), revision + 1).await;
            let mut changes = opened.map_err(|error| unknown(&error))?;
            while let Some((_, events)) = next(&mut changes).await? {
                if let Some(event) = events.into_iter().find(|event| !event.delete) {
                    return Ok((event.kv.mod_revision, pair(event.kv)));
                }
            }
        }
    }

    fn leads(&self, revision: i64, leader: mvccpb::KeyValue) -> Reply {
        Reply::encode(&pb::LeaderResponse {
            header: self.pb_header(revision),
            kv: Some(leader),
        })
    }
}

fn place(leader: Option<pb::LeaderKey>) -> Result<Place, Status> {
    let leader = leader.ok_or_else(missing_leader)?;
    Ok(Place {
        key: leader.key,
        created: leader.rev,
        lease: leader.lease,
    })
}

async fn next<E: Env>(changes: &mut Changes<E>) -> Result<Option<(i64, Vec<Event>)>, Status> {
    changes.next().await.map_err(|error| unknown(&error))
}

/// The store's revision and the oldest candidate.
async fn first<E: Env>(
    core: &Core<E>,
    name: &[u8],
) -> Result<(i64, Option<mvccpb::KeyValue>), Status> {
    let oldest = async {
        let reply = core.range(queue::first(name)).await?;
        Ok((reply.revision, queue::pairs(&reply)?.into_iter().next()))
    };
    oldest.await.map_err(|error: Error| unknown(&error))
}

/// Sets the value of a candidate who still is one. Answers with the revision.
async fn proclaim<E: Env>(core: &Core<E>, place: &Place, value: Bytes) -> Result<i64, Status> {
    let txn = TxnRequest {
        compare: vec![queue::created_at(place.key.clone(), place.created)],
        success: vec![queue::put(place.key.clone(), value, place.lease)],
        failure: Vec::new(),
    };
    let reply = core.txn(txn).await.map_err(|error| unknown(&error))?;
    if reply.succeeded {
        Ok(reply.revision)
    } else {
        Err(not_leader())
    }
}

/// Becomes a candidate, or finds that this lease is one already.
async fn enter<E: Env>(
    core: Rc<Core<E>>,
    request: pb::CampaignRequest,
) -> Result<Entered<impl Future<Output = Result<(Place, i64), Status>>>, Status> {
    let taken = take(&core, &request).await;
    let taken = taken.map_err(|error| unknown(&error))?;
    let (mine, revision) = (taken.place.clone(), taken.revision);
    let is_new = taken.proclaimed.is_none();
    let wait = async move {
        if taken.proclaimed.is_some_and(|value| value != request.value) {
            proclaim(&core, &mine, request.value).await?;
        }
        let turn = queue::turn(&core, &request.name, &mine).await;
        turn.map_err(|error| unknown(&error))?;
        Ok((mine, revision))
    };
    Ok(Entered {
        place: taken.place,
        is_new,
        wait,
    })
}

struct Taken {
    place: Place,
    /// The value there, if the place was taken before.
    proclaimed: Option<Bytes>,
    /// The store's revision.
    revision: i64,
}

async fn take<E: Env>(core: &Core<E>, request: &pb::CampaignRequest) -> Result<Taken, Error> {
    let lease = queue::lease(core, request.lease).await?;
    let key = queue::key(&request.name, lease);
    let own = RangeRequest::all(KeyRange::One(key.clone()));
    let txn = TxnRequest {
        compare: vec![queue::created_at(key.clone(), 0)],
        success: vec![queue::put(key.clone(), request.value.clone(), lease)],
        failure: vec![Op::Range(own)],
    };
    let reply = core.txn(txn).await?;
    let found = queue::pair_at(&reply, 0)?;
    let created = found
        .as_ref()
        .map_or(reply.revision, |kv| kv.create_revision);
    let place = Place {
        key,
        created,
        lease,
    };
    Ok(Taken {
        place,
        proclaimed: found.map(|kv| kv.value),
        revision: reply.revision,
    })
}

fn pair(kv: KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: kv.key,
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        value: kv.value,
        lease: kv.lease,
    }
}
