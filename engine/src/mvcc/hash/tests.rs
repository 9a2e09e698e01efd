//! HashKV against a plain rendering of what etcd computes, over random histories.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// etcd's bucket and hasher, line by line the slow way: all records ever written, less what the
/// compactions deleted.
#[derive(Default)]
struct Etcd {
    records: BTreeMap<Revision, (Vec<u8>, Version)>,
    compacted: i64,
}

impl Etcd {
    fn newest(&self, rev: i64) -> BTreeMap<&[u8], &Version> {
        let upto = self
            .records
            .values()
            .filter(|(_, v)| v.revision.main <= rev);
        upto.map(|(key, version)| (&key[..], version)).collect()
    }

    /// `Keep` of the index: what is alive at `rev`.
    fn keep(&self, rev: i64) -> BTreeSet<Revision> {
        let newest = self.newest(rev);
        newest
            .into_values()
            .filter(|v| !v.is_delete())
            .map(|v| v.revision)
            .collect()
    }

    /// `Compact` of the index: the same with deletes at `rev`.
    fn keep_compacting(&self, rev: i64) -> BTreeSet<Revision> {
        let newest = self.newest(rev).into_values();
        let kept = newest.filter(|v| !v.is_delete() || v.revision.main == rev);
        kept.map(|v| v.revision).collect()
    }

    fn compact(&mut self, rev: i64) {
        let keep = self.keep_compacting(rev);
        self.records
            .retain(|at, _| at.main > rev || keep.contains(at));
        self.compacted = rev;
    }

    fn hash(&self, rev: i64, compacted: i64, keep: &BTreeSet<Revision>) -> u32 {
        let mut crc = crc32c::crc32c(b"key");
        for (at, (key, version)) in &self.records {
            let filtered = at.main <= compacted && !keep.is_empty() && !keep.contains(at);
            let boundary = at.main == compacted && version.is_delete();
            if at.main > rev || filtered || boundary {
                continue;
            }
            let mut bytes = at.main.to_be_bytes().to_vec();
            bytes.push(b'_');
            bytes.extend(at.sub.to_be_bytes());
            let mut fields = KvFields {
                key,
                ..KvFields::default()
            };
            if version.is_delete() {
                bytes.push(b't');
            } else {
                fields.create_revision = version.create_revision;
                fields.mod_revision = at.main;
                fields.version = version.version;
                fields.lease = version.lease;
                fields.value = b"some value";
            }
            fields.write(&mut bytes);
            crc = crc32c::crc32c_append(crc, &bytes);
        }
        crc
    }
}

fn hash(shards: &[Index], rev: i64, compacted: i64, compacting: bool, steps: usize) -> u32 {
    let keep_any = shards.iter().any(|shard| keeps_any(shard, rev, compacting));
    let ask = HashAsk {
        rev,
        compacted,
        keep_any,
    };
    let parts = shards.iter().map(|shard| {
        let mut walk = HashWalk::new(ask);
        let mut cache = Vec::new();
        loop {
            let mut missing = Vec::new();
            let mut fetch = |slot: &PageSlot| cache.contains(&slot.page).then_some("some value");
            match walk.step(shard, steps, &mut fetch, &mut missing).unwrap() {
                Step::Done => return walk.finish(),
                Step::More => {}
                Step::Missing => cache = missing,
            }
        }
    });
    let mut fold = HashFold::new(parts.collect());
    loop {
        if let Some(hash) = fold.step(steps) {
            return hash;
        }
    }
}

struct World {
    rng: StdRng,
    etcd: Etcd,
    shards: Vec<Index>,
    rev: i64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let shards = (0..rng.random_range(1..5)).map(|_| Index::new()).collect();
        Self {
            rng,
            etcd: Etcd::default(),
            shards,
            rev: 1,
        }
    }

    fn txn(&mut self, delete_all: bool) {
        let rev = self.rev + 1;
        let (newest, mut sub) = (self.etcd.newest(self.rev), 0);
        let mut made = Vec::new();
        for n in 0..12u8 {
            let key = vec![b'k', n];
            let former = newest.get(&key[..]).filter(|v| !v.is_delete());
            let delete = former.is_some() && (delete_all || self.rng.random_bool(0.1));
            if !delete && (delete_all || self.rng.random_bool(0.8)) {
                continue;
            }
            let page = PageId {
                file: 0,
                block: self.rng.random_range(0..9),
            };
            let version = Version {
                revision: Revision::new(rev, sub),
                create_revision: former.map_or(rev, |f| f.create_revision),
                version: former.map_or(0, |f| f.version) + 1,
                lease: self.rng.random_range(0..2),
                value: match (delete, self.rng.random_bool(0.5)) {
                    (true, _) => Value::Deleted,
                    (false, true) => Value::Staged(Bytes::from_static(b"some value")),
                    (false, false) => Value::Sealed(PageSlot {
                        page,
                        slot: 0,
                        len: 10,
                    }),
                },
            };
            sub += 1;
            made.push((key, version));
        }
        for (key, version) in made {
            let shards = self.shards.len();
            self.shards[key[1] as usize % shards].stage(&key, version.clone());
            self.etcd.records.insert(version.revision, (key, version));
            self.rev = rev;
        }
    }

    fn compact(&mut self) {
        let rev = self.rng.random_range(self.etcd.compacted + 1..=self.rev);
        let before = self.etcd.compacted;
        let want = self.etcd.hash(rev, before, &self.etcd.keep_compacting(rev));
        assert_eq!(
            hash(&self.shards, rev, before, true, 5),
            want,
            "compacting at {rev}"
        );
        self.etcd.compact(rev);
        for shard in &mut self.shards {
            shard.compact_begin(rev);
            // Not always to the end: what is still there must not count.
            let changes = *[0, 3, usize::MAX].get(self.rng.random_range(0..3)).unwrap();
            shard.compact_step(changes, &mut Vec::new());
        }
    }

    fn compare(&mut self) {
        let rev = self.rng.random_range(self.etcd.compacted.max(1)..=self.rev);
        let want = self
            .etcd
            .hash(rev, self.etcd.compacted, &self.etcd.keep(rev));
        let steps = self.rng.random_range(1..9);
        let found = hash(&self.shards, rev, self.etcd.compacted, false, steps);
        assert_eq!(
            found, want,
            "at {rev}, compacted at {}",
            self.etcd.compacted
        );
    }
}

