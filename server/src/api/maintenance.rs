//! Maintenance: state, alarms, hashes, space.

use bytes::Bytes;
use engine::env::Env;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::alarm_request::AlarmAction;

use super::{Api, decode};
use crate::backup::{etcd, export};
use crate::config::version;
use crate::grpc::{Code, Inbound, Outbound, Reply, Status};

impl<E: Env> Api<E> {
    /// Works without a leader: it says what this node knows.
    pub(super) async fn status(&self, message: Bytes) -> Result<Reply, Status> {
        let pb::StatusRequest {} = decode(message)?;
        let status = self.core.status().await?;
        Ok(Reply::encode(&pb::StatusResponse {
            header: self.pb_header(status.revision),
            version: version::ETCD.to_owned(),
            db_size: status.db_size,
            leader: status.leader,
            raft_index: status.raft_index,
            raft_term: status.raft_term,
            raft_applied_index: status.raft_applied_index,
            errors: status.errors,
            db_size_in_use: status.db_size_in_use,
            is_learner: false,
            storage_version: version::ETCD_CLUSTER.to_owned(),
            db_size_quota: i64::try_from(status.quota).unwrap_or(i64::MAX),
            downgrade_info: Some(pb::DowngradeInfo::default()),
        }))
    }

    pub(super) async fn alarm(&self, message: Bytes) -> Result<Reply, Status> {
        let request: pb::AlarmRequest = decode(message)?;
        let kind = u8::try_from(request.alarm).unwrap_or(u8::MAX);
        let alarms = match AlarmAction::try_from(request.action) {
            Ok(AlarmAction::Get) => {
                let mut alarms = self.core.alarms().await?;
                alarms.retain(|(_, is)| kind == 0 || *is == kind);
                alarms
            }
            Ok(AlarmAction::Activate) => self.core.alarm_set(kind, request.member_id, true).await?,
            // As in etcd only the very alarm named is cleared; etcdctl names each that it finds.
            Ok(AlarmAction::Deactivate) => {
                let up = self.core.alarms().await?;
                if up.contains(&(request.member_id, kind)) {
                    self.core.alarm_set(kind, request.member_id, false).await?
                } else {
                    Vec::new()
                }
            }
            // As etcd: an action it does not know does nothing.
            Err(_) => Vec::new(),
        };
        let alarms = alarms
            .into_iter()
            .map(|(member_id, alarm)| pb::AlarmMember {
                member_id,
                alarm: i32::from(alarm),
            });
        Ok(Reply::encode(&pb::AlarmResponse {
            header: self.pb_header(self.core.revision()),
            alarms: alarms.collect(),
        }))
    }

    /// As in etcd, the answer has no header.
    pub(super) async fn defragment(&self, message: Bytes) -> Result<Reply, Status> {
        let pb::DefragmentRequest {} = decode(message)?;
        self.core.defragment().await?;
        Ok(Reply::encode(&pb::DefragmentResponse::default()))
    }

    /// etcd hashes its whole file here, for its own tests only. Ours is the hash of all keys.
    pub(super) async fn hash(&self, message: Bytes) -> Result<Reply, Status> {
        let pb::HashRequest {} = decode(message)?;
        let hash = self.core.hash_kv(0).await?;
        Ok(Reply::encode(&pb::HashResponse {
            header: self.pb_header(hash.revision),
            hash: hash.hash,
        }))
    }

    /// A whole file of etcd's, and its SHA-256 in a message of its own. As in etcd, without
    /// headers.
    pub(super) async fn snapshot(
        &self,
        mut inbound: Inbound,
        outbound: Outbound,
    ) -> Result<(), Status> {
        let pb::SnapshotRequest {} = decode(inbound.only().await?)?;
        let send = async |blob: Vec<u8>, remaining_bytes: u64| {
            let response = pb::SnapshotResponse {
                header: None,
                remaining_bytes,
                blob: blob.into(),
                version: etcd::VERSION.to_owned(),
            };
            outbound.send(Reply::encode(&response)).await?;
            Ok::<_, Status>(())
        };
        export::run(&self.core, send).await
    }

    /// The one member there is leads already; as in etcd, asking for that is no error, and
    /// the answer has no header.
    pub(super) fn move_leader(&self, message: Bytes) -> Result<Reply, Status> {
        let request: pb::MoveLeaderRequest = decode(message)?;
        if request.target_id != self.core.about().member {
            let text = "etcdserver: bad leader transferee";
            return Err(Status::new(Code::FailedPrecondition, text));
        }
        Ok(Reply::encode(&pb::MoveLeaderResponse::default()))
    }

    pub(super) async fn hash_kv(&self, message: Bytes) -> Result<Reply, Status> {
        let request: pb::HashKvRequest = decode(message)?;
        let hash = self.core.hash_kv(request.revision).await?;
        Ok(Reply::encode(&pb::HashKvResponse {
            header: self.pb_header(hash.revision),
            hash: hash.hash,
            compact_revision: hash.compact_revision,
            hash_revision: hash.hash_revision,
        }))
    }
}
