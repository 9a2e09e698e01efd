//! Takes chance out of sorted answers: etcd sorts with Go's unstable sort, so the order among
//! equals is another with every release of Go, and so is the choice where a limit cuts through
//! them. Used where answers of etcd and Stoa are compared; Stoa's own are compared as they are.

use crate::client::pb;
use pb::range_request::SortTarget;

/// Brings a range's answer into the one form that all right answers share.
pub fn settle(request: &pb::RangeRequest, response: &mut pb::RangeResponse) {
    let target = request.sort_target();
    if target == SortTarget::Key {
        return;
    }
    let kvs = &mut response.kvs;
    if target == SortTarget::Value && request.keys_only {
        // What they were sorted by is not there to see.
        if response.more {
            kvs.fill(pb::KeyValue::default());
        }
        kvs.sort_by(|a, b| a.key.cmp(&b.key));
        return;
    }
    let rank = |kv: &pb::KeyValue| match target {
        SortTarget::Version => (kv.version, None),
        SortTarget::Create => (kv.create_revision, None),
        SortTarget::Mod => (kv.mod_revision, None),
        SortTarget::Key | SortTarget::Value => (0, Some(kv.value.clone())),
    };
    if response.more
        && let Some(last) = kvs.last().map(rank)
    {
        for kv in kvs.iter_mut().filter(|kv| rank(kv) == last) {
            kv.key.clear();
            (kv.create_revision, kv.mod_revision, kv.lease) = (0, 0, 0);
            if target != SortTarget::Value {
                kv.value.clear();
            }
            if target != SortTarget::Version {
                kv.version = 0;
            }
        }
    }
    // Equals stand together: only among themselves do they move.
    let mut begin = 0;
    while begin < kvs.len() {
        let first = rank(&kvs[begin]);
        let equal = kvs[begin..]
            .iter()
            .take_while(|kv| rank(kv) == first)
            .count()
            .max(1);
        kvs[begin..begin + equal].sort_by(|a, b| a.key.cmp(&b.key));
        begin += equal;
    }
}

/// The same for every range inside a transaction.
pub fn settle_txn(request: &pb::TxnRequest, response: &mut pb::TxnResponse) {
    use pb::request_op::Request;
    use pb::response_op::Response;
    let ops = match response.succeeded {
        true => &request.success,
        false => &request.failure,
    };
    for (op, response) in ops.iter().zip(&mut response.responses) {
        match (&op.request, &mut response.response) {
            (Some(Request::RequestRange(q)), Some(Response::ResponseRange(a))) => settle(q, a),
            (Some(Request::RequestTxn(q)), Some(Response::ResponseTxn(a))) => settle_txn(q, a),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