#[test]
fn it_is_the_hash_that_etcd_computes() {
    for seed in 0..60 {
        let mut world = World::new(seed);
        for _ in 0..60 {
            match world.rng.random_range(0..20) {
                0 => world.txn(true),
                1 if world.rev > world.etcd.compacted => world.compact(),
                2..8 => world.compare(),
                _ => world.txn(false),
            }
        }
    }
}

#[test]
fn one_put_hashes_to_these_bytes() {
    let mut index = Index::new();
    let version = Version {
        revision: Revision::new(2, 0),
        create_revision: 2,
        version: 1,
        lease: 0,
        value: Value::Staged(Bytes::from_static(b"bar")),
    };
    index.stage(b"foo", version);
    let mut bytes = b"key".to_vec();
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 2, b'_', 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([
        0x0a, 3, b'f', b'o', b'o', 0x10, 2, 0x18, 2, 0x20, 1, 0x2a, 3,
    ]);
    bytes.extend(b"bar");
    assert_eq!(hash(&[index], 2, 0, false, 1), crc32c::crc32c(&bytes));
}

#[test]
fn a_walk_that_a_compaction_overtakes_says_so() {
    // Overtaken before the keys are gathered, among the keys, and among the records.
    for steps in [0, 5, 20] {
        let mut world = World::new(1);
        world.shards = vec![Index::new()];
        while world.rev < 20 {
            world.txn(false);
        }
        let index = &mut world.shards[0];
        let mut walk = HashWalk::new(HashAsk {
            rev: 15,
            compacted: 0,
            keep_any: true,
        });
        let mut fetch = |_: &PageSlot| Some(b"some value");
        for _ in 0..steps {
            assert_eq!(walk.step(index, 1, &mut fetch, &mut vec![]), Ok(Step::More));
        }
        index.compact_begin(world.rev);
        while !index.compact_step(100, &mut Vec::new()) {}
        let end = loop {
            match walk.step(index, 1, &mut fetch, &mut vec![]) {
                Ok(Step::More) => {}
                end => break end,
            }
        };
        assert_eq!(end, Err(Error::Compacted));
    }
}

/// A store larger than memory: what is loaded for a step is let go of as soon as that made way.
#[test]
fn a_walk_needs_few_pages_at_a_time() {
    let mut index = Index::new();
    for n in 0..2000_i64 {
        let slot = PageSlot {
            page: PageId {
                file: 0,
                block: n as u32 / 3,
            },
            slot: 0,
            len: 10,
        };
        let version = Version {
            revision: Revision::new(n + 2, 0),
            create_revision: n + 2,
            version: 1,
            lease: 0,
            value: Value::Sealed(slot),
        };
        index.stage(format!("k{n:05}").as_bytes(), version);
    }
    let ask = HashAsk {
        rev: 2001,
        compacted: 0,
        keep_any: true,
    };
    let mut walk = HashWalk::new(ask);
    // As the shard does: pages of one attempt must not push out those of the one before.
    let mut held: Vec<PageId> = Vec::new();
    let mut most = 0;
    loop {
        let mut missing = Vec::new();
        let mut fetch = |slot: &PageSlot| held.contains(&slot.page).then_some("some value");
        match walk.step(&index, 512, &mut fetch, &mut missing).unwrap() {
            Step::Done => break,
            Step::More => held.clear(),
            Step::Missing => held.append(&mut missing),
        }
        most = most.max(held.len());
    }
    assert_eq!(walk.finish().len(), 2000);
    assert_eq!(most, PAGES_AHEAD);
}
