//! Space and bounds: the quota and its alarm, compaction by itself, sizes of requests, leases that
//! end. Run against etcd too, so that what is asserted is what clients are used to.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use tests::client::{Client, Status, create, pb, run};
use tests::target::{Kind, Target};

const LIMIT: Duration = Duration::from_secs(30);

fn put_op(key: String, value: &[u8]) -> pb::RequestOp {
    let put = pb::PutRequest {
        key: key.into(),
        value: Bytes::copy_from_slice(value),
        ..Default::default()
    };
    pb::RequestOp {
        request: Some(pb::request_op::Request::RequestPut(put)),
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Status>) -> (u32, String) {
    let status = result.expect_err("refused");
    (status.code, status.message)
}

/// Writes until the quota is used up, then makes room the way every handbook says.
fn quota(kind: Kind) {
    let Some(target) = Target::start(kind, &["--quota-backend-bytes", "16000000"]).unwrap() else {
        return;
    };
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        let value = vec![b'x'; 900_000];
        let mut refused = None;
        for n in 0..400 {
            if let Err(status) = client.put_pair(format!("k/{n}"), value.clone()).await {
                refused = Some(status);
                break;
            }
        }
        let space = (8, "etcdserver: mvcc: database space exceeded".to_owned());
        assert_eq!(refusal::<()>(Err(refused.expect("a quota"))), space);
        // The alarm is there for whoever was refused.
        let ask = |action: i32, alarm: i32| pb::AlarmRequest {
            action,
            alarm,
            member_id: 0,
        };
        let up = client.alarm(&ask(0, 0)).await.unwrap().alarms;
        assert_eq!(up.len(), 1);
        assert_eq!(up[0].alarm, 1);
        let status = client.status(&pb::StatusRequest {}).await.unwrap();
        assert!(
            status.errors[0].contains("alarm:NOSPACE"),
            "{:?}",
            status.errors
        );
        // Small puts, transactions that might put, and leases are refused too; deletes are not.
        assert_eq!(refusal(client.put_pair("a", "1").await), space);
        let compare = pb::Compare {
            key: Bytes::from_static(b"none"),
            target_union: Some(pb::compare::TargetUnion::Version(1)),
            ..Default::default()
        };
        let maybe = pb::TxnRequest {
            compare: vec![compare],
            success: vec![put_op("a".into(), b"1")],
            ..Default::default()
        };
        assert_eq!(refusal(client.txn(&maybe).await), space);
        let lease = pb::LeaseGrantRequest { ttl: 60, id: 7 };
        assert_eq!(refusal(client.lease_grant(&lease).await), space);
        let all = pb::DeleteRangeRequest {
            key: Bytes::from_static(b"k/"),
            range_end: Bytes::from_static(b"k0"),
            ..Default::default()
        };
        let deleted = client.delete_range(&all).await.unwrap();
        let revision = deleted.header.unwrap().revision;
        let compact = pb::CompactionRequest {
            revision,
            physical: true,
        };
        client.compact(&compact).await.unwrap();
        client.defragment(&pb::DefragmentRequest {}).await.unwrap();
        let after = client.status(&pb::StatusRequest {}).await.unwrap();
        assert!(
            after.db_size < status.db_size / 2,
            "{} of {}",
            after.db_size,
            status.db_size
        );
        // Room alone does not clear the alarm.
        assert_eq!(refusal(client.put_pair("a", "1").await), space);
        // Nor does a request that names another member.
        client.alarm(&ask(2, 1)).await.unwrap();
        assert_eq!(refusal(client.put_pair("a", "1").await), space);
        let disarm = pb::AlarmRequest {
            member_id: up[0].member_id,
            ..ask(2, 1)
        };
        client.alarm(&disarm).await.unwrap();
        client.put_pair("a", "1").await.unwrap();
        assert_eq!(client.alarm(&ask(0, 0)).await.unwrap().alarms, []);
    });
}

/// What is older than the retention is gone after a while, and what is new stays.
fn auto_compaction(kind: Kind) {
    let args = [
        "--auto-compaction-mode",
        "periodic",
        "--auto-compaction-retention",
        "1s",
    ];
    let Some(target) = Target::start(kind, &args).unwrap() else {
        return;
    };
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        let begun = Instant::now();
        let mut newest = 0;
        loop {
            let put = client.put_pair("k", "v").await.unwrap();
            newest = put.header.unwrap().revision.max(newest);
            let old = pb::RangeRequest {
                key: Bytes::from_static(b"k"),
                revision: 2,
                ..Default::default()
            };
            match client.range(&old).await {
                Ok(_) => assert!(begun.elapsed() < LIMIT, "never compacted"),
                Err(status) => {
                    let text = "etcdserver: mvcc: required revision has been compacted";
                    assert_eq!(status.message, text);
                    break;
                }
            }
        }
        assert!(
            begun.elapsed() >= Duration::from_secs(1),
            "within the retention"
        );
        let now = pb::RangeRequest {
            key: Bytes::from_static(b"k"),
            revision: newest,
            ..Default::default()
        };
        assert_eq!(client.range(&now).await.unwrap().count, 1);
    });
}

