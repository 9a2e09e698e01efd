//! The etcd services as typed calls on [`Client`].

use super::{Client, Receiver, Sender, Status};

/// The messages of the etcd API, in one place.
pub mod pb {
    pub use proto::etcdserverpb::*;
    pub use proto::mvccpb::{Event, KeyValue};
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident($request:ident) -> $answer:ident, $path:literal;)*) => {
        impl Client {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// As [`Client::unary`].
            pub async fn $name(&self, request: &pb::$request) -> Result<pb::$answer, Status> {
                self.unary(concat!("/etcdserverpb.", $path), request).await
            }
        )*}
    };
}

unary! {
    /// KV range.
    range(RangeRequest) -> RangeResponse, "KV/Range";
    /// KV put.
    put(PutRequest) -> PutResponse, "KV/Put";
    /// KV delete.
    delete_range(DeleteRangeRequest) -> DeleteRangeResponse, "KV/DeleteRange";
    /// KV transaction.
    txn(TxnRequest) -> TxnResponse, "KV/Txn";
    /// KV compaction.
    compact(CompactionRequest) -> CompactionResponse, "KV/Compact";
    /// New lease.
    lease_grant(LeaseGrantRequest) -> LeaseGrantResponse, "Lease/LeaseGrant";
    /// End of a lease.
    lease_revoke(LeaseRevokeRequest) -> LeaseRevokeResponse, "Lease/LeaseRevoke";
    /// Time left on a lease.
    lease_time_to_live(LeaseTimeToLiveRequest) -> LeaseTimeToLiveResponse,
        "Lease/LeaseTimeToLive";
    /// All leases.
    lease_leases(LeaseLeasesRequest) -> LeaseLeasesResponse, "Lease/LeaseLeases";
    /// Members.
    member_list(MemberListRequest) -> MemberListResponse, "Cluster/MemberList";
    /// State of this member.
    status(StatusRequest) -> StatusResponse, "Maintenance/Status";
    /// Alarms.
    alarm(AlarmRequest) -> AlarmResponse, "Maintenance/Alarm";
    /// Hash over the history.
    hash_kv(HashKvRequest) -> HashKvResponse, "Maintenance/HashKV";
    /// Gives space back.
    defragment(DefragmentRequest) -> DefragmentResponse, "Maintenance/Defragment";
}

impl Client {
    /// A watch stream.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn watch(
        &self,
    ) -> Result<(Sender<pb::WatchRequest>, Receiver<pb::WatchResponse>), Status> {
        self.bidi("/etcdserverpb.Watch/Watch").await
    }

    /// A keep-alive stream.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn keep_alive(
        &self,
    ) -> Result<
        (
            Sender<pb::LeaseKeepAliveRequest>,
            Receiver<pb::LeaseKeepAliveResponse>,
        ),
        Status,
    > {
        self.bidi("/etcdserverpb.Lease/LeaseKeepAlive").await
    }

    /// A plain put.
    ///
    /// # Errors
    /// As [`Client::unary`].
    pub async fn put_pair(
        &self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) -> Result<pb::PutResponse, Status> {
        let (key, value) = (key.into().into(), value.into().into());
        self.put(&pb::PutRequest {
            key,
            value,
            ..Default::default()
        })
        .await
    }

    /// All keys from `key` up to `end`, linearizable.
    ///
    /// # Errors
    /// As [`Client::unary`].
    pub async fn get(
        &self,
        key: impl Into<Vec<u8>>,
        end: impl Into<Vec<u8>>,
    ) -> Result<pb::RangeResponse, Status> {
        let (key, range_end) = (key.into().into(), end.into().into());
        self.range(&pb::RangeRequest {
            key,
            range_end,
            ..Default::default()
        })
        .await
    }
}

/// A watch create request.
#[must_use]
pub fn create(create: pb::WatchCreateRequest) -> pb::WatchRequest {
    pb::WatchRequest {
        request_union: Some(pb::watch_request::RequestUnion::CreateRequest(create)),
    }
}

/// A request for a progress notice.
#[must_use]
pub fn progress() -> pb::WatchRequest {
    let request = pb::WatchProgressRequest::default();
    pb::WatchRequest {
        request_union: Some(pb::watch_request::RequestUnion::ProgressRequest(request)),
    }
}

/// A watch cancel request.
#[must_use]
pub fn cancel(watch_id: i64) -> pb::WatchRequest {
    let request = pb::WatchCancelRequest { watch_id };
    pb::WatchRequest {
        request_union: Some(pb::watch_request::RequestUnion::CancelRequest(request)),
    }
}
