//! A transaction taken apart: its compares in one list, the branch they choose as one list of
//! operations, and the answer put together again. Knows nothing of shards; used for one shard
//! and for many alike.

use crate::event::KeyValue;
use crate::format::effects::Change;
use crate::shard::range;
use crate::shard::request::{
    Compare, DeleteReply, DeleteRequest, Op, OpReply, PutReply, PutRequest, RangeRequest, TxnReply,
    TxnRequest,
};

/// Stands for the revision of the transaction itself until that is known.
pub const PENDING: i64 = i64::MAX;

/// One operation of the chosen branch, transactions inside dissolved.
#[derive(Clone, Debug)]
pub enum FlatOp {
    /// A read.
    Range(RangeRequest),
    /// A write.
    Put(PutRequest),
    /// A delete.
    Delete(DeleteRequest),
}

/// What one operation found on one shard.
#[derive(Clone, Debug)]
pub enum Part {
    /// Pairs in key order, cut at the limit and one more; all keys counted.
    Range {
        /// The pairs.
        kvs: Vec<KeyValue>,
        /// Keys in the range.
        count: i64,
    },
    /// The former state.
    Put {
        /// The pair, where asked for and present.
        prev: Option<KeyValue>,
    },
    /// The former states.
    Delete {
        /// By key, where asked for.
        prev: Vec<KeyValue>,
        /// Keys deleted.
        deleted: i64,
    },
}

/// A change that a shard would make, and the operation it belongs to.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Number of the flat operation.
    pub op: usize,
    /// The change; its `sub` is given later, and a create revision of [`PENDING`] is replaced.
    pub change: Change,
}

/// What the operations would do on one shard. Nothing is changed yet.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What each operation found, by its number.
    pub parts: Vec<(usize, Part)>,
    /// What would change, in order of execution and key.
    pub changes: Vec<Planned>,
}

/// The branch that runs, as a tree that keeps the shape of the answer.
#[derive(Clone, Debug)]
pub struct Branch {
    succeeded: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Flat(usize),
    Txn(Branch),
}

/// All compares of a transaction and of those inside, in the order that [`decide`] wants the
/// verdicts in.
pub fn compares(txn: &TxnRequest) -> Vec<Compare> {
    fn walk(txn: &TxnRequest, out: &mut Vec<Compare>) {
        out.extend(txn.compare.iter().cloned());
        for op in txn.success.iter().chain(&txn.failure) {
            if let Op::Txn(inner) = op {
                walk(inner, out);
            }
        }
    }
    let mut out = Vec::new();
    walk(txn, &mut out);
    out
}

/// Chooses the branches by the verdicts on [`compares`], all seen before anything ran.
pub fn decide(txn: TxnRequest, verdicts: &[bool]) -> (Branch, Vec<FlatOp>) {
    let mut flat = Vec::new();
    let mut verdicts = verdicts.iter().copied();
    let branch = walk(txn, &mut verdicts, Some(&mut flat));
    (branch, flat)
}

fn walk(
    txn: TxnRequest,
    verdicts: &mut impl Iterator<Item = bool>,
    mut flat: Option<&mut Vec<FlatOp>>,
) -> Branch {
    let mut succeeded = true;
    for _ in &txn.compare {
        succeeded &= verdicts.next().unwrap_or(false);
    }
    let mut steps = Vec::new();
    for (ops, runs) in [(txn.success, succeeded), (txn.failure, !succeeded)] {
        for op in ops {
            let mut flat = if runs { flat.as_deref_mut() } else { None };
            if let Op::Txn(inner) = op {
                // A branch that does not run is walked all the same: its verdicts are in the list.
                let branch = walk(*inner, verdicts, flat);
                if runs {
                    steps.push(Step::Txn(branch));
                }
            } else if let Some(flat) = flat.as_mut()
                && let Some(op) = flatten(op)
            {
                steps.push(Step::Flat(flat.len()));
                flat.push(op);
            }
        }
    }
    Branch { succeeded, steps }
}

fn flatten(op: Op) -> Option<FlatOp> {
    match op {
        Op::Range(request) => Some(FlatOp::Range(request)),
        Op::Put(request) => Some(FlatOp::Put(request)),
        Op::Delete { request, .. } => Some(FlatOp::Delete(request)),
        Op::Txn(_) | Op::Refused(_) => None,
    }
}

/// Whether the transaction writes nothing whatever its compares say, so that it can be answered
/// as a read. A transaction inside counts as a write, as in etcd.
pub fn is_read_only(txn: &TxnRequest) -> bool {
    txn.success
        .iter()
        .chain(&txn.failure)
        .all(|op| matches!(op, Op::Range(_)))
}

