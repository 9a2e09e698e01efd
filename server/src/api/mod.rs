//! etcd's services over the engine: one [`Api`] per core answers every call of the core's
//! connections. Each file here is one service: it checks what etcd checks at this level, converts,
//! asks the engine and encodes the answer. `boot` makes it and gives it to `grpc`.

pub mod convert;

mod auth;
mod cluster;
mod downgrade;
mod election;
mod kv;
mod lease;
mod lock;
mod maintenance;
mod queue;
mod watch;

use std::rc::Rc;

use bytes::Bytes;
use engine::env::Env;
use engine::shard::core::Core;
use prost::Message;
use proto::etcdserverpb as pb;

use crate::grpc::health::{Health, malformed};
use crate::grpc::wire::{Header, HeaderBase};
use crate::grpc::{Code, Inbound, Metadata, Method, Outbound, Reply, Service, Status};

/// etcd's services on one core.
pub struct Api<E: Env> {
    core: Rc<Core<E>>,
    header: HeaderBase,
    health: Health,
    request_bytes_max: usize,
}

impl<E: Env> Api<E> {
    /// Services over `core`. `request_bytes_max` is `--max-request-bytes`.
    pub fn new(core: Rc<Core<E>>, health: Health, request_bytes_max: usize) -> Self {
        let about = core.about();
        Self {
            header: HeaderBase::new(about.cluster, about.member),
            core,
            health,
            request_bytes_max,
        }
    }

    fn header(&self, revision: i64) -> Header<'_> {
        self.header.at(revision, self.core.term())
    }

    /// The header as a message, for answers that prost encodes. The revision is 0 on calls that
    /// do not touch keys.
    fn pb_header(&self, revision: i64) -> Option<pb::ResponseHeader> {
        let about = self.core.about();
        Some(pb::ResponseHeader {
            cluster_id: about.cluster,
            member_id: about.member,
            revision,
            raft_term: self.core.term(),
        })
    }

    /// The calls that are rare: apart, so that the future of a hot call stays small.
    async fn rare(&self, method: Method, message: Bytes) -> Result<Reply, Status> {
        match method {
            Method::KvCompact => self.compact(message).await,
            Method::LeaseGrant => self.lease_grant(message).await,
            Method::LeaseRevoke => self.lease_revoke(message).await,
            Method::LeaseTimeToLive => self.lease_time_to_live(message).await,
            Method::LeaseLeases => self.leases(message).await,
            Method::MemberList => self.member_list(message),
            Method::Alarm => self.alarm(message).await,
            Method::Status => self.status(message).await,
            Method::Defragment => self.defragment(message).await,
            Method::Hash => self.hash(message).await,
            Method::HashKv => self.hash_kv(message).await,
            Method::MoveLeader => self.move_leader(message),
            Method::Downgrade => downgrade::answer(message),
            Method::ElectionCampaign => self.campaign(message).await,
            Method::ElectionProclaim => self.proclaim(message).await,
            Method::ElectionLeader => self.leader(message).await,
            Method::ElectionResign => self.resign(message).await,
            Method::LockLock => self.lock(message).await,
            Method::LockUnlock => self.unlock(message).await,
            Method::AuthStatus => self.auth_status(message),
            Method::Authenticate => Err(auth::not_enabled()),
            Method::HealthCheck => self.health.check(message),
            _ => Err(unserved(method)),
        }
    }
}

impl<E: Env> Service for Api<E> {
    async fn unary(&self, method: Method, message: Bytes, _: &Metadata) -> Result<Reply, Status> {
        match method {
            Method::KvRange => self.range(message).await,
            Method::KvPut => self.put(message).await,
            Method::KvTxn => self.txn(message).await,
            Method::KvDeleteRange => self.delete(message).await,
            _ => Box::pin(self.rare(method, message)).await,
        }
    }

    async fn stream(
        &self,
        method: Method,
        inbound: Inbound,
        outbound: Outbound,
        _: &Metadata,
    ) -> Result<(), Status> {
        match method {
            Method::Watch => self.watch(inbound, outbound).await,
            Method::KvRangeStream => self.range_stream(inbound, outbound).await,
            Method::LeaseKeepAlive => self.keep_alive(inbound, outbound).await,
            Method::ElectionObserve => self.observe(inbound, outbound).await,
            Method::Snapshot => Box::pin(self.snapshot(inbound, outbound)).await,
            Method::HealthWatch => self.health.watch(inbound, outbound).await,
            _ => Err(unserved(method)),
        }
    }
}

fn decode<M: Message + Default>(message: Bytes) -> Result<M, Status> {
    M::decode(message).map_err(malformed)
}

/// For methods of etcd's that this node does not serve.
fn unserved(method: Method) -> Status {
    let text = format!("method {} not implemented", method.name());
    Status::new(Code::Unimplemented, text)
}
