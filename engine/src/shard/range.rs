//! Answers to ranges: sorting, filtering and cutting as etcd does (`server/etcdserver/txn`), and
//! the wire form.

use bytes::Bytes;

use crate::event::KeyValue;
use crate::format::kv_wire::KvFields;
use crate::shard::program::{self, Part};
use crate::shard::request::{Order, RangeReply, RangeRequest, SortTarget};

/// Joins what several shards found, in key order.
pub fn gather(parts: Vec<Part>, pending: i64) -> (Vec<KeyValue>, i64) {
    let mut kvs = Vec::new();
    let mut total = 0;
    for part in parts {
        if let Part::Range {
            kvs: mut found,
            count,
        } = part
        {
            kvs.append(&mut found);
            total += count;
        }
    }
    kvs.sort_by(|a, b| a.key.cmp(&b.key));
    let kvs = kvs
        .into_iter()
        .map(|kv| program::settle(kv, pending))
        .collect();
    (kvs, total)
}

/// How many pairs to read before sorting and filtering; `None` for all.
pub fn fetch_limit(request: &RangeRequest) -> Option<usize> {
    (request.limit > 0 && !request.reads_all()).then(|| (request.limit as usize).saturating_add(1))
}

/// Makes the answer of pairs in key order: the fetch limit, filters, sort, cut, wire form.
pub fn finish(
    request: &RangeRequest,
    mut kvs: Vec<KeyValue>,
    count: i64,
    revision: i64,
) -> RangeReply {
    let mut reply = RangeReply {
        revision,
        count,
        ..RangeReply::default()
    };
    if request.count_only {
        return reply;
    }
    if let Some(limit) = fetch_limit(request) {
        kvs.truncate(limit);
    }
    filter(request, &mut kvs);
    sort(request, &mut kvs);
    if request.limit > 0 && kvs.len() as u64 > request.limit as u64 {
        kvs.truncate(request.limit as usize);
        reply.more = true;
    }
    reply.len = kvs.len();
    reply.kvs = encode(&kvs, request.keys_only);
    reply
}

fn filter(request: &RangeRequest, kvs: &mut Vec<KeyValue>) {
    let within =
        |value: i64, min: i64, max: i64| (min == 0 || value >= min) && (max == 0 || value <= max);
    if request.is_filtered() {
        kvs.retain(|kv| {
            within(
                kv.mod_revision,
                request.min_mod_revision,
                request.max_mod_revision,
            ) && within(
                kv.create_revision,
                request.min_create_revision,
                request.max_create_revision,
            )
        });
    }
}

fn sort(request: &RangeRequest, kvs: &mut [KeyValue]) {
    let order = match (request.order, request.target) {
        (None, SortTarget::Key) => return,
        (None, _) => Order::Ascend,
        (Some(order), _) => order,
    };
    let compare = |a: &KeyValue, b: &KeyValue| match request.target {
        SortTarget::Key => a.key.cmp(&b.key),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    };
    match order {
        Order::Ascend => kvs.sort_by(compare),
        Order::Descend => kvs.sort_by(|a, b| compare(b, a)),
    }
}

/// Pairs as field 2 of `RangeResponse`, repeated.
pub fn encode(kvs: &[KeyValue], keys_only: bool) -> Vec<Bytes> {
    if kvs.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::new();
    for kv in kvs {
        let fields = KvFields {
            key: &kv.key,
            create_revision: kv.create_revision,
            mod_revision: kv.mod_revision,
            version: kv.version,
            value: if keys_only { &[] } else { &kv.value },
            lease: kv.lease,
        };
        fields.write_entry(&mut out);
    }
    vec![out.into()]
}

#[cfg(test)]
mod tests;
