//! What is restored is what a node finds; half of it is refused.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::env::memory::MemoryDisk;
use crate::mvcc::checkpoint::{IndexReader, load_manifest};
use crate::shard::route::HASH_NAME;

const SHARDS: u16 = 3;

fn superblock() -> Superblock {
    Superblock {
        cluster: 1,
        member: 2,
        shards: SHARDS,
        shard_hash: HASH_NAME.to_owned(),
        shard_hash_version: 1,
        created_by: "test".to_owned(),
    }
}

fn put(main: i64, sub: i64, key: &str) -> RestoreRecord {
    RestoreRecord {
        revision: Revision::new(main, sub),
        key: Bytes::copy_from_slice(key.as_bytes()),
        put: Some(RestorePut {
            create_revision: main,
            version: 1,
            lease: 0,
            value: Bytes::from(vec![main as u8; main as usize % 100]),
        }),
    }
}

fn delete(main: i64, key: &str) -> RestoreRecord {
    RestoreRecord {
        put: None,
        ..put(main, 0, key)
    }
}

async fn fill(disk: &MemoryDisk, records: &[RestoreRecord]) -> Restore<MemoryDisk> {
    let mut restore = Restore::create(disk.clone(), superblock()).await.unwrap();
    for record in records {
        restore.push(record.clone()).await.unwrap();
    }
    restore
}

#[test]
fn every_record_is_in_the_index_of_its_shard() {
    let mut records: Vec<RestoreRecord> = (2..500)
        .map(|main| put(main, 0, &format!("k{}", main % 97)))
        .collect();
    records.push(delete(500, "k5"));
    records.push(put(501, 0, "k5"));
    records.push(put(501, 1, "k6"));
    let disk = MemoryDisk::new(1);
    let end = RestoreEnd {
        revision: 510,
        compacted: 3,
        leases: vec![(7, 100), (-9, 5)],
        alarms: vec![(2, ALARM_NO_SPACE)],
    };
    disk.run(async {
        fill(&disk, &records).await.finish(&end).await.unwrap();
        let identity = superblock().identity();
        let manifest = load_manifest(&disk, identity).await.unwrap().unwrap();
        assert_eq!((manifest.settled, manifest.compacted), (510, 3));
        let keeper = Keeper::decode(&manifest.meta, 1).unwrap();
        let leases = [7, -9].map(|id| keeper.leases.remaining(LeaseId(id), 0).unwrap().granted_s);
        assert_eq!((leases, keeper.compacted), ([100, 5], 3));
        assert!(keeper.no_space());
        let mut found = Vec::new();
        for (shard, image) in (0..).map(ShardId).zip(&manifest.shards) {
            let head = IndexHead {
                identity,
                shard,
                generation: manifest.generation,
                settled: manifest.settled,
            };
            let mut reader = IndexReader::open(&disk, head, *image).await.unwrap();
            let mut take = |key: Key, versions: Vec<Version>| {
                assert_eq!(shard_of(&key, SHARDS), shard);
                found.extend(versions.into_iter().map(|v| (v.revision, key.clone(), v)));
            };
            while reader.step(&mut take).await.unwrap() {}
        }
        found.sort_by_key(|(revision, ..)| *revision);
        assert_eq!(found.len(), records.len());
        for (record, (revision, key, version)) in records.iter().zip(found) {
            assert_eq!((record.revision, &record.key[..]), (revision, &key[..]));
            let put = record.put.as_ref();
            assert_eq!(put.is_none(), version.is_delete());
            assert_eq!(put.map_or(0, |put| put.version), version.version);
            assert_eq!(
                put.map_or(0, |p| p.create_revision),
                version.create_revision
            );
        }
    })
    .unwrap();
}

#[test]
fn half_a_restore_has_no_superblock() {
    let disk = MemoryDisk::new(1);
    disk.run(async {
        let records: Vec<RestoreRecord> = (2..40_000).map(|main| put(main, 0, "key")).collect();
        drop(fill(&disk, &records).await);
        assert!(
            crate::format::superblock::load(&disk)
                .await
                .unwrap()
                .is_none()
        );
        let data = crate::mvcc::pages::any_file(&disk).await.unwrap();
        assert!(data.is_some(), "a node refuses data without a superblock");
    })
    .unwrap();
}

#[test]
fn records_that_no_store_has_are_refused() {
    let bad = [
        put(3, 0, "again"),
        put(2, 0, "below"),
        put(4, -1, "negative"),
        put(4, 1 << 32, "too many in a transaction"),
        put(i64::MAX, 0, "the last"),
        put(4, 0, ""),
        RestoreRecord {
            put: put(5, 0, "x").put,
            ..put(4, 0, "created later")
        },
    ];
    for record in bad {
        let disk = MemoryDisk::new(1);
        disk.run(async {
            let mut restore = fill(&disk, &[put(3, 0, "k")]).await;
            let error = restore.push(record.clone()).await.unwrap_err();
            assert!(matches!(error, BootError::Broken(_)), "{record:?}: {error}");
        })
        .unwrap();
    }
}

#[test]
fn an_end_before_the_last_record_is_refused() {
    for (revision, compacted) in [(2, -1), (3, 4), (0, -1)] {
        let disk = MemoryDisk::new(1);
        let end = RestoreEnd {
            revision,
            compacted,
            ..RestoreEnd::default()
        };
        disk.run(async {
            let restore = fill(&disk, &[put(3, 0, "k")]).await;
            assert!(restore.finish(&end).await.is_err());
            assert!(
                crate::format::superblock::load(&disk)
                    .await
                    .unwrap()
                    .is_none()
            );
        })
        .unwrap();
    }
}
