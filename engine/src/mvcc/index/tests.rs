//! The index against a plain map of versions, over random changes, sweeps and reloads.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::keys::KeyRange;
use crate::mvcc::{PageId, PageSlot, Unsealed};

/// Everything the index promises, done the slow way.
#[derive(Clone, Default)]
struct Model {
    keys: BTreeMap<Vec<u8>, Vec<Version>>,
    compacted: i64,
    rev: i64,
}

impl Model {
    fn at(&self, key: &[u8], rev: i64) -> Option<&Version> {
        let versions = self.keys.get(key)?;
        let newest = versions.iter().rev().find(|v| v.revision.main <= rev)?;
        (!newest.is_delete()).then_some(newest)
    }

    fn scan(&self, range: &KeyRange, rev: i64) -> Vec<(&[u8], &Version)> {
        let keys = self.keys.keys().filter(|key| range.contains(key));
        keys.filter_map(|key| Some((&key[..], self.at(key, rev)?)))
            .collect()
    }

    fn changes(&self) -> Vec<(Revision, &[u8])> {
        let mut all: Vec<_> = self
            .keys
            .iter()
            .flat_map(|(key, versions)| versions.iter().map(|v| (v.revision, &key[..])))
            .collect();
        all.sort_unstable();
        all
    }

    fn compact(&mut self, rev: i64) -> Vec<PageSlot> {
        self.compacted = rev;
        let mut dropped = Vec::new();
        for versions in self.keys.values_mut() {
            let newest = versions.iter().rposition(|v| v.revision.main <= rev);
            let mut place = 0;
            versions.retain(|v| {
                let keep = match newest {
                    Some(newest) if place < newest => false,
                    Some(newest) if place == newest => !v.is_delete() || v.revision.main == rev,
                    _ => true,
                };
                place += 1;
                if let (false, Value::Sealed(slot)) = (keep, &v.value) {
                    dropped.push(*slot);
                }
                keep
            });
        }
        self.keys.retain(|_, versions| !versions.is_empty());
        dropped
    }

    fn drop_above(&mut self, rev: i64) {
        self.rev = rev;
        self.keys
            .values_mut()
            .for_each(|versions| versions.retain(|v| v.revision.main <= rev));
        self.keys.retain(|_, versions| !versions.is_empty());
    }
}

