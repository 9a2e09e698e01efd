//! The history that is saved and restored.

use tests::client::{Client, pb};

/// The first part of every history: values of all sizes, deletes, keys that come again, leases,
/// transactions over several keys, a compaction in the middle.
pub async fn write(client: &Client) {
    // Not negative: etcd itself forgets such leases when it starts again.
    for (id, ttl) in [(77, 5000), (78, 9000)] {
        client
            .lease_grant(&pb::LeaseGrantRequest { id, ttl })
            .await
            .unwrap();
    }
    for n in 0..300u32 {
        put(client, n % 90, n, if n % 5 == 0 { 77 } else { 0 }).await;
        if n % 7 == 0 {
            delete(client, &format!("k{:03}", (n + 3) % 90)).await;
        }
        if n == 200 {
            compact(client, 150).await;
        }
    }
    let ops = (0..20).map(|n| pb::RequestOp {
        request: Some(pb::request_op::Request::RequestPut(pb::PutRequest {
            key: format!("txn{n}").into(),
            value: "many at once".into(),
            lease: 78,
            ..Default::default()
        })),
    });
    let txn = pb::TxnRequest {
        success: ops.collect(),
        ..Default::default()
    };
    client.txn(&txn).await.unwrap();
    for (key, len) in [("page", 4096), ("large", 300_000), ("empty", 0)] {
        let value = vec![b'v'; len];
        client.put_pair(key.to_owned(), value).await.unwrap();
    }
    delete(client, "k007").await;
}

async fn put(client: &Client, key: u32, n: u32, lease: i64) {
    let put = pb::PutRequest {
        key: format!("k{key:03}").into(),
        value: "v".repeat(n as usize * 7 % 900).into(),
        lease,
        ..Default::default()
    };
    client.put(&put).await.unwrap();
}

async fn delete(client: &Client, key: &str) {
    let delete = pb::DeleteRangeRequest {
        key: key.to_owned().into(),
        ..Default::default()
    };
    client.delete_range(&delete).await.unwrap();
}

pub async fn compact(client: &Client, revision: i64) {
    let compact = pb::CompactionRequest {
        revision,
        physical: true,
    };
    client.compact(&compact).await.unwrap();
}
