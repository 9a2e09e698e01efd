//! Transactions whose answer hangs on the order of etcd's checks, on one shard and on several:
//! the answers are written down here, so no peer is needed.
#![allow(clippy::unwrap_used)]

use pb::request_op::Request;
use tests::client::{Client, Status, create, pb, run};
use tests::target::{Kind, Target};

const LEASE: &str = "etcdserver: requested lease not found";
const KEY: &str = "etcdserver: key not found";
const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

/// Runs `body` against nodes of 1, 2 and 5 shards.
fn on_all(body: impl AsyncFn(Client)) {
    for shards in [1, 2, 5] {
        let target = Target::start(Kind::Stoa(shards), &[]).unwrap().unwrap();
        run(async { body(Client::connect(target.addr()).await.unwrap()).await });
    }
}

fn op(request: Request) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(request),
    }
}

fn put(key: &str, lease: i64, ignore_value: bool) -> pb::RequestOp {
    op(Request::RequestPut(pb::PutRequest {
        key: key.to_owned().into(),
        lease,
        ignore_value,
        ..Default::default()
    }))
}

fn range(key: &str, revision: i64) -> pb::RequestOp {
    op(Request::RequestRange(pb::RangeRequest {
        key: key.to_owned().into(),
        revision,
        ..Default::default()
    }))
}

fn delete(key: &str, range_end: &str) -> pb::RequestOp {
    op(Request::RequestDeleteRange(pb::DeleteRangeRequest {
        key: key.to_owned().into(),
        range_end: range_end.to_owned().into(),
        ..Default::default()
    }))
}

/// A transaction inside: `failure` does not run.
fn inside(success: Vec<pb::RequestOp>, failure: Vec<pb::RequestOp>) -> pb::RequestOp {
    op(Request::RequestTxn(pb::TxnRequest {
        success,
        failure,
        ..Default::default()
    }))
}

async fn txn(client: &Client, success: Vec<pb::RequestOp>) -> Result<pb::TxnResponse, Status> {
    let request = pb::TxnRequest {
        success,
        ..Default::default()
    };
    client.txn(&request).await
}

/// Since 3.6 etcd checks the operations in their order, since 3.7 a put's lease before its key.
#[test]
fn the_first_operation_that_cannot_be_done_names_the_reason() {
    on_all(async |client| {
        let mut revision = 0;
        for _ in 0..3 {
            let written = txn(&client, vec![put("present", 0, false)]).await.unwrap();
            revision = written.header.unwrap().revision;
        }
        let compaction = pb::CompactionRequest {
            revision,
            ..Default::default()
        };
        client.compact(&compaction).await.unwrap();
        let no_lease = |key| put(key, 99, false);
        let no_key = |key| put(key, 0, true);
        // On several shards each pair of keys is on other ones.
        for (one, other) in [("a", "b"), ("b", "a"), ("c", "d"), ("e", "a"), ("d", "e")] {
            let cases = [
                (vec![range(one, 1000), no_lease(other)], FUTURE),
                (vec![no_lease(other), range(one, 1000)], LEASE),
                (vec![range(one, 1), no_key(other)], COMPACTED),
                (vec![no_key(other), range(one, 1)], KEY),
                (
                    vec![range(one, 1), range(other, 1000), put(one, 0, false)],
                    COMPACTED,
                ),
                (vec![no_key(one), no_lease(other)], KEY),
                (vec![no_lease(one), no_key(other)], LEASE),
                (vec![put(one, 99, true), put(other, 0, false)], LEASE),
                (
                    vec![inside(vec![range(one, 1000)], vec![]), no_lease(other)],
                    FUTURE,
                ),
                (
                    vec![inside(vec![], vec![no_lease(one)]), no_key(other)],
                    KEY,
                ),
            ];
            for (ops, reason) in cases {
                let status = txn(&client, ops.clone()).await.unwrap_err();
                assert_eq!(status.message, reason, "{ops:?}");
            }
        }
    });
}

/// To etcd's check for keys written twice a range whose end is not above its start holds no key.
/// That the delete of `[b, \0)` takes everything from `b` on does not change this.
#[test]
fn a_put_may_stand_beside_a_delete_whose_end_is_not_above_its_start() {
    on_all(async |client| {
        for end in ["\0", "a", "b"] {
            let both = vec![delete("b", end), put("b", 0, false), put("c", 0, false)];
            let done = txn(&client, both).await.unwrap();
            assert_eq!(done.responses.len(), 3, "{end:?}");
            let twice = vec![delete("b", "c"), put("b", 0, false)];
            let status = txn(&client, twice).await.unwrap_err();
            assert_eq!(
                status.message,
                "etcdserver: duplicate key given in txn request"
            );
        }
    });
}

/// The check sees the key, which is there before the transaction; etcd then panics at the put.
#[test]
fn a_put_that_keeps_what_its_transaction_deleted_is_refused_and_nothing_changes() {
    on_all(async |client| {
        let written = txn(&client, vec![put("b", 0, false)]).await.unwrap();
        let ops = vec![put("a", 0, false), delete("b", "\0"), put("b", 0, true)];
        let status = txn(&client, ops).await.unwrap_err();
        assert_eq!(status.message, KEY);
        let read = txn(&client, vec![range("a", 0), range("b", 0)]).await;
        let read = read.unwrap();
        let revision = |answer: &pb::TxnResponse| answer.header.map(|header| header.revision);
        assert_eq!(revision(&read), revision(&written));
    });
}

/// The events of a revision as a watcher with former states is told them.
async fn told(client: &Client, revision: i64, start_revision: i64) -> Vec<pb::Event> {
    let (mut requests, mut responses) = client.watch().await.unwrap();
    let ask = pb::WatchCreateRequest {
        key: "b".into(),
        range_end: "\0".into(),
        start_revision,
        prev_kv: true,
        ..Default::default()
    };
    requests.send(&create(ask)).unwrap();
    if start_revision > revision {
        let response = responses.next().await.unwrap().unwrap();
        assert!(response.created, "{response:?}");
        let again = vec![delete("b", "\0"), put("b", 0, false)];
        txn(client, again).await.unwrap();
    }
    loop {
        let response = responses.next().await.unwrap().unwrap();
        if !response.events.is_empty() {
            return response.events;
        }
    }
}

/// A put that creates its key tells of no former state, though there was one before the
/// transaction that deleted the key first. The delete tells of it.
#[test]
fn a_key_deleted_and_put_by_one_transaction_is_told_as_created() {
    on_all(async |client| {
        txn(&client, vec![put("b", 0, false)]).await.unwrap();
        let both = vec![delete("b", "\0"), put("b", 0, false)];
        let done = txn(&client, both).await.unwrap();
        let revision = done.header.unwrap().revision;
        for start_revision in [revision, revision + 1] {
            let events = told(&client, revision, start_revision).await;
            let former: Vec<_> = events.iter().map(|e| e.prev_kv.is_some()).collect();
            assert_eq!(former, [true, false], "from {start_revision}: {events:?}");
        }
    });
}
