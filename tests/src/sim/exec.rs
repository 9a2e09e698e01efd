//! Requests on a plain map, one after the other: what etcd's rules say each does. `model` runs the
//! history through it and compares.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine::event::KeyValue;
use engine::format::kv_wire::KvFields;
use engine::keys::KeyRange;
use engine::shard::request::{
    Compare, CompareResult, CompareTarget, DeleteReply, DeleteRequest, Op as TxnOp, OpReply,
    PutReply, PutRequest, RangeReply, RangeRequest, TxnReply, TxnRequest,
};

/// The keys at one revision.
pub type State = BTreeMap<Bytes, KeyValue>;

/// One change of one key: the state after it, `None` for a delete.
pub type Change = (Bytes, Option<KeyValue>);

/// A transaction being run: the state so far and what changed, under one revision.
pub struct Exec {
    /// The state, changed in place.
    pub state: State,
    /// What changed, in order.
    pub changes: Vec<Change>,
    revision: i64,
}

impl Exec {
    /// To run one request on `state`, under `revision`.
    pub fn new(state: State, revision: i64) -> Self {
        Self {
            state,
            changes: Vec::new(),
            revision,
        }
    }

    /// A put.
    pub fn put(&mut self, request: &PutRequest) -> PutReply {
        let before = self.state.get(&request.key).cloned();
        let kv = KeyValue {
            key: request.key.clone(),
            value: request.value.clone(),
            create_revision: before
                .as_ref()
                .map_or(self.revision, |kv| kv.create_revision),
            mod_revision: self.revision,
            version: before.as_ref().map_or(1, |kv| kv.version + 1),
            lease: request.lease,
        };
        self.state.insert(kv.key.clone(), kv.clone());
        self.changes.push((kv.key.clone(), Some(kv)));
        PutReply {
            revision: self.revision,
            prev: before.filter(|_| request.prev_kv),
        }
    }

    /// A delete.
    pub fn delete(&mut self, request: &DeleteRequest) -> DeleteReply {
        let gone = within(&self.state, &request.range);
        for kv in &gone {
            self.state.remove(&kv.key);
            self.changes.push((kv.key.clone(), None));
        }
        DeleteReply {
            revision: self.revision,
            deleted: gone.len() as i64,
            prev: if request.prev_kv { gone } else { Vec::new() },
        }
    }

    /// The end of a lease: its keys go.
    pub fn revoke(&mut self, lease: i64) {
        let of_lease = |kv: &&KeyValue| kv.lease == lease;
        let gone: Vec<Bytes> = self
            .state
            .values()
            .filter(of_lease)
            .map(|kv| kv.key.clone())
            .collect();
        for key in gone {
            self.state.remove(&key);
            self.changes.push((key, None));
        }
    }

    /// A transaction: all compares, those inside too, look at the state before it. `same` says
    /// whether the answers are those that the client got.
    pub fn txn(&mut self, request: &TxnRequest, reply: Option<&TxnReply>) -> Result<(), String> {
        let before = self.state.clone();
        self.branch(request, &before, reply)
    }

    fn branch(
        &mut self,
        request: &TxnRequest,
        before: &State,
        reply: Option<&TxnReply>,
    ) -> Result<(), String> {
        let holds = request
            .compare
            .iter()
            .all(|compare| verdict(compare, before));
        let ops = if holds {
            &request.success
        } else {
            &request.failure
        };
        if let Some(reply) = reply {
            if reply.succeeded != holds {
                return Err(format!("succeeded is {}", reply.succeeded));
            }
            if reply.responses.len() != ops.len() {
                return Err(format!(
                    "{} answers to {} operations",
                    reply.responses.len(),
                    ops.len()
                ));
            }
        }
        for (number, op) in ops.iter().enumerate() {
            let got = reply.and_then(|reply| reply.responses.get(number));
            self.op(op, before, got)
                .map_err(|error| format!("operation {number}: {error}"))?;
        }
        Ok(())
    }