struct World {
    rng: StdRng,
    pool: Vec<Vec<u8>>,
    index: Index,
    model: Model,
    next_slot: u32,
    /// What a sweep under way has to drop in all.
    to_drop: Vec<PageSlot>,
    dropped: Vec<PageSlot>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let pool = (0..rng.random_range(1..3000))
            .map(|_| random_key(&mut rng))
            .collect();
        let model = Model {
            rev: 1,
            ..Model::default()
        };
        let index = Index::new();
        Self {
            rng,
            pool,
            index,
            model,
            next_slot: 0,
            to_drop: vec![],
            dropped: vec![],
        }
    }

    fn key(&mut self) -> Vec<u8> {
        self.pool.choose(&mut self.rng).unwrap().clone()
    }

    /// A transaction of one or several puts and deletes.
    fn txn(&mut self) {
        let rev = self.model.rev + 1;
        let mut sub = 0;
        let deletes = self.rng.random_bool(0.4);
        for _ in 0..*[1, 1, 1, 2, 5, 40].choose(&mut self.rng).unwrap() {
            let key = self.key();
            let former = self.model.at(&key, rev).cloned();
            let delete = deletes && self.rng.random_bool(0.8);
            if delete && former.is_none() {
                continue;
            }
            let version = Version {
                revision: Revision::new(rev, sub),
                create_revision: match &former {
                    _ if delete => 0,
                    Some(former) => former.create_revision,
                    None => rev,
                },
                version: if delete {
                    0
                } else {
                    former.map_or(0, |f| f.version) + 1
                },
                lease: self.rng.random_range(0..3),
                value: match delete {
                    true => Value::Deleted,
                    false => Value::Staged(vec![b'v'; self.rng.random_range(0..20)].into()),
                },
            };
            sub += 1;
            self.index.stage(&key, version.clone());
            self.model.keys.entry(key).or_default().push(version);
            self.model.rev = rev;
        }
    }

    fn seal(&mut self) {
        let upto = self.random_rev();
        let most = self.rng.random_range(0..100);
        let unsealed = unsealed(&self.index, upto, most);
        let mut want: Vec<_> = self
            .model
            .keys
            .iter()
            .flat_map(|(key, versions)| versions.iter().map(|v| (key.clone(), v.clone())))
            .filter(|(_, v)| v.revision.main <= upto && matches!(v.value, Value::Staged(_)))
            .collect();
        want.sort_by_key(|(_, v)| v.revision);
        if self.model.compacted == 0 || self.index.is_swept() {
            assert!(
                unsealed
                    .iter()
                    .map(|(_, k, v)| (k.to_vec(), v.clone()))
                    .eq(want.into_iter().take(unsealed.len()))
            );
        }
        for (at, (unsealed, key, version)) in unsealed.into_iter().enumerate() {
            let page = PageId {
                file: 1,
                block: self.next_slot,
            };
            let slot = PageSlot {
                page,
                slot: 0,
                len: 1,
            };
            let place = Value::Sealed(slot);
            self.next_slot += 1;
            // By its number and by its key: both ways are in use.
            if at % 2 == 0 {
                assert!(self.index.reseat_unsealed(unsealed, slot));
                self.index.prune_staged();
            } else {
                let former = self.index.reseat(&key, version.revision, place.clone());
                assert_eq!(former, Some(version.value));
            }
            assert!(!self.index.reseat_unsealed(unsealed, slot), "it is sealed");
            let versions = self.model.keys.get_mut(&key[..]);
            let same =
                versions.and_then(|vs| vs.iter_mut().find(|v| v.revision == version.revision));
            if let Some(same) = same {
                same.value = place;
            } else if let Value::Sealed(slot) = place {
                // The sweep under way has still to pass it.
                self.to_drop.push(slot);
            }
        }
    }

    fn random_rev(&mut self) -> i64 {
        self.rng
            .random_range(self.model.compacted.max(1)..=self.model.rev)
    }

    fn compact(&mut self) {
        let rev = self.random_rev();
        if rev > self.model.compacted {
            self.index.compact_begin(rev);
            let dropped = self.model.compact(rev);
            self.to_drop.extend(dropped);
        }
    }

    fn sweep(&mut self, changes: usize) {
        if self.index.compact_step(changes, &mut self.dropped) {
            self.dropped.sort_unstable();
            self.to_drop.sort_unstable();
            assert_eq!(self.dropped, self.to_drop);
            self.dropped.clear();
            self.to_drop.clear();
        }
    }

    fn drop_above(&mut self) {
        let rev = self.random_rev().max(self.model.rev - 20);
        // Sealing never goes beyond the settled revision, so what is dropped is staged.
        self.model.drop_above(rev);
        self.index.drop_above(rev);
    }

    /// Writes out in small steps and builds anew from that.
    fn reload(&mut self) {
        let mut builder = Builder::new(self.model.compacted);
        let mut after = None;
        loop {
            let keys = self.rng.random_range(1..400);
            after = self
                .index
                .dump_step(after.as_ref(), i64::MAX, keys, &mut |key, versions| {
                    builder.push(key.clone(), versions.to_vec()).unwrap();
                });
            if after.is_none() {
                break;
            }
        }
        let (index, dropped) = builder.finish().unwrap();
        self.index = index;
        self.dropped.extend(dropped);
        self.sweep(1);
    }

    fn range(&mut self) -> KeyRange {
        let (a, b) = (self.key(), self.key());
        match self.rng.random_range(0..10) {
            0 => KeyRange::One(a.into()),
            1 => KeyRange::From(Bytes::new()),
            2 => KeyRange::From(a.into()),
            3 => KeyRange::Span(a.into(), b.into()),
            4 => KeyRange::Span(random_key(&mut self.rng).into(), b.into()),
            5 => KeyRange::Span(Bytes::new(), b.into()),
            _ => KeyRange::Span(a.clone().min(b.clone()).into(), a.max(b).into()),
        }
    }

    fn compare(&mut self) {
        let rev = match self.rng.random_range(0..3) {
            0 => self.model.rev,
            1 => (self.model.rev - 3).max(self.model.compacted),
            _ => self.random_rev(),
        };
        let range = self.range();
        let want = self.model.scan(&range, rev);
        assert_eq!(
            self.index.count(&range, rev),
            want.len() as u64,
            "{range:?} at {rev}"
        );
        assert!(self.index.count_at_most(&range) >= want.len() as u64);
        let mut found = Vec::new();
        self.index.scan(&range, rev, |key, version| {
            found.push((&key[..], version));
            ControlFlow::Continue(())
        });
        assert_eq!(found, want, "{range:?} at {rev}");
        for _ in 0..10 {
            let key = self.key();
            assert_eq!(self.index.at(&key, rev), self.model.at(&key, rev));
            let newest = self
                .model
                .keys
                .get(&key)
                .and_then(|versions| versions.last());
            if self.index.is_swept() {
                assert_eq!(self.index.newest(&key), newest);
            }
            let before = (rev > self.model.compacted).then(|| self.model.at(&key, rev - 1));
            assert_eq!(self.index.previous(&key, rev), before.flatten());
        }
    }

    fn compare_changes(&mut self) {
        let from = Revision::new(self.random_rev(), self.rng.random_range(0..3));
        let to = self.random_rev().max(from.main);
        let want = self.model.changes();
        let want: Vec<_> = want
            .into_iter()
            .filter(|(at, _)| *at >= from && at.main <= to)
            .collect();
        let limit = self.rng.random_range(1..50);
        let mut found = Vec::new();
        let mut next = Some(from);
        while let Some(from) = next {
            let before = found.len();
            next = self.index.changes(from, to, limit, |key, version| {
                assert_eq!(self.index.version_of(key, version.revision), Some(version));
                found.push((version.revision, &key[..]));
            });
            assert!(next.is_none() || found.len() == before + limit);
        }
        if self.index.is_swept() {
            assert_eq!(found, want, "from {from:?} to {to}");
        } else {
            found.retain(|(at, _)| at.main > self.model.compacted);
            let mut want = want;
            want.retain(|(at, _)| at.main > self.model.compacted);
            assert_eq!(found, want, "from {from:?} to {to}");
        }
    }

    fn check(&mut self) {
        self.index.check().unwrap();
        if self.index.is_swept() {
            let stats = self.index.stats();
            let model = &self.model.keys;
            assert_eq!(stats.keys, model.len() as u64);
            let alive = model.values().filter(|v| !v.last().unwrap().is_delete());
            assert_eq!(stats.live_keys, alive.count() as u64);
            assert_eq!(
                stats.versions,
                model.values().map(|v| v.len() as u64).sum::<u64>()
            );
        }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..60 => self.txn(),
            60..66 => self.seal(),
            66..68 => self.compact(),
            68..80 => {
                let changes = self.rng.random_range(0..300);
                self.sweep(changes);
            }
            80 if self.to_drop.is_empty() => self.drop_above(),
            81 => self.reload(),
            82..85 => self.check(),
            85..95 => self.compare(),
            _ => self.compare_changes(),
        }
    }
}

/// Keys with long common beginnings, keys that begin others, and zero bytes.
fn random_key(rng: &mut StdRng) -> Vec<u8> {
    let prefixes: [&[u8]; 5] = [
        b"",
        b"/registry/pods/default/web-5d7f8b9c4d-",
        b"/registry/leases/",
        b"\0",
        b"a",
    ];
    let mut key = prefixes.choose(rng).unwrap().to_vec();
    let alphabet: &[u8] = if rng.random_bool(0.3) {
        b"\0\x01\xff"
    } else {
        b"abcdefghij"
    };
    for _ in 0..rng.random_range(1..12) {
        key.push(*alphabet.choose(rng).unwrap());
    }
    key
}

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

mod speed;
