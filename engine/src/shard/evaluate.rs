//! Operations against the head of one shard: compares, and what a list of operations would find
//! and change. Plain functions that change nothing: a page that is not in memory is named, the
//! caller loads it and asks again. Used by the shard for its own transactions and for its share
//! of those over several shards.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::env::Disk;
use crate::error::Error;
use crate::event::KeyValue;
use crate::format::effects::{Change, Put};
use crate::ids::ShardId;
use crate::keys::KeyRange;
use crate::mvcc::{PageId, Version};
use crate::shard::program::{FlatOp, PENDING, Part, Plan, Planned};
use crate::shard::range;
use crate::shard::request::{
    Compare, CompareResult, CompareTarget, DeleteRequest, PutRequest, RangeRequest, SortTarget,
};
use crate::shard::route;
use crate::shard::store::Store;

/// The newest state, staged versions included.
pub const HEAD: i64 = i64::MAX;

/// Why an evaluation did not finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// These pages have to be loaded first.
    Missing(Vec<PageId>),
    /// The request fails, at this operation, with this error.
    Refused(usize, Error),
}

/// What a compare found on one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No key of the range is here.
    Absent,
    /// All keys here satisfy it.
    Holds,
    /// One does not.
    Fails,
}

/// Joins what the shards found; a range without any key counts as one empty pair, as in etcd.
pub fn conclude(compare: &Compare, verdicts: impl Iterator<Item = Verdict>) -> bool {
    let mut found = false;
    for verdict in verdicts {
        match verdict {
            Verdict::Fails => return false,
            Verdict::Holds => found = true,
            Verdict::Absent => {}
        }
    }
    found
        || !matches!(compare.target, CompareTarget::Value(_))
            && satisfies(compare, &KeyValue::default())
}

/// The verdict on a compare over pairs that were read.
pub fn conclude_pairs(compare: &Compare, pairs: impl Iterator<Item = KeyValue>) -> bool {
    let verdicts = pairs.map(|kv| match satisfies(compare, &kv) {
        true => Verdict::Holds,
        false => Verdict::Fails,
    });
    conclude(compare, verdicts)
}

fn satisfies(compare: &Compare, kv: &KeyValue) -> bool {
    let order = match &compare.target {
        CompareTarget::Version(other) => kv.version.cmp(other),
        CompareTarget::Create(other) => kv.create_revision.cmp(other),
        CompareTarget::Mod(other) => kv.mod_revision.cmp(other),
        CompareTarget::Lease(other) => kv.lease.cmp(other),
        CompareTarget::Value(other) => kv.value.cmp(other),
        CompareTarget::Other => std::cmp::Ordering::Equal,
    };
    match compare.result {
        CompareResult::Equal => order.is_eq(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
        CompareResult::NotEqual => order.is_ne(),
        CompareResult::Other => true,
    }
}

/// One shard, being asked.
pub struct Evaluation<'a, D: Disk> {
    store: &'a Store<D>,
    shard: ShardId,
    shards: u16,
    missing: Vec<PageId>,
    /// What the transaction itself wrote so far, by key; `None` for deleted.
    own: BTreeMap<Bytes, Option<Put>>,
    /// Former values are wanted for watchers: their pages are loaded before anything changes.
    previous: bool,
}

impl<'a, D: Disk> Evaluation<'a, D> {
    /// Begins. With `previous` set the pages of former values count as missing, too.
    pub fn new(store: &'a Store<D>, shard: ShardId, shards: u16, previous: bool) -> Self {
        Self {
            store,
            shard,
            shards,
            missing: Vec::new(),
            own: BTreeMap::new(),
            previous,
        }
    }

    /// The verdicts of this shard on all compares.
    ///
    /// # Errors
    /// Pages are missing.
    pub fn compare(mut self, compares: &[Compare]) -> Result<Vec<Verdict>, Stop> {
        let verdicts = compares
            .iter()
            .map(|compare| self.verdict(compare))
            .collect();
        self.finish(verdicts)
    }