/// Whether it is read only and every read in it is content with settled state.
pub fn is_serializable(txn: &TxnRequest) -> bool {
    let serializable = |op: &Op| matches!(op, Op::Range(request) if request.serializable);
    txn.success.iter().chain(&txn.failure).all(serializable)
}

/// Builds the answer. `parts` are those of all shards, in order of the operation; `revision` is
/// the transaction's own, or the store's where nothing changed.
pub fn assemble(
    branch: &Branch,
    flat: &[FlatOp],
    parts: Vec<Vec<Part>>,
    changes: &[usize],
    revision: i64,
) -> TxnReply {
    let changed = !changes.is_empty();
    let begin = if changed { revision - 1 } else { revision };
    let mut replies: Vec<Option<OpReply>> = Vec::with_capacity(flat.len());
    for (number, (op, parts)) in flat.iter().zip(parts).enumerate() {
        // What ran up to and with this operation decides the revision its own header shows.
        let before = changes.iter().any(|op| *op < number);
        let so_far = changes.iter().any(|op| *op <= number);
        let at = |changed: bool| begin + i64::from(changed);
        replies.push(Some(match op {
            FlatOp::Range(request) => {
                let (kvs, count) = range::gather(parts, revision);
                OpReply::Range(range::finish(request, kvs, count, at(before)))
            }
            FlatOp::Put(_) => OpReply::Put(put_reply(parts, at(so_far), revision)),
            FlatOp::Delete(_) => OpReply::Delete(delete_reply(parts, at(so_far), revision)),
        }));
    }
    let mut reply = shape(branch, &mut replies);
    reply.revision = revision;
    reply
}

fn shape(branch: &Branch, replies: &mut [Option<OpReply>]) -> TxnReply {
    let take = |step: &Step, replies: &mut [Option<OpReply>]| match step {
        Step::Flat(number) => replies[*number].take(),
        Step::Txn(inner) => Some(OpReply::Txn(shape(inner, replies))),
    };
    let responses = branch
        .steps
        .iter()
        .filter_map(|step| take(step, replies))
        .collect();
    TxnReply {
        revision: 0,
        succeeded: branch.succeeded,
        responses,
    }
}

/// The answer to a put of one shard.
pub fn put_reply(parts: Vec<Part>, revision: i64, pending: i64) -> PutReply {
    let prev = parts.into_iter().find_map(|part| match part {
        Part::Put { prev } => prev,
        Part::Range { .. } | Part::Delete { .. } => None,
    });
    PutReply {
        revision,
        prev: prev.map(|kv| settle(kv, pending)),
    }
}

/// The answer to a delete over several shards.
pub fn delete_reply(parts: Vec<Part>, revision: i64, pending: i64) -> DeleteReply {
    let mut reply = DeleteReply {
        revision,
        ..DeleteReply::default()
    };
    for part in parts {
        if let Part::Delete { prev, deleted } = part {
            reply.deleted += deleted;
            reply
                .prev
                .extend(prev.into_iter().map(|kv| settle(kv, pending)));
        }
    }
    reply.prev.sort_by(|a, b| a.key.cmp(&b.key));
    reply
}

/// Replaces [`PENDING`] in a pair that the transaction itself wrote.
pub fn settle(mut kv: KeyValue, revision: i64) -> KeyValue {
    if kv.mod_revision == PENDING {
        kv.mod_revision = revision;
    }
    if kv.create_revision == PENDING {
        kv.create_revision = revision;
    }
    kv
}

/// Numbers the changes of all shards as etcd does: by operation, inside a delete by key.
/// `plans` are changed in place; the subs and pending create revisions are filled in.
pub fn number(plans: &mut [&mut Plan], revision: i64) {
    let mut all: Vec<(usize, bytes::Bytes, usize, usize)> = Vec::new();
    for (shard, plan) in plans.iter().enumerate() {
        for (at, planned) in plan.changes.iter().enumerate() {
            all.push((planned.op, planned.change.key.clone(), shard, at));
        }
    }
    all.sort();
    for (sub, (_, _, shard, at)) in all.into_iter().enumerate() {
        let change = &mut plans[shard].changes[at].change;
        change.sub = sub as u32;
        if let Some(put) = &mut change.put
            && put.create_revision == PENDING
        {
            put.create_revision = revision;
        }
    }
}

/// Sorts parts by their operation.
pub fn group_parts(ops: usize, parts: Vec<(usize, Part)>) -> Vec<Vec<Part>> {
    let mut grouped: Vec<Vec<Part>> = (0..ops).map(|_| Vec::new()).collect();
    for (op, part) in parts {
        grouped[op].push(part);
    }
    grouped
}
