//! A seeded random sequence of requests over all fields of the API, made to hit edges: few keys,
//! many transactions, revisions around now and around the compaction.

use bytes::Bytes;

use super::contest::Known;
use super::step::{Call, Step};
use super::watches::WATCH_STREAMS;
use crate::client::pb;
use crate::random::Random;

mod kv;
mod queues;
mod watch;

/// Makes the steps.
pub struct Script {
    pub(super) random: Random,
    /// Leave out what no old etcd can be asked (see `known`).
    pub(super) old_peer: bool,
    /// Steps until all servers are started again; 0: never.
    restart_every: u64,
    /// The script is in a stretch of elections and locks for so many more steps.
    stretch: u64,
}

impl Script {
    /// A script from a seed. `old_peer` leaves out what old etcds cannot be asked.
    #[must_use]
    pub fn new(seed: u64, old_peer: bool, restart_every: u64) -> Script {
        Script {
            random: Random(seed),
            old_peer,
            restart_every,
            stretch: 0,
        }
    }

    /// The next step.
    pub fn next(&mut self, known: Known) -> Step {
        if self.restart_every > 0 && self.random.one_in(self.restart_every) {
            return Step::Restart {
                kill: self.random.one_in(3),
            };
        }
        if self.stretch > 0 {
            self.stretch -= 1;
            if self.random.one_in(2) {
                return self.queue_step();
            }
        } else if self.random.one_in(400) {
            self.stretch = 60;
        }
        match self.random.below(1000) {
            0..=229 => Step::Call(Call::Put(self.put())),
            230..=419 => Step::Call(Call::Range(self.range(known))),
            420..=509 => Step::Call(Call::Delete(self.delete())),
            510..=739 => Step::Call(Call::Txn(self.whole_txn(known))),
            740..=754 => Step::Call(Call::Compact(self.compact(known))),
            755..=764 => Step::Call(self.bounded(known)),
            765..=774 => self.big(),
            775..=859 => self.lease_step(),
            860..=879 => self.maintenance(known),
            880..=919 => self.watch(known),
            920..=934 => {
                let stream = self.random.below(WATCH_STREAMS as u64) as usize;
                Step::Cancel(stream, self.watch_id())
            }
            935..=944 => Step::Progress(self.random.below(WATCH_STREAMS as u64) as usize),
            _ => Step::Settle,
        }
    }

    /// What ends a run: the history, as far as it is there, and hashes of it.
    pub fn last_steps(&mut self, known: Known) -> Vec<Step> {
        let all = known.compacted.max(1)..=known.revision;
        let every = ((known.revision - known.compacted) / 100 + 1) as usize;
        let whole = |revision| {
            Step::Call(Call::Range(pb::RangeRequest {
                key: Bytes::from_static(&[0]),
                range_end: Bytes::from_static(&[0]),
                revision,
                ..Default::default()
            }))
        };
        let hash = |revision| Step::Call(Call::HashKv(pb::HashKvRequest { revision }));
        let mut steps = vec![Step::Settle, Step::Call(Call::Leases(Default::default()))];
        steps.extend(all.clone().step_by(every).map(whole));
        steps.push(hash(0));
        steps.extend(all.step_by(every * 10).map(hash));
        steps
    }

    /// About forty keys, some each other's prefixes, some not text.
    pub(super) fn key(&mut self) -> Bytes {
        let letter = self.random.pick(b"abcdefg");
        match self.random.below(40) {
            0 => Bytes::new(),
            1 => Bytes::from_static(&[0]),
            2 => Bytes::from_static(&[0xff]),
            3 => Bytes::from_static(&[0xff, 0xff, 0x00]),
            4..=9 => Bytes::copy_from_slice(&[letter]),
            10..=12 => Bytes::copy_from_slice(&[letter, 0]),
            13..=15 => Bytes::copy_from_slice(&[letter, 0xff]),
            n => Bytes::copy_from_slice(&[letter, b'/', b'0' + (n % 5) as u8]),
        }
    }

    pub(super) fn end(&mut self, key: &Bytes) -> Bytes {
        match self.random.below(8) {
            0..=2 => Bytes::new(),
            3 => Bytes::from_static(&[0]),
            4 => prefix_end(key),
            5 => self.key(),
            6 => [key, &b"\0"[..]].concat().into(),
            _ => Bytes::from_static(b"zz"),
        }
    }

    pub(super) fn value(&mut self) -> Bytes {
        match self.random.below(20) {
            0..=1 => Bytes::new(),
            2 => vec![self.random.pick(b"pqrs"); 10_000].into(),
            3 => Bytes::copy_from_slice(&self.random.bits().to_be_bytes()),
            _ => format!("v{}", self.random.below(9)).into(),
        }
    }

    pub(super) fn lease(&mut self) -> i64 {
        let all = [0, 1, 7, 70, 71, 72, 1 << 40, i64::MAX, -5];
        let kept = if self.old_peer && self.restart_every > 0 {
            // Old releases forget the other ones when they start again.
            all.len() - 2
        } else {
            all.len()
        };
        self.random.pick(&all[..kept])
    }

    /// A revision near now, near the compaction, or anywhere.
    pub(super) fn revision(&mut self, known: Known) -> i64 {
        match self.random.below(14) {
            0 => -1,
            1 => known.revision,
            2 => known.revision + 1,
            3 => known.revision + 1000,
            4 => known.compacted,
            5 => known.compacted - 1,
            6 => known.compacted + 1,
            7 => known.revision - 1,
            8 => 1,
            9 => i64::MAX,
            10 => 0,
            _ => self.between(known),
        }
    }

    pub(super) fn between(&mut self, known: Known) -> i64 {
        let span = (known.revision - known.compacted).max(1);
        known.compacted + self.random.below(span.unsigned_abs()) as i64
    }

    fn lease_step(&mut self) -> Step {
        let id = self.lease();
        let keys = self.random.one_in(2);
        match self.random.below(17) {
            0..=5 => Step::Call(Call::Grant(self.grant())),
            6..=8 => Step::Call(Call::Revoke(pb::LeaseRevokeRequest { id })),
            9..=12 => Step::Call(Call::TimeToLive(pb::LeaseTimeToLiveRequest { id, keys })),
            13 => Step::Call(Call::Leases(pb::LeaseLeasesRequest {})),
            _ => Step::KeepAlive(id),
        }
    }

    fn grant(&mut self) -> pb::LeaseGrantRequest {
        // Times far above the script's length, or refused: no lease ends by itself.
        let most = 9_000_000_000;
        let times = [50_000, 60_000, 700_000, most - 1, most, most + 1, i64::MAX];
        let ttl = self.random.pick(&times);
        let mut id = self.lease();
        while id == 0 {
            id = self.lease();
        }
        pb::LeaseGrantRequest { ttl, id }
    }

    fn maintenance(&mut self, known: Known) -> Step {
        Step::Call(match self.random.below(20) {
            0..=1 => Call::Status(pb::StatusRequest {}),
            2..=3 => Call::Alarm(pb::AlarmRequest {
                alarm: self.random.below(3) as i32,
                ..Default::default()
            }),
            4 => Call::Defragment(pb::DefragmentRequest {}),
            5 => Call::Hash(pb::HashRequest {}),
            _ => Call::HashKv(pb::HashKvRequest {
                revision: self.revision(known),
            }),
        })
    }
}

/// The end of the range of all keys that begin with `key`.
fn prefix_end(key: &[u8]) -> Bytes {
    let mut end = key.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(&[0])
}
