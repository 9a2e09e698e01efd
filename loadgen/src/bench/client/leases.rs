//! Operations on leases, and on what is held by them: locks and elections.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::etcdserverpb as pb;
use proto::{v3electionpb as election, v3lockpb as lock};

use super::{Client, told};
use crate::bench::load::Operation;
use crate::client::{Channel, Status};

/// Names of the lock and the election that all clients want.
const LOCK: &[u8] = b"stoa-loadgen-lock";
const ELECTION: &[u8] = b"stoa-loadgen-election";

impl Client {
    async fn grant(&self, channel: &Channel, ttl: i64) -> Result<i64, Status> {
        let request = pb::LeaseGrantRequest { ttl, id: 0 };
        Ok(channel.grant(&request).await?.id)
    }

    pub(super) async fn grant_and_revoke(&mut self, channel: &Channel) -> Result<(), Status> {
        let id = self.grant(channel, self.shared.load.lease_ttl).await?;
        channel.revoke(&pb::LeaseRevokeRequest { id }).await?;
        Ok(())
    }

    pub(super) async fn renew(&mut self, channel: &Channel) -> Result<(), Status> {
        let lease = match self.lease {
            Some(lease) => lease,
            None => {
                self.grant(channel, self.shared.load.lease_ttl.max(60))
                    .await?
            }
        };
        // Forgotten if anything fails: then all is begun anew.
        self.lease = None;
        let mut renewals = match self.renewals.take() {
            Some(renewals) => {
                renewals.send(&pb::LeaseKeepAliveRequest { id: lease })?;
                renewals
            }
            None => channel.keep_alive(lease)?,
        };
        let answer = told(renewals.next().await?)?;
        if answer.ttl <= 0 {
            return Err(Status::new(
                Status::NOT_FOUND,
                "the lease to be renewed is gone",
            ));
        }
        (self.lease, self.renewals) = (Some(lease), Some(renewals));
        Ok(())
    }

    /// Puts a key on a lease of its own and lets that end. Gives when it should have ended.
    pub(super) async fn let_expire(&mut self, channel: &Channel) -> Result<Instant, Status> {
        let ttl = self.shared.load.lease_ttl;
        // It may not end before, but from when it is granted the server knows alone.
        let asked = Instant::now();
        let granted = channel.grant(&pb::LeaseGrantRequest { ttl, id: 0 }).await?;
        // A server may give more than was asked for: etcd has a least time of its own.
        let ends = asked + Duration::from_secs(u64::try_from(granted.ttl).unwrap_or_default());
        let lease = granted.id;
        let put = pb::PutRequest {
            key: self.own_key(Operation::LeaseExpiry),
            lease,
            ..Default::default()
        };
        let mut stream = channel.watch(pb::WatchCreateRequest {
            key: self.own_key(Operation::LeaseExpiry),
            ..Default::default()
        })?;
        channel.put(&put).await?;
        loop {
            let response = told(stream.next().await?)?;
            if response.canceled {
                return Err(Status::new(Status::ABORTED, response.cancel_reason));
            }
            if response.events.iter().any(|event| event.r#type == 1) {
                return Ok(ends);
            }
        }
    }

    /// The lease that locks and elections are held by.
    async fn session(&mut self, channel: &Channel) -> Result<i64, Status> {
        // What is held by a session that failed would keep all others waiting until its end.
        if let Some(id) = self.stale.take() {
            let ended = channel.revoke(&pb::LeaseRevokeRequest { id }).await;
            let again = ended
                .err()
                .filter(|status| status.code != Status::NOT_FOUND);
            if let Some(status) = again {
                self.stale = Some(id);
                return Err(status);
            }
        }
        match self.lease {
            Some(lease) => Ok(lease),
            None => {
                let lease = self
                    .grant(channel, self.shared.load.lease_ttl.max(600))
                    .await?;
                self.lease = Some(lease);
                Ok(lease)
            }
        }
    }

    pub(super) async fn lock(&mut self, channel: &Channel) -> Result<(), Status> {
        let lease = self.session(channel).await?;
        let request = lock::LockRequest {
            name: Bytes::from_static(LOCK),
            lease,
        };
        let round = async {
            let key = channel.lock(&request).await?.key;
            channel.unlock(&lock::UnlockRequest { key }).await
        };
        round.await.map(drop).inspect_err(|_| self.forget())
    }

    pub(super) async fn elect(&mut self, channel: &Channel) -> Result<(), Status> {
        let lease = self.session(channel).await?;
        let request = election::CampaignRequest {
            name: Bytes::from_static(ELECTION),
            lease,
            value: Bytes::from(self.number.to_string()),
        };
        let round = async {
            let leader = channel.campaign(&request).await?.leader;
            let resign = election::ResignRequest { leader };
            channel.resign(&resign).await
        };
        round.await.map(drop).inspect_err(|_| self.forget())
    }

    /// The session failed: another is begun, after this one was ended.
    fn forget(&mut self) {
        self.stale = self.lease.take();
    }
}
