//! What clients were told and shown, and the one history that must explain it: every revision is
//! one request, run as a whole on the state before it. Clients write it while the node lives;
//! `audit` closes it after each recovery.

mod check;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use engine::event::{Event, KeyValue};
use engine::keys::KeyRange;
use engine::shard::request::{
    DeleteReply, OpReply, PutReply, RangeReply, RangeRequest, TxnReply, TxnRequest,
};

use crate::sim::exec::{self, Change, Exec, State};
use crate::sim::workload::Request;

/// What a client was answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// To a put.
    Put(PutReply),
    /// To a delete.
    Delete(DeleteReply),
    /// To a transaction.
    Txn(TxnReply),
    /// To a revoke: the revision.
    Revoked(i64),
}

/// An answer that depends on one revision's state and changed nothing.
#[derive(Clone, Debug)]
enum Look {
    Range(RangeRequest, RangeReply),
    Txn(TxnRequest, TxnReply),
    DeletedNothing(KeyRange),
}

/// What is known of a lease.
#[derive(Clone, Copy, Debug, Default)]
struct Lease {
    /// The grant was answered.
    granted: bool,
    /// Something that may have ended it was begun, or its time may be over.
    may_be_gone: bool,
    /// The revoke was answered.
    revoked: bool,
    ttl_s: i64,
}

/// What one watcher saw.
#[derive(Debug)]
pub struct Watched {
    /// Its keys.
    pub range: KeyRange,
    /// Its first revision.
    pub start: i64,
    /// Whether former states were asked for.
    pub prev_kv: bool,
    /// What came.
    pub events: Vec<Event>,
    /// The highest revision seen in any of its responses.
    pub through: i64,
}

/// The model.
#[derive(Default)]
pub struct Model {
    /// Versions of every key: revision, and the state since; `None` for a delete.
    versions: BTreeMap<Bytes, Vec<(i64, Option<KeyValue>)>>,
    /// Every revision through this one is explained.
    verified: i64,
    state: State,
    shown: BTreeMap<i64, Vec<Event>>,
    shown_through: i64,
    acked: BTreeMap<i64, (Request, Reply)>,
    pending: BTreeMap<u64, Request>,
    next: u64,
    looks: Vec<(i64, Look)>,
    watched: Vec<Watched>,
    leases: BTreeMap<i64, Lease>,
    /// The highest revision any client was told or shown.
    promise: i64,
    compacted: i64,
    /// The highest compaction that was asked for.
    compacting: i64,
    /// Answers that a client got, in all.
    answers: u64,
}

impl Model {
    /// A store at revision 1 and nobody told anything.
    pub fn new() -> Self {
        Self {
            verified: 1,
            shown_through: 1,
            promise: 1,
            ..Self::default()
        }
    }

    /// A request goes out; what becomes of it is unknown until it is answered.
    pub fn begin(&mut self, request: &Request) -> u64 {
        match request {
            Request::Grant { id, ttl_s } => {
                let lease = Lease {
                    ttl_s: *ttl_s,
                    ..Lease::default()
                };
                self.leases.insert(*id, lease);
            }
            Request::Revoke(id) => self.lease_may_go(*id),
            _ => {}
        }
        self.next += 1;
        self.pending.insert(self.next, request.clone());
        self.next
    }

    /// It was answered, and nothing of it was done.
    pub fn refused(&mut self, number: u64) {
        self.pending.remove(&number);
    }

    /// A change was answered.
    pub fn changed(&mut self, number: u64, revision: i64, reply: Reply) -> Result<(), String> {
        let Some(request) = self.pending.remove(&number) else {
            return Err(format!("request {number} was answered twice"));
        };
        self.told(revision);
        if revision <= self.verified {
            return Err(format!(
                "{request:?} was given revision {revision}, long settled"
            ));
        }
        match self.acked.insert(revision, (request, reply)) {
            Some((other, _)) => Err(format!("revision {revision} was given twice, to {other:?}")),
            None => Ok(()),
        }
    }

    /// A delete was answered that found nothing.
    pub fn deleted_nothing(&mut self, number: u64, revision: i64, range: KeyRange) {
        self.pending.remove(&number);
        self.looked(revision, Look::DeletedNothing(range));
    }

    /// A transaction was answered; it may have changed nothing.
    pub fn ran(&mut self, number: u64, reply: TxnReply) -> Result<(), String> {
        if changes_something(&reply) {
            return self.changed(number, reply.revision, Reply::Txn(reply));
        }
        match self.pending.remove(&number) {
            Some(Request::Txn(request) | Request::ReadTxn(request)) => {
                self.looked(reply.revision, Look::Txn(request, reply));
                Ok(())
            }
            other => Err(format!("{other:?} was answered as a transaction")),
        }
    }

