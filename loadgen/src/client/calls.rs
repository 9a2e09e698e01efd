//! etcd's services as methods of a channel.

use bytes::BytesMut;
use proto::etcdserverpb as pb;
use proto::{v3electionpb as election, v3lockpb as lock};

use super::{Channel, Status, Stream, frame};

/// Paths of the calls that loads make with frames of their own.
pub mod paths {
    /// Put.
    pub const PUT: &str = "/etcdserverpb.KV/Put";
    /// Range.
    pub const RANGE: &str = "/etcdserverpb.KV/Range";
    /// Range, answered in chunks.
    pub const RANGE_STREAM: &str = "/etcdserverpb.KV/RangeStream";
    /// Transaction.
    pub const TXN: &str = "/etcdserverpb.KV/Txn";
    /// Delete.
    pub const DELETE: &str = "/etcdserverpb.KV/DeleteRange";
    /// Watch.
    pub const WATCH: &str = "/etcdserverpb.Watch/Watch";
    /// Renewals of leases.
    pub const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
    /// Following an election.
    pub const OBSERVE: &str = "/v3electionpb.Election/Observe";
}

/// Declares calls with one request and one answer.
macro_rules! unary {
    ($($(#[doc = $doc:literal])+ $name:ident $path:expr, $request:ty => $answer:ty;)+) => {
        impl Channel {
            $(
                $(#[doc = $doc])+
                ///
                /// # Errors
                /// What the server says, or `UNAVAILABLE`.
                pub async fn $name(&self, request: &$request) -> Result<$answer, Status> {
                    self.unary($path, frame(&mut BytesMut::new(), request)).await
                }
            )+
        }
    };
}

unary! {
    /// Puts a pair.
    put paths::PUT, pb::PutRequest => pb::PutResponse;
    /// Reads keys.
    range paths::RANGE, pb::RangeRequest => pb::RangeResponse;
    /// Deletes keys.
    delete paths::DELETE, pb::DeleteRangeRequest => pb::DeleteRangeResponse;
    /// Runs a transaction.
    txn paths::TXN, pb::TxnRequest => pb::TxnResponse;
    /// Forgets history.
    compact "/etcdserverpb.KV/Compact", pb::CompactionRequest => pb::CompactionResponse;
    /// Grants a lease.
    grant "/etcdserverpb.Lease/LeaseGrant", pb::LeaseGrantRequest => pb::LeaseGrantResponse;
    /// Revokes a lease.
    revoke "/etcdserverpb.Lease/LeaseRevoke", pb::LeaseRevokeRequest => pb::LeaseRevokeResponse;
    /// What is left of a lease.
    time_to_live "/etcdserverpb.Lease/LeaseTimeToLive",
        pb::LeaseTimeToLiveRequest => pb::LeaseTimeToLiveResponse;
    /// The state of the server.
    status "/etcdserverpb.Maintenance/Status", pb::StatusRequest => pb::StatusResponse;
    /// Alarms.
    alarm "/etcdserverpb.Maintenance/Alarm", pb::AlarmRequest => pb::AlarmResponse;
    /// Gives space back.
    defragment "/etcdserverpb.Maintenance/Defragment",
        pb::DefragmentRequest => pb::DefragmentResponse;
    /// A hash of the history.
    hash_kv "/etcdserverpb.Maintenance/HashKV", pb::HashKvRequest => pb::HashKvResponse;
    /// The members of the cluster.
    member_list "/etcdserverpb.Cluster/MemberList",
        pb::MemberListRequest => pb::MemberListResponse;
    /// Logs in.
    authenticate "/etcdserverpb.Auth/Authenticate",
        pb::AuthenticateRequest => pb::AuthenticateResponse;
    /// Waits for a lock.
    lock "/v3lockpb.Lock/Lock", lock::LockRequest => lock::LockResponse;
    /// Gives a lock back.
    unlock "/v3lockpb.Lock/Unlock", lock::UnlockRequest => lock::UnlockResponse;
    /// Waits to be elected.
    campaign "/v3electionpb.Election/Campaign",
        election::CampaignRequest => election::CampaignResponse;
    /// Gives the lead back.
    resign "/v3electionpb.Election/Resign", election::ResignRequest => election::ResignResponse;
    /// Who leads.
    leader "/v3electionpb.Election/Leader", election::LeaderRequest => election::LeaderResponse;
}

impl Channel {
    /// Opens a watch stream with a first watch.
    ///
    /// # Errors
    /// `UNAVAILABLE`; refusals come with the first answer.
    pub fn watch(
        &self,
        create: pb::WatchCreateRequest,
    ) -> Result<Stream<pb::WatchResponse>, Status> {
        use pb::watch_request::RequestUnion::CreateRequest;
        let request = pb::WatchRequest {
            request_union: Some(CreateRequest(create)),
        };
        self.stream(paths::WATCH, frame(&mut BytesMut::new(), &request), false)
    }

    /// Opens a stream of renewals with a first one; more are sent as
    /// [`pb::LeaseKeepAliveRequest`].
    ///
    /// # Errors
    /// `UNAVAILABLE`; what the server says comes with the first answer.
    pub fn keep_alive(&self, lease: i64) -> Result<Stream<pb::LeaseKeepAliveResponse>, Status> {
        let request = pb::LeaseKeepAliveRequest { id: lease };
        let request = frame(&mut BytesMut::new(), &request);
        self.stream(paths::KEEP_ALIVE, request, false)
    }

    /// Reads keys chunk by chunk; older servers than 3.7 answer `UNIMPLEMENTED`.
    ///
    /// # Errors
    /// `UNAVAILABLE`; what the server says comes with the first answer.
    pub fn range_stream(
        &self,
        request: &pb::RangeRequest,
    ) -> Result<Stream<pb::RangeStreamResponse>, Status> {
        let request = frame(&mut BytesMut::new(), request);
        self.stream(paths::RANGE_STREAM, request, true)
    }

    /// Follows an election.
    ///
    /// # Errors
    /// `UNAVAILABLE`; what the server says comes with the first answer.
    pub fn observe(
        &self,
        request: &election::LeaderRequest,
    ) -> Result<Stream<election::LeaderResponse>, Status> {
        let request = frame(&mut BytesMut::new(), request);
        self.stream(paths::OBSERVE, request, true)
    }
}
