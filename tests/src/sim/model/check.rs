//! What the model checks beyond the history itself: answers that changed nothing, watchers, and
//! leases.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine::event::{Event, KeyValue, Previous};

use super::{Look, Model, Watched};
use crate::sim::exec::{self, Exec};

impl Model {
    pub(super) fn check_look(&self, revision: i64, look: &Look) -> Result<(), String> {
        let state = self.state_at(revision);
        match look {
            Look::Range(request, reply) => exec::check_range(request, reply, &state)
                .map_err(|error| format!("{request:?}: {error}")),
            Look::Txn(request, reply) => {
                let mut exec = Exec::new(state, revision);
                exec.txn(request, Some(reply))
                    .map_err(|error| format!("{request:?}: {error}"))?;
                match exec.changes.as_slice() {
                    [] => Ok(()),
                    _ => Err(format!("{request:?} was answered as if it changed nothing")),
                }
            }
            Look::DeletedNothing(range) => match exec::within(&state, range).first() {
                None => Ok(()),
                Some(kv) => Err(format!("a delete of {range:?} did not find {:?}", kv.key)),
            },
        }
    }

    /// Every event in its range from its start on, once, in order.
    pub fn check_watched(&self, watched: &Watched) -> Result<(), String> {
        let want = self.events(&watched.range, watched.start, watched.through);
        let who = || format!("a watcher of {:?} from {}", watched.range, watched.start);
        for (got, want) in watched.events.iter().zip(&want) {
            if got.revision != want.revision || got.kv != want.kv || got.delete != want.delete {
                return Err(format!(
                    "{}: {:?}, not {:?}",
                    who(),
                    got.revision,
                    want.revision
                ));
            }
            if watched.prev_kv {
                self.check_previous(got)
                    .map_err(|error| format!("{}: {error}", who()))?;
            }
        }
        if watched.events.len() != want.len() {
            let (got, want, last) = (watched.events.len(), want.len(), watched.through);
            return Err(format!(
                "{}: {got} events through {last}, not {want}",
                who()
            ));
        }
        Ok(())
    }

    fn check_previous(&self, event: &Event) -> Result<(), String> {
        let before = self.versions.get(&event.kv.key).and_then(|versions| {
            let at = versions.partition_point(|(at, _)| *at < event.revision.main);
            versions[..at].last().cloned()
        });
        let compacted = before.as_ref().is_some_and(|(at, _)| *at < self.compacting);
        let want = before.and_then(|(_, kv)| kv);
        match (&event.prev, want) {
            (Previous::Known(got), Some(want)) if **got == want => Ok(()),
            (Previous::Absent, None) => Ok(()),
            // A put that creates has no former state; nobody looked for one.
            (Previous::Unknown, None) if event.kv.version == 1 => Ok(()),
            (Previous::Absent, Some(_)) if compacted => Ok(()),
            (got, want) => Err(format!("{:?}: prev {got:?}, not {want:?}", event.revision)),
        }
    }

    /// Compares the node's leases, and the keys that hang on each, with what was answered.
    pub fn check_leases(&mut self, found: &BTreeMap<i64, Vec<Bytes>>) -> Result<(), String> {
        for (id, lease) in &self.leases {
            let is_there = found.contains_key(id);
            let may_go = lease.may_be_gone || lease.ttl_s < 1000;
            if lease.granted && !may_go && !is_there {
                return Err(format!("lease {id} was granted and is lost"));
            }
            if lease.revoked && is_there {
                return Err(format!("lease {id} was revoked and is there"));
            }
        }
        for (id, keys) in found {
            if !self.leases.contains_key(id) {
                return Err(format!("nobody granted lease {id}"));
            }
            let of_lease = |kv: &&KeyValue| kv.lease == *id;
            let want: Vec<Bytes> = self
                .state
                .values()
                .filter(of_lease)
                .map(|kv| kv.key.clone())
                .collect();
            if *keys != want {
                return Err(format!("lease {id} has the keys {keys:?}, not {want:?}"));
            }
        }
        for kv in self.state.values() {
            if kv.lease != 0 && !found.contains_key(&kv.lease) {
                return Err(format!(
                    "{:?} hangs on lease {}, which is not",
                    kv.key, kv.lease
                ));
            }
        }
        for (id, lease) in &mut self.leases {
            // What was not answered by now never happened.
            lease.granted |= found.contains_key(id);
            lease.revoked |= !found.contains_key(id);
            lease.may_be_gone = lease.revoked;
        }
        Ok(())
    }
}
