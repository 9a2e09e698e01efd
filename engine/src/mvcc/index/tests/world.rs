//! An index and its model under the same random changes.

use std::ops::ControlFlow;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::model::Model;
use super::*;
use crate::mvcc::PageId;

pub struct World {
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
    pub fn new(seed: u64) -> Self {
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

    pub fn key(&mut self) -> Vec<u8> {
        self.pool.choose(&mut self.rng).unwrap().clone()
    }

    /// A transaction of one or several puts and deletes.
    pub fn txn(&mut self) {
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

    pub fn seal(&mut self) {
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

    pub fn random_rev(&mut self) -> i64 {
        self.rng
            .random_range(self.model.compacted.max(1)..=self.model.rev)
    }

    pub fn compact(&mut self) {
        let rev = self.random_rev();
        if rev > self.model.compacted {
            self.index.compact_begin(rev);
            let dropped = self.model.compact(rev);
            self.to_drop.extend(dropped);
        }
    }

    pub fn sweep(&mut self, changes: usize) {
        if self.index.compact_step(changes, &mut self.dropped) {
            self.dropped.sort_unstable();
            self.to_drop.sort_unstable();
            assert_eq!(self.dropped, self.to_drop);
            self.dropped.clear();
            self.to_drop.clear();
        }
    }

    pub fn drop_above(&mut self) {
        let rev = self.random_rev().max(self.model.rev - 20);
        // Sealing never goes beyond the settled revision, so what is dropped is staged.
        self.model.drop_above(rev);
        self.index.drop_above(rev);
    }

    /// Writes out in small steps and builds anew from that.
    pub fn reload(&mut self) {
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

    pub fn range(&mut self) -> KeyRange {
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

    pub fn compare(&mut self) {
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

    pub fn compare_changes(&mut self) {
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

    pub fn check(&mut self) {
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

    pub fn step(&mut self) {
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