    /// A read was answered.
    pub fn read(&mut self, number: u64, request: RangeRequest, reply: RangeReply) {
        self.pending.remove(&number);
        let at = if request.revision > 0 {
            request.revision
        } else {
            reply.revision
        };
        self.told(reply.revision);
        self.looked(at, Look::Range(request, reply));
    }

    fn looked(&mut self, revision: i64, look: Look) {
        self.told(revision);
        self.looks.push((revision, look));
    }

    /// A lease was granted.
    pub fn granted(&mut self, number: u64, id: i64) {
        self.pending.remove(&number);
        self.answers += 1;
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.granted = true;
        }
    }

    /// A lease was revoked, its keys deleted under `revision`, if there were any.
    pub fn revoked(&mut self, number: u64, id: i64, revision: i64) {
        self.pending.remove(&number);
        self.told(revision);
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.revoked = true;
        }
    }

    /// Whatever the lease's end, it may come from now on.
    pub fn lease_may_go(&mut self, id: i64) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.may_be_gone = true;
        }
    }

    /// A compaction goes out.
    pub fn compacting(&mut self, revision: i64) {
        self.compacting = self.compacting.max(revision);
    }

    /// A compaction was answered.
    pub fn compacted(&mut self, number: u64, revision: i64) {
        self.pending.remove(&number);
        self.answers += 1;
        self.compacted = self.compacted.max(revision);
    }

    /// The observer, which watches everything, was shown events.
    pub fn show(&mut self, events: &[Event]) -> Result<(), String> {
        for event in events {
            let at = event.revision.main;
            if at < self.shown_through || at > self.shown_through + 1 {
                let through = self.shown_through;
                return Err(format!(
                    "an event of {at} was shown after those of {through}"
                ));
            }
            let of_revision = self.shown.entry(at).or_default();
            if event.revision.sub != of_revision.len() as i64 {
                return Err(format!("event {:?} was shown out of turn", event.revision));
            }
            of_revision.push(event.clone());
            self.shown_through = at;
            self.told(at);
        }
        Ok(())
    }

    /// What a watcher saw, to be looked at in the audit.
    pub fn watched(&mut self, watched: Watched) {
        self.watched.push(watched);
    }

    fn told(&mut self, revision: i64) {
        self.answers += 1;
        self.promise = self.promise.max(revision);
    }

    /// The highest revision any client was told or shown: reads begun now must see it.
    pub fn promise(&self) -> i64 {
        self.promise
    }

    /// Through which revision the observer was shown everything.
    pub fn shown_through(&self) -> i64 {
        self.shown_through
    }

    /// The highest compaction answered, and the highest asked for.
    pub fn compaction(&self) -> (i64, i64) {
        (self.compacted, self.compacting)
    }

    /// Leases that surely exist, or may.
    pub fn leases(&self) -> Vec<i64> {
        let alive = self.leases.iter().filter(|(_, lease)| !lease.revoked);
        alive.map(|(id, _)| *id).collect()
    }

    /// Answers that clients got.
    pub fn answers(&self) -> u64 {
        self.answers
    }

    /// The state at a revision that is explained.
    pub fn state_at(&self, revision: i64) -> State {
        let mut state = State::new();
        for (key, versions) in &self.versions {
            let after = versions.partition_point(|(at, _)| *at <= revision);
            if let Some(kv) = after.checked_sub(1).and_then(|at| versions[at].1.clone()) {
                state.insert(key.clone(), kv);
            }
        }
        state
    }

    /// The present state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The events of revisions from `first` through `last` in `range`.
    pub fn events(&self, range: &KeyRange, first: i64, last: i64) -> Vec<&Event> {
        self.shown
            .range(first.min(last + 1)..last + 1)
            .flat_map(|(_, events)| events)
            .filter(|event| range.contains(&event.kv.key))
            .collect()
    }

    /// Explains every revision through `settled`, the node's settled revision while nothing is
    /// asked of it; the observer has been shown all of it. With `crashed`, what was not answered
    /// by then will never happen.
    pub fn close(&mut self, settled: i64) -> Result<(), String> {
        if settled < self.promise {
            let promise = self.promise;
            return Err(format!(
                "revision {promise} was told or shown; {settled} is settled"
            ));
        }
        if self.shown_through != settled {
            let through = self.shown_through;
            return Err(format!(
                "{settled} is settled; a watcher was shown through {through}"
            ));
        }
        let mut ended: BTreeSet<u64> = BTreeSet::new();
        for revision in self.verified + 1..=settled {
            self.explain(revision, &mut ended)
                .map_err(|error| format!("revision {revision}: {error}"))?;
            self.verified = revision;
        }
        if let Some((revision, (request, _))) = self.acked.first_key_value() {
            return Err(format!("revision {revision} is lost: {request:?}"));
        }
        for (revision, look) in std::mem::take(&mut self.looks) {
            self.check_look(revision, &look)
                .map_err(|error| format!("at revision {revision}: {error}"))?;
        }
        for watched in std::mem::take(&mut self.watched) {
            self.check_watched(&watched)?;
        }
        self.pending.clear();
        Ok(())
    }

    fn explain(&mut self, revision: i64, ended: &mut BTreeSet<u64>) -> Result<(), String> {
        let events = self.shown.get(&revision).cloned().unwrap_or_default();
        if let Some((request, reply)) = self.acked.remove(&revision) {
            let exec = self.run(&request, revision, Some(&reply));
            let exec = exec.map_err(|error| format!("{request:?}: {error}"))?;
            let ran = self.matches(&exec.changes, &events, revision);
            ran.map_err(|error| format!("{request:?}: {error}"))?;
            self.take(exec, revision);
            return Ok(());
        }
        let pending = self
            .pending
            .iter()
            .filter(|(number, _)| !ended.contains(number));
        for (number, request) in pending {
            let Ok(exec) = self.run(request, revision, None) else {
                continue;
            };
            if !exec.changes.is_empty() && self.matches(&exec.changes, &events, revision).is_ok() {
                ended.insert(*number);
                self.take(exec, revision);
                return Ok(());
            }
        }
        for (id, lease) in &self.leases {
            if !lease.may_be_gone && lease.ttl_s > 1000 {
                continue;
            }
            let Ok(exec) = self.run(&Request::Revoke(*id), revision, None) else {
                continue;
            };
            if !exec.changes.is_empty() && self.matches(&exec.changes, &events, revision).is_ok() {
                self.take(exec, revision);
                return Ok(());
            }
        }
        let keys: Vec<_> = events
            .iter()
            .map(|event| (&event.kv.key, event.delete))
            .collect();
        Err(format!("nobody asked for what it did: {keys:?}"))
    }

    fn run(&self, request: &Request, revision: i64, reply: Option<&Reply>) -> Result<Exec, String> {
        let mut exec = Exec::new(self.state.clone(), revision);
        match (request, reply) {
            (Request::Put(put), reply) => {
                let want = exec.put(put);
                if let Some(Reply::Put(got)) = reply
                    && got.prev != want.prev
                {
                    return Err(format!("prev is {:?}, not {:?}", got.prev, want.prev));
                }
            }
            (Request::Delete(delete), reply) => {
                let want = exec.delete(delete);
                if let Some(Reply::Delete(got)) = reply {
                    exec::check_delete(got, &want)?;
                }
            }
            (Request::Txn(txn), Some(Reply::Txn(got))) => exec.txn(txn, Some(got))?,
            (Request::Txn(txn), _) => exec.txn(txn, None)?,
            (Request::Revoke(id), _) => exec.revoke(*id),
            _ => return Err("it changes no key".to_owned()),
        }
        Ok(exec)
    }

    /// Whether the events of a revision are these changes.
    fn matches(&self, changes: &[Change], events: &[Event], revision: i64) -> Result<(), String> {
        if changes.len() != events.len() {
            return Err(format!(
                "{} changes, {} events",
                changes.len(),
                events.len()
            ));
        }
        for ((key, after), event) in changes.iter().zip(events) {
            let want = after.clone().unwrap_or(KeyValue {
                key: key.clone(),
                mod_revision: revision,
                ..KeyValue::default()
            });
            if event.kv != want || event.delete != after.is_none() {
                return Err(format!("shown {event:?}, should be {want:?}"));
            }
        }
        Ok(())
    }

    fn take(&mut self, exec: Exec, revision: i64) {
        for (key, _) in exec.changes {
            let after = exec.state.get(&key).cloned();
            let versions = self.versions.entry(key).or_default();
            versions.retain(|(at, _)| *at != revision);
            versions.push((revision, after));
        }
        self.state = exec.state;
    }
}

fn changes_something(reply: &TxnReply) -> bool {
    reply.responses.iter().any(|reply| match reply {
        OpReply::Put(_) => true,
        OpReply::Delete(delete) => delete.deleted > 0,
        OpReply::Txn(txn) => changes_something(txn),
        OpReply::Range(_) => false,
    })
}

#[cfg(test)]
mod tests;
