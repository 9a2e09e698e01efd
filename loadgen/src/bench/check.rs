//! Checks what a server says: that what it acknowledged is there, and that watchers were told of
//! everything once, in order.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use proto::etcdserverpb as pb;

use crate::client::{Channel, Status};

/// Faults that are told one by one.
const TOLD_MAX: usize = 20;

/// Keys read at once at the end.
const READ_AT_ONCE: usize = 100;

/// What is known of a key.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The newest acknowledged change: its revision, and the value or that it is gone.
    acknowledged: Option<(i64, Option<Bytes>)>,
    /// Changes of which nothing is known: they failed on the way.
    unknown: Vec<Option<Bytes>>,
}

/// Collects what was acknowledged and compares.
#[derive(Default)]
pub(super) struct Check {
    on: bool,
    keys: RefCell<HashMap<Bytes, Known>>,
    faults: RefCell<Vec<String>>,
    count: Cell<u64>,
    checked: Cell<u64>,
    /// Revisions of this run's writes that watchers have to be told.
    revisions: RefCell<BTreeMap<i64, u32>>,
}

impl Check {
    pub fn new(on: bool) -> Check {
        Check {
            on,
            ..Check::default()
        }
    }

    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Something is wrong.
    pub fn fault(&self, text: String) {
        self.count.set(self.count.get() + 1);
        let mut faults = self.faults.borrow_mut();
        if faults.len() < TOLD_MAX {
            faults.push(text);
        }
    }

    /// How much was found, and the first of it in words; how many things were looked at.
    pub fn found(&self) -> (u64, Vec<String>, u64) {
        let told = self.faults.borrow().clone();
        (self.count.get(), told, self.checked.get())
    }

    /// A change of `key` was acknowledged at `revision`.
    pub fn acknowledged(&self, key: &Bytes, value: Option<&Bytes>, revision: i64) {
        if !self.on {
            return;
        }
        *self.revisions.borrow_mut().entry(revision).or_default() += 1;
        let mut keys = self.keys.borrow_mut();
        let known = keys.entry(key.clone()).or_default();
        if let Some((before, _)) = &known.acknowledged
            && *before >= revision
        {
            if *before == revision {
                self.fault(format!(
                    "two changes of {key:?} have the revision {revision}"
                ));
            }
            return;
        }
        known.acknowledged = Some((revision, value.cloned()));
    }

    /// A change of `key` may have been made, or not.
    pub fn unknown(&self, key: &Bytes, value: Option<&Bytes>) {
        if self.on {
            let mut keys = self.keys.borrow_mut();
            let known = keys.entry(key.clone()).or_default();
            known.unknown.push(value.cloned());
        }
    }

    /// What a client was told before must not be older than what it is told now.
    pub fn in_order(&self, before: &Cell<i64>, revision: i64) {
        if self.on && revision < before.replace(revision) {
            self.fault(format!("revision {revision} is told after a newer one"));
        }
    }

    /// Reads everything that was changed.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn read_back(&self, channel: &Channel) -> Result<(), Status> {
        let all: Vec<(Bytes, Known)> = self.keys.borrow().clone().into_iter().collect();
        for some in all.chunks(READ_AT_ONCE) {
            let read = |key: &Bytes| pb::RequestOp {
                request: Some(pb::request_op::Request::RequestRange(pb::RangeRequest {
                    key: key.clone(),
                    ..Default::default()
                })),
            };
            let txn = pb::TxnRequest {
                success: some.iter().map(|(key, _)| read(key)).collect(),
                ..Default::default()
            };
            let answer = channel.txn(&txn).await?;
            for ((key, known), response) in some.iter().zip(answer.responses) {
                let Some(pb::response_op::Response::ResponseRange(range)) = response.response
                else {
                    self.fault(format!("a read of {key:?} is answered by something else"));
                    continue;
                };
                self.compare(key, known, range.kvs.first());
            }
        }
        Ok(())
    }

    fn compare(&self, key: &Bytes, known: &Known, there: Option<&proto::mvccpb::KeyValue>) {
        self.checked.set(self.checked.get() + 1);
        let may = |value: Option<&Bytes>| known.unknown.iter().any(|u| u.as_ref() == value);
        match (&known.acknowledged, there) {
            (Some((revision, _)), Some(kv)) if kv.mod_revision < *revision => {
                let is = kv.mod_revision;
                self.fault(format!(
                    "{key:?} was changed at revision {revision}; what is there is from {is}"
                ));
            }
            (Some((revision, value)), Some(kv)) if kv.mod_revision == *revision => {
                if value.as_ref() != Some(&kv.value) {
                    self.fault(format!(
                        "{key:?} has another value than the one acknowledged"
                    ));
                }
            }
            (_, Some(kv)) => {
                if !may(Some(&kv.value)) {
                    let is = kv.mod_revision;
                    self.fault(format!(
                        "{key:?} has revision {is}, of which nobody was told"
                    ));
                }
            }
            (Some((revision, Some(_))), None) => {
                if !may(None) {
                    self.fault(format!(
                        "{key:?} was put at revision {revision} and is gone"
                    ));
                }
            }
            (_, None) => {}
        }
    }

    /// A watch over all keys was told of these revisions, in this order, from `from` on.
    pub fn watched(&self, told: &[i64], from: i64) {
        if !told.is_sorted() {
            self.fault("a watch is told of revisions out of order".to_owned());
        }
        let mut counts: BTreeMap<i64, u32> = BTreeMap::new();
        for revision in told {
            *counts.entry(*revision).or_default() += 1;
        }
        for (revision, changes) in self.revisions.borrow().range(from..) {
            self.checked.set(self.checked.get() + 1);
            let times = counts.get(revision).copied().unwrap_or(0);
            if times < *changes {
                self.fault(format!(
                    "revision {revision} was acknowledged with {changes} changes, a watch was told \
                     of {times}"
                ));
            }
        }
        // Each key is in a revision once.
        let twice = counts
            .iter()
            .filter(|(revision, times)| {
                let known = self.revisions.borrow().get(*revision).copied();
                known.is_some_and(|changes| **times > changes)
            })
            .count();
        if twice > 0 {
            self.fault(format!(
                "a watch was told of {twice} revisions more than once"
            ));
        }
    }

    /// The newest revision that was acknowledged.
    pub fn newest(&self) -> i64 {
        let revisions = self.revisions.borrow();
        revisions
            .last_key_value()
            .map_or(0, |(revision, _)| *revision)
    }
}
