//! What a client can tell of a store.

use tests::client::{Client, pb};
use tests::target::Target;

/// A pair with its value's length and checksum, so that a failure can be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    pub key: bytes::Bytes,
    /// Create revision, mod revision, version, lease.
    pub numbers: [i64; 4],
    pub value: (usize, u32),
}

impl From<pb::KeyValue> for Pair {
    fn from(kv: pb::KeyValue) -> Self {
        Self {
            key: kv.key,
            numbers: [kv.create_revision, kv.mod_revision, kv.version, kv.lease],
            value: (kv.value.len(), crc32c::crc32c(&kv.value)),
        }
    }
}

fn pairs(kvs: Vec<pb::KeyValue>) -> Vec<Pair> {
    kvs.into_iter().map(Pair::from).collect()
}

/// Compares part by part.
#[track_caller]
pub fn same(found: &Sight, seen: &Sight) {
    assert_eq!(found.revision, seen.revision);
    assert_eq!(found.leases, seen.leases);
    let all = |sight: &Sight| [&sight.past[..], &[Ok(sight.kvs.clone())]].concat();
    for (place, (found, seen)) in all(found).into_iter().zip(all(seen)).enumerate() {
        match (found, seen) {
            (Ok(found), Ok(seen)) => {
                let differ = found.iter().zip(&seen).find(|(a, b)| a != b);
                assert_eq!((differ, found.len()), (None, seen.len()), "past {place}");
            }
            (found, seen) => assert_eq!(found.err(), seen.err(), "past {place}"),
        }
    }
    assert_eq!(found.hashes, seen.hashes);
}

/// What a client can tell of a store; equal where the stores are.
#[derive(Debug, PartialEq)]
pub struct Sight {
    pub revision: i64,
    pub kvs: Vec<Pair>,
    /// As they were at some revisions; an error where they are compacted.
    pub past: Vec<Result<Vec<Pair>, String>>,
    /// Each lease with its granted seconds and its keys.
    pub leases: Vec<(i64, i64, Vec<bytes::Bytes>)>,
    pub hashes: Vec<(u32, i64)>,
}

async fn all_at(client: &Client, revision: i64) -> Result<pb::RangeResponse, String> {
    let range = pb::RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        revision,
        ..Default::default()
    };
    client.range(&range).await.map_err(|status| status.message)
}

async fn hash(client: &Client, revision: i64) -> (u32, i64) {
    let hash = pb::HashKvRequest { revision };
    let hash = client.hash_kv(&hash).await.unwrap();
    (hash.hash, hash.compact_revision)
}

pub async fn sight(target: &Target, past: &[i64], hashes: &[i64]) -> Sight {
    let client = Client::connect(target.addr()).await.unwrap();
    let now = all_at(&client, 0).await.unwrap();
    let mut leases = Vec::new();
    let listed = client
        .lease_leases(&pb::LeaseLeasesRequest {})
        .await
        .unwrap();
    for lease in listed.leases {
        let ask = pb::LeaseTimeToLiveRequest {
            id: lease.id,
            keys: true,
        };
        let found = client.lease_time_to_live(&ask).await.unwrap();
        assert!(found.ttl > found.granted_ttl / 2, "its time began anew");
        let mut keys = found.keys;
        keys.sort();
        leases.push((lease.id, found.granted_ttl, keys));
    }
    leases.sort();
    let mut at = Vec::new();
    for revision in past {
        at.push(
            all_at(&client, *revision)
                .await
                .map(|found| pairs(found.kvs)),
        );
    }
    let mut hashed = Vec::new();
    for revision in hashes {
        hashed.push(hash(&client, *revision).await);
    }
    Sight {
        revision: now.header.unwrap().revision,
        kvs: pairs(now.kvs),
        past: at,
        leases,
        hashes: hashed,
    }
}