/// `--max-txn-ops` and `--max-request-bytes`.
fn bounds(kind: Kind) {
    let args = ["--max-txn-ops", "4", "--max-request-bytes", "100000"];
    let Some(target) = Target::start(kind, &args).unwrap() else {
        return;
    };
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        let txn = |count: usize, value: &[u8]| pb::TxnRequest {
            success: (0..count).map(|n| put_op(format!("k{n}"), value)).collect(),
            ..Default::default()
        };
        client.txn(&txn(4, b"v")).await.unwrap();
        let many = (
            3,
            "etcdserver: too many operations in txn request".to_owned(),
        );
        assert_eq!(refusal(client.txn(&txn(5, b"v")).await), many);
        let large = (3, "etcdserver: request is too large".to_owned());
        client.put_pair("k", vec![0; 99_900]).await.unwrap();
        assert_eq!(refusal(client.put_pair("k", vec![0; 100_001]).await), large);
        assert_eq!(refusal(client.txn(&txn(4, &[0; 30_000])).await), large);
        // The form is looked at first.
        assert_eq!(refusal(client.txn(&txn(5, &[0; 30_000])).await), many);
        let empty = (3, "etcdserver: key is not provided".to_owned());
        assert_eq!(refusal(client.put_pair("", vec![0; 100_001]).await), empty);
    });
}

/// A lease that ends takes all its keys along in one revision, over all shards.
fn expiry(kind: Kind) {
    let Some(target) = Target::start(kind, &[]).unwrap() else {
        return;
    };
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        let lease = pb::LeaseGrantRequest { ttl: 2, id: 9 };
        client.lease_grant(&lease).await.unwrap();
        for n in 0..20 {
            let put = pb::PutRequest {
                key: format!("k{n:02}").into(),
                lease: 9,
                ..Default::default()
            };
            client.put(&put).await.unwrap();
        }
        let (mut requests, mut responses) = client.watch().await.unwrap();
        let all = pb::WatchCreateRequest {
            key: Bytes::from_static(b"k"),
            range_end: Bytes::from_static(b"l"),
            ..Default::default()
        };
        requests.send(&create(all)).unwrap();
        let mut gone = Vec::new();
        while gone.is_empty() {
            let response = responses.next_within(LIMIT).await.unwrap();
            gone = response.expect("the lease ends").events;
        }
        let keys: Vec<String> = gone
            .iter()
            .map(|e| String::from_utf8(e.kv.as_ref().unwrap().key.to_vec()).unwrap())
            .collect();
        let wanted: Vec<String> = (0..20).map(|n| format!("k{n:02}")).collect();
        assert_eq!(keys, wanted);
        let revisions: std::collections::BTreeSet<i64> = gone
            .iter()
            .map(|e| e.kv.as_ref().unwrap().mod_revision)
            .collect();
        assert_eq!(revisions.len(), 1, "one revision: {revisions:?}");
        assert_eq!(client.get("k", "l").await.unwrap().count, 0);
    });
}

/// 3.7's streamed range: the parts together are what one answer would be.
#[test]
fn stoa_range_stream() {
    let target = Target::start(Kind::Stoa(3), &[]).unwrap().unwrap();
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        for n in 0..300 {
            client
                .put_pair(format!("k{n:03}"), vec![b'v'; n])
                .await
                .unwrap();
        }
        for limit in [0, 1, 77, 300, 1000] {
            let request = pb::RangeRequest {
                key: Bytes::from_static(b"k"),
                range_end: Bytes::from_static(b"l"),
                limit,
                ..Default::default()
            };
            let whole = client.range(&request).await.unwrap();
            let path = "/etcdserverpb.KV/RangeStream";
            let mut parts = client
                .server_stream::<_, pb::RangeStreamResponse>(path, &request)
                .await
                .unwrap();
            let mut kvs = Vec::new();
            let mut last = None;
            while let Some(part) = parts.next_within(LIMIT).await.unwrap() {
                let part = part.range_response.unwrap();
                kvs.extend(part.kvs.clone());
                last = Some(part);
            }
            let last = last.expect("at least one part");
            assert!(kvs == whole.kvs, "limit {limit}: {} pairs", kvs.len());
            assert_eq!((last.count, last.more), (whole.count, whole.more));
            assert_eq!(
                last.header.unwrap().revision,
                whole.header.unwrap().revision
            );
        }
    });
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        mod etcd {$(
            #[test]
            fn $name() { super::$name(super::Kind::Etcd); }
        )*}
        mod stoa {$(
            #[test]
            fn $name() { super::$name(super::Kind::Stoa(3)); }
        )*}
    };
}

cases!(quota, auto_compaction, bounds, expiry);
