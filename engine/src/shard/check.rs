//! etcd's checks of a request before it is evaluated (`server/etcdserver/api/v3rpc/key.go`).

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::error::Error;
use crate::keys::KeyRange;
use crate::shard::request::{DeleteRequest, Op, PutRequest, RangeRequest, TxnRequest};

/// Checks a range request.
///
/// # Errors
/// The key is empty.
pub fn range(request: &RangeRequest) -> Result<(), Error> {
    if is_empty_key(&request.range) {
        Err(Error::EmptyKey)
    } else {
        Ok(())
    }
}

/// Checks a put request.
///
/// # Errors
/// The key is empty, or a value or lease stands beside the wish to keep it.
pub fn put(request: &PutRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(Error::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Error::LeaseProvided);
    }
    Ok(())
}

/// Cost of a put beside key and value, as etcd counts it against the quota, bytes.
const PUT_COST_BYTES: usize = 256;

/// Cost of a lease against the quota, bytes.
pub const LEASE_COST_BYTES: u64 = 64;

/// What a put costs against the quota, bytes (`server/storage/quota.go`).
pub fn put_cost(request: &PutRequest) -> u64 {
    (PUT_COST_BYTES + request.key.len() + request.value.len()) as u64
}

/// What a transaction costs: the dearer of its branches, and nothing for transactions inside, as
/// in etcd.
pub fn txn_cost(request: &TxnRequest) -> u64 {
    let cost = |ops: &[Op]| -> u64 {
        let puts = ops.iter().map(|op| match op {
            Op::Put(put) => put_cost(put),
            _ => 0,
        });
        puts.sum()
    };
    cost(&request.success).max(cost(&request.failure))
}

/// Checks a delete request.
///
/// # Errors
/// The key is empty.
pub fn delete(request: &DeleteRequest) -> Result<(), Error> {
    if is_empty_key(&request.range) {
        Err(Error::EmptyKey)
    } else {
        Ok(())
    }
}

/// Checks a transaction: sizes, every operation, and keys written twice.
///
/// # Errors
/// As etcd's, in etcd's order.
pub fn txn(request: &TxnRequest, ops_max: usize) -> Result<(), Error> {
    txn_ops(request, ops_max as i64)?;
    intervals(&request.success)?;
    intervals(&request.failure)?;
    Ok(())
}

/// Nested transactions share a budget that shrinks by the longest list on the way down.
fn txn_ops(request: &TxnRequest, ops_max: i64) -> Result<(), Error> {
    let longest = request
        .compare
        .len()
        .max(request.success.len())
        .max(request.failure.len());
    if longest as i64 > ops_max {
        return Err(Error::TooManyOps);
    }
    if request
        .compare
        .iter()
        .any(|compare| is_empty_key(&compare.range))
    {
        return Err(Error::EmptyKey);
    }
    for op in request.success.iter().chain(&request.failure) {
        match op {
            Op::Range(request) => range(request)?,
            Op::Put(request) => put(request)?,
            Op::Delete { request, .. } => delete(request)?,
            Op::Txn(inner) => txn_ops(inner, ops_max - longest as i64)?,
            Op::Refused(error) => return Err(error.clone()),
        }
    }
    Ok(())
}

fn is_empty_key(range: &KeyRange) -> bool {
    range.start().is_empty()
}

/// Deleted intervals as etcd compares them: by the bytes sent, a range end of `\0` included. An
/// empty end stands for the one key.
type Deletes = Vec<(Bytes, Bytes)>;

/// The keys put and the intervals deleted in one branch with all its children.
fn intervals(ops: &[Op]) -> Result<(BTreeSet<Bytes>, Deletes), Error> {
    let mut deletes: Deletes = Vec::new();
    for op in ops {
        if let Op::Delete { request, raw_end } = op {
            deletes.push((request.range.start().clone(), raw_end.clone()));
        }
    }
    let mut puts = BTreeSet::new();
    for op in ops {
        if let Op::Txn(inner) = op {
            children(inner, &mut puts, &mut deletes)?;
        }
    }
    for op in ops {
        if let Op::Put(put) = op
            && (hits(&deletes, &put.key) || !puts.insert(put.key.clone()))
        {
            return Err(Error::DuplicateKey);
        }
    }
    Ok((puts, deletes))
}

/// Only one of a child's branches runs, so a key may stand in both of them.
fn children(
    inner: &TxnRequest,
    puts: &mut BTreeSet<Bytes>,
    deletes: &mut Deletes,
) -> Result<(), Error> {
    let (then_puts, then_deletes) = intervals(&inner.success)?;
    let (else_puts, else_deletes) = intervals(&inner.failure)?;
    for key in &then_puts {
        if hits(deletes, key) || puts.contains(key) {
            return Err(Error::DuplicateKey);
        }
    }
    for key in &else_puts {
        if hits(deletes, key) || puts.contains(key) {
            return Err(Error::DuplicateKey);
        }
    }
    puts.extend(then_puts);
    puts.extend(else_puts);
    // Only for what comes after: what the child deletes and puts was compared in its branches.
    deletes.extend(then_deletes);
    deletes.extend(else_deletes);
    Ok(())
}

/// An interval whose end is not above its start holds nothing, as in etcd's tree: not even its
/// start. Such is every open one, whose end was sent as `\0`.
fn hits(deletes: &Deletes, key: &Bytes) -> bool {
    deletes.iter().any(|(start, end)| {
        if end.is_empty() {
            start == key
        } else {
            start <= key && key < end
        }
    })
}

#[cfg(test)]
mod tests;
