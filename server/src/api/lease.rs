//! Lease: grants, renewals, questions.

use bytes::Bytes;
use engine::env::Env;
use proto::etcdserverpb as pb;

use super::{Api, decode};
use crate::grpc::{Inbound, Outbound, Reply, Status};

impl<E: Env> Api<E> {
    pub(super) async fn lease_grant(&self, message: Bytes) -> Result<Reply, Status> {
        let request: pb::LeaseGrantRequest = decode(message)?;
        let lease = self.core.lease_grant(request.id, request.ttl).await?;
        Ok(Reply::encode(&pb::LeaseGrantResponse {
            header: self.pb_header(lease.revision),
            id: lease.id,
            ttl: lease.ttl_s,
            error: String::new(),
        }))
    }

    pub(super) async fn lease_revoke(&self, message: Bytes) -> Result<Reply, Status> {
        let request: pb::LeaseRevokeRequest = decode(message)?;
        let revision = self.core.lease_revoke(request.id).await?;
        Ok(Reply::encode(&pb::LeaseRevokeResponse {
            header: self.pb_header(revision),
        }))
    }

    /// Renewals one after the other, as etcd does; a lease that is gone is told by a time of 0.
    pub(super) async fn keep_alive(
        &self,
        mut inbound: Inbound,
        outbound: Outbound,
    ) -> Result<(), Status> {
        while let Some(message) = inbound.next().await? {
            let request: pb::LeaseKeepAliveRequest = decode(message)?;
            let lease = self.core.lease_keep_alive(request.id).await?;
            let reply = Reply::encode(&pb::LeaseKeepAliveResponse {
                header: self.pb_header(lease.revision),
                id: request.id,
                ttl: lease.ttl_s,
            });
            outbound.send(reply).await?;
        }
        Ok(())
    }

    pub(super) async fn lease_time_to_live(&self, message: Bytes) -> Result<Reply, Status> {
        let request: pb::LeaseTimeToLiveRequest = decode(message)?;
        let asked = self.core.lease_time_to_live(request.id, request.keys);
        let lease = asked.await?;
        Ok(Reply::encode(&pb::LeaseTimeToLiveResponse {
            header: self.pb_header(lease.revision),
            id: request.id,
            ttl: lease.ttl_s,
            granted_ttl: lease.granted_s,
            keys: lease.keys,
        }))
    }

    pub(super) async fn leases(&self, message: Bytes) -> Result<Reply, Status> {
        let pb::LeaseLeasesRequest {} = decode(message)?;
        let (revision, ids) = self.core.leases().await?;
        let leases = ids.into_iter().map(|id| pb::LeaseStatus { id });
        Ok(Reply::encode(&pb::LeaseLeasesResponse {
            header: self.pb_header(revision),
            leases: leases.collect(),
        }))
    }
}
