//! Elections and locks of a script.

use bytes::Bytes;
use proto::{v3electionpb as el, v3lockpb as lo};

use super::Script;
use crate::client::pb;
use crate::differ::step::{Call, Step};

const NAMES: [&[u8]; 3] = [b"vote", b"vote/1", b"lock"];

impl Script {
    /// A step in a stretch of elections and locks.
    pub(super) fn queue_step(&mut self) -> Step {
        let name = Bytes::from_static(self.random.pick(&NAMES[..2]));
        let lease = self.random.pick(&[1, 7, 70, 71]);
        let value = Bytes::from(format!("c{}", self.random.below(3)));
        Step::Call(match self.random.below(24) {
            0..=3 => Call::Campaign(el::CampaignRequest { name, lease, value }),
            4..=6 => Call::Proclaim(el::ProclaimRequest {
                leader: self.leader_key(),
                value,
            }),
            7..=9 => Call::Leader(el::LeaderRequest { name }),
            10..=12 => Call::Resign(el::ResignRequest {
                leader: self.leader_key(),
            }),
            13..=14 => return Step::Observe(el::LeaderRequest { name }),
            15 => return Step::Unobserve,
            16..=17 => Call::Lock(lo::LockRequest {
                name: Bytes::from_static(NAMES[2]),
                lease,
            }),
            18 => Call::Unlock(lo::UnlockRequest {
                key: self.queue_key(),
            }),
            19..=20 => Call::Grant(pb::LeaseGrantRequest {
                ttl: 60_000,
                id: lease,
            }),
            21 => Call::Revoke(pb::LeaseRevokeRequest { id: lease }),
            22 => Call::Delete(pb::DeleteRangeRequest {
                key: self.queue_key(),
                ..Default::default()
            }),
            // Whoever waits may go on.
            _ => Call::Delete(pb::DeleteRangeRequest {
                key: Bytes::from_static(b"lock"),
                range_end: Bytes::from_static(b"w"),
                prev_kv: true,
            }),
        })
    }

    fn queue_key(&mut self) -> Bytes {
        let (name, lease) = (self.random.pick(&NAMES), self.random.pick(&[1, 7, 70, 71]));
        [name, format!("/{lease:x}").as_bytes()].concat().into()
    }

    /// A place that its holder has, or had, or never had.
    fn leader_key(&mut self) -> Option<el::LeaderKey> {
        if self.random.one_in(12) {
            return None;
        }
        let (name, lease) = (
            self.random.pick(&NAMES[..2]),
            self.random.pick(&[1, 7, 70, 71]),
        );
        let key = [name, format!("/{lease:x}").as_bytes()].concat().into();
        // Mostly the right revision, which the contest fills in: see `queues` beside `contest`.
        let rev = self.random.pick(&[-1, -1, -1, -1, 0, 2]);
        Some(el::LeaderKey {
            name: Bytes::from_static(name),
            key,
            rev,
            lease,
        })
    }
}
