//! The requests of kube-apiserver's storage layer, with the option values that it uses.

use bytes::Bytes;
use proto::{etcdserverpb as pb, mvccpb};

use super::line::Line;
use crate::client::Status;

/// The key over which the compactors of several apiservers agree.
pub const COMPACT_KEY: &str = "compact_rev_key";

/// Objects of a page of a list.
pub const PAGE: i64 = 500;

/// The end of all keys that begin with `prefix`.
pub fn prefix_end(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end.into()
}

/// "The key was last changed at `revision`": 0 where it must not be there.
pub fn unchanged(key: &Bytes, revision: i64) -> pb::Compare {
    pb::Compare {
        result: pb::compare::CompareResult::Equal as i32,
        target: pb::compare::CompareTarget::Mod as i32,
        key: key.clone(),
        target_union: Some(pb::compare::TargetUnion::ModRevision(revision)),
        ..Default::default()
    }
}

fn op(request: pb::request_op::Request) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(request),
    }
}

/// A put within a transaction.
pub fn put(key: &Bytes, value: &Bytes, lease: i64) -> pb::RequestOp {
    op(pb::request_op::Request::RequestPut(pb::PutRequest {
        key: key.clone(),
        value: value.clone(),
        lease,
        ..Default::default()
    }))
}

fn read(key: &Bytes) -> pb::RequestOp {
    op(pb::request_op::Request::RequestRange(pb::RangeRequest {
        key: key.clone(),
        ..Default::default()
    }))
}

fn delete(key: &Bytes) -> pb::RequestOp {
    op(pb::request_op::Request::RequestDeleteRange(
        pb::DeleteRangeRequest {
            key: key.clone(),
            ..Default::default()
        },
    ))
}

/// `POST`: there must be none.
pub fn creation(key: &Bytes, value: &Bytes, lease: i64) -> pb::TxnRequest {
    pb::TxnRequest {
        compare: vec![unchanged(key, 0)],
        success: vec![put(key, value, lease)],
        failure: Vec::new(),
    }
}

/// `PUT` and `PATCH` of the object as it was at `revision`.
pub fn update(key: &Bytes, value: &Bytes, revision: i64) -> pb::TxnRequest {
    pb::TxnRequest {
        compare: vec![unchanged(key, revision)],
        success: vec![put(key, value, 0)],
        failure: vec![read(key)],
    }
}

/// `DELETE` of the object as it was at `revision`.
pub fn deletion(key: &Bytes, revision: i64) -> pb::TxnRequest {
    pb::TxnRequest {
        compare: vec![unchanged(key, revision)],
        success: vec![delete(key)],
        failure: vec![read(key)],
    }
}

/// The revision in an answer's header.
pub fn revision(header: Option<&pb::ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

/// The present object in the answer to a transaction that did not succeed.
pub fn present(answer: pb::TxnResponse) -> Option<mvccpb::KeyValue> {
    match answer.responses.into_iter().next()?.response? {
        pb::response_op::Response::ResponseRange(range) => range.kvs.into_iter().next(),
        _ => None,
    }
}

/// `GET` of one object; the apiserver's reads are never serializable.
pub async fn get(line: &Line, key: &Bytes) -> Result<pb::RangeResponse, Status> {
    let request = pb::RangeRequest {
        key: key.clone(),
        limit: 1,
        ..Default::default()
    };
    line.call(async |channel| channel.range(&request).await)
        .await
}

/// The revision that a read which begins now must have.
pub async fn fresh(line: &Line, prefix: &'static str) -> Result<i64, Status> {
    let key = Bytes::from_static(prefix.as_bytes());
    Ok(revision(get(line, &key).await?.header.as_ref()))
}

/// A page of a list from `key` on (0: at the present revision).
pub async fn page(
    line: &Line,
    prefix: &str,
    key: Bytes,
    revision: i64,
) -> Result<pb::RangeResponse, Status> {
    let request = pb::RangeRequest {
        key,
        range_end: prefix_end(prefix),
        limit: PAGE,
        revision,
        ..Default::default()
    };
    line.call(async |channel| channel.range(&request).await)
        .await
}

/// How many objects there are, asked every minute.
pub async fn count(line: &Line, prefix: &'static str) -> Result<i64, Status> {
    let request = pb::RangeRequest {
        key: Bytes::from_static(prefix.as_bytes()),
        range_end: prefix_end(prefix),
        count_only: true,
        ..Default::default()
    };
    let answer = line
        .call(async |channel| channel.range(&request).await)
        .await?;
    Ok(answer.count)
}

/// What a watch of a resource behind `revision` asks for.
pub fn watch(prefix: &'static str, revision: i64) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        key: Bytes::from_static(prefix.as_bytes()),
        range_end: prefix_end(prefix),
        start_revision: revision + 1,
        progress_notify: true,
        prev_kv: true,
        ..Default::default()
    }
}

/// Asks for a notice of progress on a watch stream.
pub fn progress() -> pb::WatchRequest {
    use pb::watch_request::RequestUnion::ProgressRequest;
    pb::WatchRequest {
        request_union: Some(ProgressRequest(pb::WatchProgressRequest {})),
    }
}

/// One turn of a compactor: who finds the key at `version` may compact at `revision`.
pub fn turn(version: i64, revision: i64) -> pb::TxnRequest {
    let key = Bytes::from_static(COMPACT_KEY.as_bytes());
    let compare = pb::Compare {
        result: pb::compare::CompareResult::Equal as i32,
        target: pb::compare::CompareTarget::Version as i32,
        key: key.clone(),
        target_union: Some(pb::compare::TargetUnion::Version(version)),
        ..Default::default()
    };
    pb::TxnRequest {
        compare: vec![compare],
        success: vec![put(&key, &revision.to_string().into(), 0)],
        failure: vec![read(&key)],
    }
}

/// Whether the apiserver trusts requested progress of a server of this version: from 3.4.31 and
/// 3.5.13 on, and not where it cannot be read.
pub fn has_progress(version: &str) -> bool {
    let plain = version.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<u64> = plain.split('.').filter_map(|p| p.parse().ok()).collect();
    let &[major, minor, patch] = parts.as_slice() else {
        return false;
    };
    match (major, minor) {
        (3, 4) => patch >= 31,
        (3, 5) => patch >= 13,
        _ => (major, minor) > (3, 5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_trusted_from_the_version_on_that_tells_it_right() {
        for good in ["3.4.31", "3.5.13", "3.6.0", "3.7.0-rc.1", "4.0.0"] {
            assert!(has_progress(good), "{good}");
        }
        for bad in ["3.4.23", "3.5.12", "3.3.99", "three", "3.6"] {
            assert!(!has_progress(bad), "{bad}");
        }
    }
}
