//! A dump against a plain rendering of what etcd's bucket holds, over random histories.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

type Bucket = BTreeMap<Revision, (Vec<u8>, Version)>;

/// Random changes of a few keys; half of the values are in pages.
fn random(rng: &mut StdRng, revisions: i64) -> (Index, Bucket) {
    let (mut index, mut bucket) = (Index::new(), Bucket::new());
    for main in 2..=revisions {
        for sub in 0..rng.random_range(1..4) {
            let key = vec![b'k', rng.random_range(0..20) + 32 * sub as u8];
            let former = index.newest(&key).filter(|version| !version.is_delete());
            let (create, count) = former.map_or((main, 0), |v| (v.create_revision, v.version));
            let is_delete = former.is_some() && rng.random_bool(0.3);
            let len = rng.random_range(0..40);
            let page = PageId {
                file: 1,
                block: rng.random_range(0..5),
            };
            let version = Version {
                revision: Revision::new(main, sub),
                create_revision: if is_delete { 0 } else { create },
                version: if is_delete { 0 } else { count + 1 },
                lease: 0,
                value: match (is_delete, rng.random_bool(0.5)) {
                    (true, _) => Value::Deleted,
                    (_, true) => Value::Staged(Bytes::from(vec![7; len as usize])),
                    _ => Value::Sealed(PageSlot { page, slot: 0, len }),
                },
            };
            index.stage(&key, version.clone());
            bucket.insert(version.revision, (key, version));
        }
    }
    (index, bucket)
}

/// What etcd's bucket holds at `at` after a compaction at `compacted`.
fn expected(bucket: &Bucket, at: i64, compacted: i64) -> Vec<(Revision, bool, Vec<u8>)> {
    let newest: BTreeMap<&[u8], Revision> = bucket
        .iter()
        .filter(|(revision, _)| revision.main <= compacted)
        .map(|(revision, (key, _))| (&key[..], *revision))
        .collect();
    let stays = |revision: &Revision, key: &[u8], version: &Version| {
        let kept = !version.is_delete() || revision.main == compacted;
        revision.main > compacted || (newest[key] == *revision && kept)
    };
    let records = bucket
        .iter()
        .filter(|(revision, (key, version))| revision.main <= at && stays(revision, key, version));
    records
        .map(|(revision, (key, version))| {
            let len = match &version.value {
                Value::Deleted => 0,
                Value::Staged(value) => value.len(),
                Value::Sealed(slot) => slot.len as usize,
            };
            let mut bytes = Vec::new();
            fields(key, version, &vec![7; len]).write(&mut bytes);
            (*revision, version.is_delete(), bytes)
        })
        .collect()
}

fn all(walk: &mut DumpWalk, index: &Index, values: bool) -> Vec<(DumpHead, Vec<u8>)> {
    walk.rewind();
    let (mut all, mut loaded) = (Vec::new(), Vec::new());
    loop {
        let mut missing = Vec::new();
        let mut fetch = |slot: &PageSlot| {
            let here = loaded.contains(&slot.page);
            here.then(|| vec![7; slot.len as usize])
        };
        let step = walk.step(index, values, &mut fetch, &mut missing).unwrap();
        let Some(batch) = step else {
            assert!(!missing.is_empty(), "a step that waits says for what");
            loaded = missing;
            continue;
        };
        let mut rest = &batch.bytes[..];
        for head in batch.heads {
            let (bytes, behind) = rest.split_at(if values { head.len as usize } else { 0 });
            rest = behind;
            all.push((head, bytes.to_vec()));
        }
        assert!(rest.is_empty());
        if batch.is_last {
            return all;
        }
    }
}

#[test]
fn a_dump_is_what_the_last_compaction_left() {
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut index, bucket) = random(&mut rng, 60);
        let at = rng.random_range(1..=60);
        let compacted = rng.random_range(0..=at);
        // An earlier compaction is swept, or half swept; the one that counts is not begun.
        index.compact_begin(rng.random_range(0..=compacted));
        index.compact_step(rng.random_range(0..80), &mut Vec::new());
        let mut walk = DumpWalk::new(at, compacted);
        let mut after: Option<Key> = None;
        let step = rng.random_range(1..9);
        loop {
            after = walk.gather(&index, after.as_deref(), step);
            if after.is_none() {
                break;
            }
        }
        let lengths = all(&mut walk, &index, false);
        let values = all(&mut walk, &index, true);
        let heads = |all: &[(DumpHead, Vec<u8>)]| all.iter().map(|(head, _)| *head).collect();
        let (of_lengths, of_values): (Vec<DumpHead>, Vec<DumpHead>) =
            (heads(&lengths), heads(&values));
        assert_eq!(of_lengths, of_values, "both walks see the same");
        let values: Vec<_> = values
            .into_iter()
            .map(|(head, bytes)| (head.revision, head.is_delete, bytes))
            .collect();
        assert_eq!(values, expected(&bucket, at, compacted), "seed {seed}");
    }
}