    fn verdict(&mut self, compare: &Compare) -> Verdict {
        let mut verdict = Verdict::Absent;
        let store = self.store;
        let wants_value = matches!(compare.target, CompareTarget::Value(_));
        let missing = &mut self.missing;
        store.index.scan(&compare.range, HEAD, |_, version| {
            let value = if wants_value {
                store.value(version, missing)
            } else {
                Bytes::new()
            };
            if satisfies(compare, &pair(Bytes::new(), version, value)) {
                verdict = Verdict::Holds;
                return ControlFlow::Continue(());
            }
            verdict = Verdict::Fails;
            ControlFlow::Break(())
        });
        verdict
    }

    /// What the operations would do here, each by its number. `current` is the revision the
    /// transaction begins at.
    ///
    /// # Errors
    /// Pages are missing, or an operation is refused.
    pub fn plan(mut self, ops: &[FlatOp]) -> Result<Plan, Stop> {
        let mut plan = Plan::default();
        for (number, op) in ops.iter().enumerate() {
            if let FlatOp::Put(put) = op {
                self.check_put(number, put)?;
            }
        }
        for (number, op) in ops.iter().enumerate() {
            match op {
                FlatOp::Range(request) if self.concerns(&request.range) => {
                    let part = self.range(request);
                    plan.parts.push((number, part));
                }
                FlatOp::Put(request) if self.owns(&request.key) => {
                    self.put(number, request, &mut plan)?;
                }
                FlatOp::Delete(request) if self.concerns(&request.range) => {
                    self.delete(number, request, &mut plan);
                }
                FlatOp::Range(_) | FlatOp::Put(_) | FlatOp::Delete(_) => {}
            }
        }
        self.finish(plan)
    }

    /// A revoked lease takes its keys with it, in key order, as one operation.
    pub fn plan_revoke(mut self, lease: i64) -> Result<Plan, Stop> {
        let mut plan = Plan::default();
        for key in self.store.attached_keys(lease) {
            self.note_previous(&key);
            let change = Change {
                sub: 0,
                key,
                put: None,
            };
            plan.changes.push(Planned { op: 0, change });
        }
        self.finish(plan)
    }

    fn finish<T>(self, found: T) -> Result<T, Stop> {
        if self.missing.is_empty() {
            Ok(found)
        } else {
            Err(Stop::Missing(self.missing))
        }
    }

    fn owns(&self, key: &[u8]) -> bool {
        route::shard_of(key, self.shards) == self.shard
    }

    fn concerns(&self, range: &KeyRange) -> bool {
        match range {
            KeyRange::One(key) => self.owns(key),
            KeyRange::Span(..) | KeyRange::From(_) => true,
        }
    }

    /// etcd's check before a transaction runs, against the state before it.
    fn check_put(&self, number: usize, put: &PutRequest) -> Result<(), Stop> {
        // The owner alone refuses: of two reasons it finds etcd's first one.
        if !self.owns(&put.key) {
            return Ok(());
        }
        if put.lease != 0 && !self.store.lease_exists(put.lease) {
            return Err(Stop::Refused(number, Error::LeaseNotFound));
        }
        let keeps = put.ignore_value || put.ignore_lease;
        if keeps && self.live(&put.key).is_none() {
            return Err(Stop::Refused(number, Error::KeyNotFound));
        }
        Ok(())
    }

