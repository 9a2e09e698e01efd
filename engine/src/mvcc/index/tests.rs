//! The index against a plain map of versions, over random changes, sweeps and reloads.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod model;
mod speed;
mod world;

use std::ops::ControlFlow;

use bytes::Bytes;
use world::World;

use super::*;
use crate::keys::KeyRange;
use crate::mvcc::{PageId, PageSlot, Unsealed};

/// The first `most` versions up to `upto` that are not in a page, asked for in two parts.
fn unsealed(index: &Index, upto: i64, most: usize) -> Vec<(Unsealed, Key, Version)> {
    let mut found: Vec<(Unsealed, Key, Version)> = Vec::new();
    for part in [most / 2, most] {
        let after = found.last().map(|last| last.0);
        index.unsealed(after, upto, |place, key, version| {
            if found.len() == part {
                return ControlFlow::Break(());
            }
            found.push((place, key.clone(), version.clone()));
            ControlFlow::Continue(())
        });
    }
    found
}

#[test]
fn it_agrees_with_a_naive_model_under_random_operations() {
    let seeds = std::env::var("STOA_SEEDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(25);
    for seed in 0..seeds {
        let run = std::panic::AssertUnwindSafe(|| {
            let mut world = World::new(seed);
            for _ in 0..1500 {
                world.step();
            }
            world.sweep(usize::MAX);
            world.check();
        });
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("failed with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn put(index: &mut Index, rev: i64, key: &str) {
    let former = index.at(key.as_bytes(), rev).cloned();
    let version = Version {
        revision: Revision::new(rev, 0),
        create_revision: former.as_ref().map_or(rev, |f| f.create_revision),
        version: former.map_or(0, |f| f.version) + 1,
        lease: 0,
        value: Value::Staged(Bytes::from_static(b"value")),
    };
    index.stage(key.as_bytes(), version);
}

fn delete(index: &mut Index, rev: i64, key: &str) {
    let version = Version {
        revision: Revision::new(rev, 0),
        create_revision: 0,
        version: 0,
        lease: 0,
        value: Value::Deleted,
    };
    index.stage(key.as_bytes(), version);
}

fn revisions(index: &Index, from: i64) -> Vec<i64> {
    let mut found = Vec::new();
    index.changes(
        Revision::new(from, 0),
        i64::MAX,
        usize::MAX,
        |_, version| {
            found.push(version.revision.main);
        },
    );
    found
}

fn compact(index: &mut Index, rev: i64) {
    index.compact_begin(rev);
    assert!(index.compact_step(usize::MAX, &mut Vec::new()));
    index.check().unwrap();
}

#[test]
fn a_delete_at_the_compaction_revision_stays_until_the_next_compaction() {
    // The example in etcd's key_index.go.
    let mut index = Index::new();
    put(&mut index, 2, "foo");
    put(&mut index, 3, "foo");
    delete(&mut index, 4, "foo");
    put(&mut index, 5, "foo");
    delete(&mut index, 6, "foo");
    compact(&mut index, 3);
    assert_eq!(index.stats().versions, 4);
    assert_eq!(index.at(b"foo", 3).unwrap().version, 2);
    compact(&mut index, 5);
    assert_eq!(revisions(&index, 5), [5, 6]);
    compact(&mut index, 6);
    assert_eq!(
        revisions(&index, 6),
        [6],
        "a watch from the compaction revision sees the delete"
    );
    assert_eq!(index.at(b"foo", 6), None);
    put(&mut index, 7, "bar");
    compact(&mut index, 7);
    assert_eq!(index.newest(b"foo"), None);
    assert_eq!(index.stats().keys, 1);
}

#[test]
fn reads_at_the_compaction_revision_work_and_previous_values_below_it_are_gone() {
    let mut index = Index::new();
    put(&mut index, 2, "k");
    put(&mut index, 3, "k");
    put(&mut index, 4, "k");
    compact(&mut index, 3);
    assert_eq!(index.at(b"k", 3).unwrap().revision.main, 3);
    assert_eq!(index.previous(b"k", 3), None);
    assert_eq!(index.previous(b"k", 4).unwrap().revision.main, 3);
}

#[test]
fn an_ended_principalship_leaves_no_trace() {
    let mut index = Index::new();
    put(&mut index, 2, "a");
    put(&mut index, 3, "b");
    delete(&mut index, 4, "a");
    put(&mut index, 5, "c");
    let before = index.stats();
    put(&mut index, 6, "d");
    put(&mut index, 7, "a");
    delete(&mut index, 8, "b");
    index.drop_above(5);
    index.check().unwrap();
    assert_eq!(
        index.stats(),
        IndexStats {
            memory_bytes: index.stats().memory_bytes,
            ..before
        }
    );
    assert_eq!(index.newest(b"d"), None);
    assert!(index.newest(b"a").unwrap().is_delete());
    assert_eq!(unsealed(&index, i64::MAX, usize::MAX).len(), 3);
    // The next principal gives the revision out anew.
    put(&mut index, 6, "e");
    assert_eq!(revisions(&index, 5), [5, 6]);
}

#[test]
fn a_dump_as_of_a_revision_has_nothing_newer() {
    let mut index = Index::new();
    put(&mut index, 2, "a");
    put(&mut index, 3, "a");
    put(&mut index, 4, "b");
    let mut found = Vec::new();
    let mut dump = |after: Option<&Key>, index: &Index| {
        index.dump_step(after, 2, 1, &mut |key, versions| {
            found.push((key.to_vec(), versions.len()));
        })
    };
    let after = dump(None, &index);
    put(&mut index, 5, "c");
    let after = dump(after.as_ref(), &index);
    let after = dump(after.as_ref(), &index);
    assert_eq!(dump(after.as_ref(), &index), None);
    assert_eq!(found, [(b"a".to_vec(), 1)]);
}

#[test]
fn a_place_for_a_version_that_is_gone_is_refused() {
    let mut index = Index::new();
    put(&mut index, 2, "a");
    put(&mut index, 3, "a");
    compact(&mut index, 3);
    let page = PageId { file: 1, block: 0 };
    let place = Value::Sealed(PageSlot {
        page,
        slot: 0,
        len: 5,
    });
    assert_eq!(index.reseat(b"a", Revision::new(2, 0), place.clone()), None);
    assert_eq!(index.reseat(b"x", Revision::new(2, 0), place.clone()), None);
    assert!(index.reseat(b"a", Revision::new(3, 0), place).is_some());
    assert_eq!(index.stats().staged_bytes, 0);
    assert_eq!(index.oldest_unsealed(), None);
}

#[test]
fn many_keys_come_and_go_in_every_order() {
    for (step, back) in [(1, false), (1, true), (7919, false), (7919, true)] {
        let mut index = Index::new();
        let count = 20_000;
        let key = |n: usize| format!("/registry/pods/{:06}", n * step % count);
        for n in 0..count {
            put(&mut index, n as i64 + 2, &key(n));
        }
        index.check().unwrap();
        for n in 0..count {
            let n = if back { count - 1 - n } else { n };
            let rev = index.newest.main + 1;
            delete(&mut index, rev, &key(n));
        }
        assert_eq!(index.stats().live_keys, 0);
        index.compact_begin(index.newest.main);
        while !index.compact_step(1000, &mut Vec::new()) {
            index.check().unwrap();
        }
        assert_eq!(
            index.stats().keys,
            1,
            "the delete at the compaction revision"
        );
    }
}