    fn op(&mut self, op: &TxnOp, before: &State, got: Option<&OpReply>) -> Result<(), String> {
        match (op, got) {
            (TxnOp::Put(request), got) => {
                let want = self.put(request);
                match got {
                    None => Ok(()),
                    Some(OpReply::Put(got)) => same("prev", &got.prev, &want.prev),
                    Some(_) => Err("not the answer to a put".to_owned()),
                }
            }
            (TxnOp::Delete { request, .. }, got) => {
                let want = self.delete(request);
                match got {
                    None => Ok(()),
                    Some(OpReply::Delete(got)) => check_delete(got, &want),
                    Some(_) => Err("not the answer to a delete".to_owned()),
                }
            }
            (TxnOp::Range(request), Some(OpReply::Range(got))) => {
                check_range(request, got, &self.state)
            }
            (TxnOp::Txn(inner), Some(OpReply::Txn(got))) => self.branch(inner, before, Some(got)),
            (TxnOp::Txn(inner), None) => self.branch(inner, before, None),
            (TxnOp::Range(_) | TxnOp::Refused(_), None) => Ok(()),
            (_, Some(_)) => Err("an answer of the wrong kind".to_owned()),
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, want: &T) -> Result<(), String> {
    if got == want {
        return Ok(());
    }
    Err(format!("{what} is {got:?}, not {want:?}"))
}

/// The pairs of a range, by key.
pub fn within(state: &State, range: &KeyRange) -> Vec<KeyValue> {
    state
        .values()
        .filter(|kv| range.contains(&kv.key))
        .cloned()
        .collect()
}

/// Compares a delete's answer.
pub fn check_delete(got: &DeleteReply, want: &DeleteReply) -> Result<(), String> {
    same("deleted", &got.deleted, &want.deleted)?;
    same("prev", &got.prev, &want.prev)
}

/// Compares a range's answer with the state it was read from.
pub fn check_range(request: &RangeRequest, got: &RangeReply, state: &State) -> Result<(), String> {
    let all = within(state, &request.range);
    same("count", &got.count, &(all.len() as i64))?;
    let limit = if request.limit > 0 {
        request.limit as usize
    } else {
        usize::MAX
    };
    same("more", &got.more, &(all.len() > limit))?;
    let pairs = decode(got)?;
    let want: Vec<KeyValue> = all.into_iter().take(limit).collect();
    if pairs != want {
        let text = |pairs: &[KeyValue]| {
            let all = pairs
                .iter()
                .map(|kv| format!("{:?}@{}", kv.key, kv.mod_revision));
            all.collect::<Vec<_>>().join(" ")
        };
        return Err(format!("pairs are {}, not {}", text(&pairs), text(&want)));
    }
    Ok(())
}

/// The pairs of an answer.
fn decode(reply: &RangeReply) -> Result<Vec<KeyValue>, String> {
    let mut pairs = Vec::new();
    for piece in &reply.kvs {
        let mut rest = piece.as_ref();
        while !rest.is_empty() {
            let bad = || "an entry cannot be read".to_owned();
            let len = entry_len(rest).ok_or_else(bad)?;
            let (entry, behind) = rest.split_at_checked(len).ok_or_else(bad)?;
            let fields = KvFields::read_entry(entry).ok_or_else(bad)?;
            pairs.push(KeyValue {
                key: Bytes::copy_from_slice(fields.key),
                value: Bytes::copy_from_slice(fields.value),
                create_revision: fields.create_revision,
                mod_revision: fields.mod_revision,
                version: fields.version,
                lease: fields.lease,
            });
            rest = behind;
        }
    }
    Ok(pairs)
}

/// Bytes of the first entry: one of tag, a varint, and as many as that says.
fn entry_len(bytes: &[u8]) -> Option<usize> {
    let mut len = 0;
    for (at, byte) in bytes.get(1..)?.iter().enumerate().take(5) {
        len |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(2 + at + len);
        }
    }
    None
}

fn verdict(compare: &Compare, state: &State) -> bool {
    let found = within(state, &compare.range);
    if found.is_empty() {
        if matches!(compare.target, CompareTarget::Value(_)) {
            return false;
        }
        return relation(compare, &KeyValue::default());
    }
    found.iter().all(|kv| relation(compare, kv))
}

fn relation(compare: &Compare, kv: &KeyValue) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let ordering = match &compare.target {
        CompareTarget::Version(version) => kv.version.cmp(version),
        CompareTarget::Create(revision) => kv.create_revision.cmp(revision),
        CompareTarget::Mod(revision) => kv.mod_revision.cmp(revision),
        CompareTarget::Value(value) => kv.value.cmp(value),
        CompareTarget::Lease(lease) => kv.lease.cmp(lease),
        CompareTarget::Other => Equal,
    };
    match compare.result {
        CompareResult::Equal => ordering == Equal,
        CompareResult::NotEqual => ordering != Equal,
        CompareResult::Greater => ordering == Greater,
        CompareResult::Less => ordering == Less,
        CompareResult::Other => true,
    }
}