    fn live(&self, key: &[u8]) -> Option<&'a Version> {
        self.store
            .index
            .newest(key)
            .filter(|version| !version.is_delete())
    }

    /// Marks the page of a key's present value as wanted where watchers want former states.
    fn note_previous(&mut self, key: &[u8]) {
        if self.previous
            && let Some(version) = self.live(key)
        {
            self.store.value(version, &mut self.missing);
        }
    }

    /// The state of a key as this transaction sees it.
    fn current(&mut self, key: &Bytes, with_value: bool) -> Option<KeyValue> {
        if let Some(own) = self.own.get(key) {
            return own.as_ref().map(|put| own_pair(key, put));
        }
        let version = self.live(key)?;
        let store = self.store;
        let value = if with_value {
            store.value(version, &mut self.missing)
        } else {
            Bytes::new()
        };
        Some(pair(key.clone(), version, value))
    }

    fn put(&mut self, op: usize, request: &PutRequest, plan: &mut Plan) -> Result<(), Stop> {
        let wants = request.prev_kv || request.ignore_value;
        let before = self.current(&request.key, wants);
        let keeps = request.ignore_value || request.ignore_lease;
        if keeps && before.is_none() {
            return Err(Stop::Refused(op, Error::KeyNotFound));
        }
        self.note_previous(&request.key);
        let kept = before.clone().unwrap_or_default();
        let put = Put {
            create_revision: before.as_ref().map_or(PENDING, |kv| kv.create_revision),
            version: kept.version + 1,
            lease: if request.ignore_lease {
                kept.lease
            } else {
                request.lease
            },
            value: if request.ignore_value {
                kept.value
            } else {
                request.value.clone()
            },
        };
        self.own.insert(request.key.clone(), Some(put.clone()));
        let change = Change {
            sub: 0,
            key: request.key.clone(),
            put: Some(put),
        };
        plan.changes.push(Planned { op, change });
        let prev = if request.prev_kv { before } else { None };
        plan.parts.push((op, Part::Put { prev }));
        Ok(())
    }

    fn delete(&mut self, op: usize, request: &DeleteRequest, plan: &mut Plan) {
        let found = self.collect(&request.range, HEAD, None, request.prev_kv);
        let deleted = found.len() as i64;
        for kv in &found {
            self.note_previous(&kv.key);
            self.own.insert(kv.key.clone(), None);
            let change = Change {
                sub: 0,
                key: kv.key.clone(),
                put: None,
            };
            plan.changes.push(Planned { op, change });
        }
        let prev = if request.prev_kv { found } else { Vec::new() };
        plan.parts.push((op, Part::Delete { prev, deleted }));
    }

    fn range(&mut self, request: &RangeRequest) -> Part {
        let at = if request.revision > 0 {
            request.revision
        } else {
            HEAD
        };
        let count = self.count(&request.range, at);
        if request.count_only {
            return Part::Range {
                kvs: Vec::new(),
                count,
            };
        }
        let with_value = !request.keys_only || request.target == SortTarget::Value;
        let limit = range::fetch_limit(request);
        Part::Range {
            kvs: self.collect(&request.range, at, limit, with_value),
            count,
        }
    }

    fn count(&self, range: &KeyRange, at: i64) -> i64 {
        let stored = self.store.index.count(range, at) as i64;
        if at != HEAD {
            return stored;
        }
        let own = self.own.iter().filter(|(key, _)| range.contains(key));
        stored
            + own
                .map(|(key, own)| i64::from(own.is_some()) - i64::from(self.live(key).is_some()))
                .sum::<i64>()
    }

    /// Pairs of the range at `at`, by key, the transaction's own writes in place where it reads
    /// the head.
    fn collect(
        &mut self,
        range: &KeyRange,
        at: i64,
        limit: Option<usize>,
        with_value: bool,
    ) -> Vec<KeyValue> {
        let limit = limit.unwrap_or(usize::MAX);
        let mut found: Vec<KeyValue> = Vec::new();
        let (store, own, missing) = (self.store, &self.own, &mut self.missing);
        let sees_own = at == HEAD && !own.is_empty();
        store.index.scan(range, at, |key, version| {
            if found.len() >= limit {
                return ControlFlow::Break(());
            }
            if !(sees_own && own.contains_key(&**key)) {
                let value = if with_value {
                    store.value(version, missing)
                } else {
                    Bytes::new()
                };
                found.push(pair(Bytes::copy_from_slice(key), version, value));
            }
            ControlFlow::Continue(())
        });
        if sees_own {
            let written = own.iter().filter(|(key, _)| range.contains(key));
            let pairs = written.filter_map(|(key, own)| Some(own_pair(key, own.as_ref()?)));
            found.extend(pairs);
            found.sort_by(|a, b| a.key.cmp(&b.key));
            found.truncate(limit);
        }
        found
    }
}

/// A stored version as a pair.
pub fn pair(key: Bytes, version: &Version, value: Bytes) -> KeyValue {
    KeyValue {
        key,
        value,
        create_revision: version.create_revision,
        mod_revision: version.revision.main,
        version: version.version,
        lease: version.lease,
    }
}

fn own_pair(key: &Bytes, put: &Put) -> KeyValue {
    KeyValue {
        key: key.clone(),
        value: put.value.clone(),
        create_revision: put.create_revision,
        mod_revision: PENDING,
        version: put.version,
        lease: put.lease,
    }
}
