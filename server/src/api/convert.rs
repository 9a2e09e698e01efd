//! etcd's request messages as the engine's requests. The services of this directory and the JSON
//! gateway use it. Checks that depend on the message's form are here; the engine makes the rest.

use bytes::Bytes;
use engine::error::Error;
use engine::keys::KeyRange;
use engine::shard::request::{
    Compare, CompareResult, CompareTarget, DeleteRequest, Op, Order, PutRequest, RangeRequest,
    SortTarget, TxnRequest,
};
use engine::watch::{CreateRequest, Filters};
use proto::etcdserverpb as pb;
use proto::etcdserverpb::range_request::{SortOrder as PbOrder, SortTarget as PbTarget};
use proto::etcdserverpb::watch_create_request::FilterType;

/// A range request.
///
/// # Errors
/// The key is empty, or the sort order or target is outside its enumeration.
pub fn range(request: pb::RangeRequest) -> Result<RangeRequest, Error> {
    // etcd looks at the key before it looks at the order.
    if request.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    let order = match PbOrder::try_from(request.sort_order) {
        Ok(PbOrder::None) => None,
        Ok(PbOrder::Ascend) => Some(Order::Ascend),
        Ok(PbOrder::Descend) => Some(Order::Descend),
        Err(_) => return Err(Error::InvalidSortOption),
    };
    let target = match PbTarget::try_from(request.sort_target) {
        Ok(PbTarget::Key) => SortTarget::Key,
        Ok(PbTarget::Version) => SortTarget::Version,
        Ok(PbTarget::Create) => SortTarget::Create,
        Ok(PbTarget::Mod) => SortTarget::Mod,
        Ok(PbTarget::Value) => SortTarget::Value,
        Err(_) => return Err(Error::InvalidSortOption),
    };
    Ok(RangeRequest {
        range: KeyRange::from_wire(request.key, request.range_end),
        limit: request.limit,
        revision: request.revision,
        order,
        target,
        serializable: request.serializable,
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: request.min_mod_revision,
        max_mod_revision: request.max_mod_revision,
        min_create_revision: request.min_create_revision,
        max_create_revision: request.max_create_revision,
    })
}

/// A put request.
pub fn put(request: pb::PutRequest) -> PutRequest {
    PutRequest {
        key: request.key,
        value: request.value,
        lease: request.lease,
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    }
}

/// A delete request.
pub fn delete(request: pb::DeleteRangeRequest) -> DeleteRequest {
    DeleteRequest {
        range: KeyRange::from_wire(request.key, request.range_end),
        prev_kv: request.prev_kv,
    }
}

/// A transaction with everything inside it. What cannot be said of a range inside is refused in
/// its turn: etcd looks at the sizes of the transaction first.
pub fn txn(request: pb::TxnRequest) -> TxnRequest {
    TxnRequest {
        compare: request.compare.into_iter().map(compare).collect(),
        success: request.success.into_iter().map(op).collect(),
        failure: request.failure.into_iter().map(op).collect(),
    }
}

fn op(op: pb::RequestOp) -> Op {
    use pb::request_op::Request;
    match op.request {
        Some(Request::RequestRange(request)) => range(request).map_or_else(Op::Refused, Op::Range),
        Some(Request::RequestPut(request)) => Op::Put(put(request)),
        Some(Request::RequestDeleteRange(request)) => Op::Delete {
            raw_end: request.range_end.clone(),
            request: delete(request),
        },
        Some(Request::RequestTxn(request)) => Op::Txn(Box::new(txn(request))),
        None => Op::Refused(Error::KeyNotFound),
    }
}

/// What is compared with is zero or empty when it is missing or of another kind than the target
/// says (`server/etcdserver/txn/txn.go`).
fn compare(compare: pb::Compare) -> Compare {
    use pb::compare::{CompareResult as PbResult, CompareTarget as PbTarget, TargetUnion};
    let union = compare.target_union;
    let target = match PbTarget::try_from(compare.target) {
        Ok(PbTarget::Version) => CompareTarget::Version(match union {
            Some(TargetUnion::Version(version)) => version,
            _ => 0,
        }),
        Ok(PbTarget::Create) => CompareTarget::Create(match union {
            Some(TargetUnion::CreateRevision(revision)) => revision,
            _ => 0,
        }),
        Ok(PbTarget::Mod) => CompareTarget::Mod(match union {
            Some(TargetUnion::ModRevision(revision)) => revision,
            _ => 0,
        }),
        Ok(PbTarget::Value) => CompareTarget::Value(match union {
            Some(TargetUnion::Value(value)) => value,
            _ => Bytes::new(),
        }),
        Ok(PbTarget::Lease) => CompareTarget::Lease(match union {
            Some(TargetUnion::Lease(lease)) => lease,
            _ => 0,
        }),
        Err(_) => CompareTarget::Other,
    };
    let result = match PbResult::try_from(compare.result) {
        Ok(PbResult::Equal) => CompareResult::Equal,
        Ok(PbResult::Greater) => CompareResult::Greater,
        Ok(PbResult::Less) => CompareResult::Less,
        Ok(PbResult::NotEqual) => CompareResult::NotEqual,
        Err(_) => CompareResult::Other,
    };
    Compare {
        range: KeyRange::from_wire(compare.key, compare.range_end),
        result,
        target,
    }
}

/// A new watcher. An empty key stands for the lowest there is; filters outside the enumeration
/// filter nothing.
pub fn watch_create(request: pb::WatchCreateRequest) -> CreateRequest {
    let key = if request.key.is_empty() {
        Bytes::from_static(&[0])
    } else {
        request.key
    };
    let has = |filter: FilterType| request.filters.contains(&i32::from(filter));
    CreateRequest {
        range: KeyRange::from_wire(key, request.range_end),
        start_revision: request.start_revision,
        filters: Filters {
            no_put: has(FilterType::Noput),
            no_delete: has(FilterType::Nodelete),
        },
        prev_kv: request.prev_kv,
        progress_notify: request.progress_notify,
        fragment: request.fragment,
        watch_id: request.watch_id,
    }
}

#[cfg(test)]
mod tests;
