//! A store of one shard with nothing but pages and checkpoints: it is crashed at every operation,
//! with every sync left out in turn, and must come back as its last durable checkpoint says.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::env::Disk;
use crate::env::memory::MemoryDisk;
use crate::format::checkpoint::{IndexHead, Manifest, ShardImage};
use crate::format::document;
use crate::format::identity::Identity;
use crate::format::superblock::{self, Superblock};
use crate::ids::{Revision, ShardId};
use crate::mvcc::checkpoint::{DIR, IndexReader, IndexWriter, commit, load_manifest};
use crate::mvcc::pages::{PageOptions, Pages, SealRecord};
use crate::mvcc::version::{Key, PageSlot, Value, Version};

const SHARD: ShardId = ShardId(0);

type Failure = String;
type Model = BTreeMap<Key, (i64, Vec<u8>)>;

fn identity() -> Identity {
    Identity::new(1, 2)
}

fn text(error: impl ToString) -> Failure {
    error.to_string()
}

fn value(main: i64) -> Vec<u8> {
    // Some fill a block and more, so that pages of several blocks are torn too.
    (0..(main * 991) % 7000)
        .map(|at| (at ^ main) as u8)
        .collect()
}

fn key(number: i64) -> Key {
    format!("key-{:03}", number % 40).into_bytes().into()
}

/// The running store.
struct Store {
    disk: MemoryDisk,
    pages: Pages<MemoryDisk>,
    index: BTreeMap<Key, (i64, PageSlot)>,
    revision: i64,
    generation: u64,
}

impl Store {
    async fn open(disk: MemoryDisk) -> Result<Self, Failure> {
        if superblock::load(&disk).await.map_err(text)?.is_none() {
            let block = Superblock {
                cluster: 1,
                member: 2,
                shards: 1,
                shard_hash: "none".into(),
                shard_hash_version: 1,
                created_by: "test".into(),
            };
            superblock::create(&disk, &block, &["pages/0", "checkpoint"])
                .await
                .map_err(text)?;
        }
        let options = PageOptions::new(SHARD, identity());
        let Some(manifest) = load_manifest(&disk, identity()).await.map_err(text)? else {
            let pages = Pages::open(disk.clone(), options, 0, &[])
                .await
                .map_err(text)?;
            return Ok(Self {
                disk,
                pages,
                index: BTreeMap::new(),
                revision: 1,
                generation: 0,
            });
        };
        let image = manifest.shards[0];
        let mut reader = IndexReader::open(&disk, head(&manifest), image)
            .await
            .map_err(text)?;
        let mut index = BTreeMap::new();
        let mut take = |key, versions: Vec<Version>| {
            let Value::Sealed(slot) = versions[0].value else {
                panic!("not sealed")
            };
            index.insert(key, (versions[0].revision.main, slot));
        };
        while reader.step(&mut take).await.map_err(text)? {}
        let files = &reader.footer().expect("read to its end").files;
        let pages = Pages::open(disk.clone(), options, image.next_file, files);
        let pages = pages.await.map_err(text)?;
        let Manifest {
            settled,
            generation,
            ..
        } = manifest;
        Ok(Self {
            disk,
            pages,
            index,
            revision: settled,
            generation,
        })
    }

    /// Writes `count` keys and seals them.
    async fn write(&mut self, count: i64) -> Result<(), Failure> {
        let mut records = Vec::new();
        for _ in 0..count {
            self.revision += 1;
            records.push(record(key(self.revision * 7), self.revision));
        }
        let slots = self.pages.seal(records.clone()).await.map_err(text)?;
        for (record, slot) in records.into_iter().zip(slots) {
            let main = record.revision.main;
            if let Some((_, old)) = self.index.insert(record.key, (main, slot)) {
                self.pages.dead(&old);
            }
        }
        Ok(())
    }

    /// Writes a checkpoint's index file and returns the manifest that would put it in force.
    async fn prepare(&mut self) -> Result<Manifest, Failure> {
        self.generation += 1;
        let mut manifest = Manifest {
            cluster: 1,
            member: 2,
            generation: self.generation,
            settled: self.revision,
            ..Manifest::default()
        };
        let mut writer = IndexWriter::create(&self.disk, head(&manifest))
            .await
            .map_err(text)?;
        for (key, (main, slot)) in &self.index {
            writer.push(key, &[version(*main, *slot)]).map_err(text)?;
            writer.write_out().await.map_err(text)?;
        }
        let summary = writer.finish(&self.pages.files()).await.map_err(text)?;
        manifest.shards = vec![ShardImage {
            index_bytes: summary.bytes,
            index_checksum: summary.checksum,
            next_file: self.pages.next_file(),
        }];
        Ok(manifest)
    }

    async fn checkpoint(&mut self) -> Result<(), Failure> {
        let manifest = self.prepare().await?;
        commit(&self.disk, &manifest).await.map_err(text)?;
        self.pages
            .remove_retired(self.generation)
            .await
            .map_err(text)?;
        Ok(())
    }

    /// Rewrites whatever file has garbage.
    async fn rewrite(&mut self) -> Result<(), Failure> {
        self.pages.rotate().await;
        let Some(work) = self.pages.garbage(true) else {
            return Ok(());
        };
        let mut from = Some(0);
        while let Some(block) = from {
            let chunk = self.pages.records(work.file, block).await.map_err(text)?;
            let live = |(slot, record): &(PageSlot, SealRecord)| {
                self.index
                    .get(&record.key)
                    .is_some_and(|(_, place)| place == slot)
            };
            let records: Vec<_> = chunk
                .records
                .into_iter()
                .filter(live)
                .map(|(_, record)| record)
                .collect();
            let slots = self.pages.seal(records.clone()).await.map_err(text)?;
            for (record, slot) in records.into_iter().zip(slots) {
                self.index.insert(record.key, (record.revision.main, slot));
            }
            from = chunk.next;
        }
        self.pages.retire(work.file, self.generation);
        Ok(())
    }

    /// What a reader finds under every key.
    async fn contents(&self) -> Result<Model, Failure> {
        let mut found = Model::new();
        for (key, (main, slot)) in &self.index {
            let pinned = self.pages.load(slot.page).await.map_err(text)?;
            let record = self
                .pages
                .peek_record(slot)
                .ok_or("a place without a record")?;
            drop(pinned);
            if record.key != *key || record.revision.main != *main {
                return Err(format!("another record at revision {main}"));
            }
            found.insert(key.clone(), (*main, record.value.to_vec()));
        }
        Ok(found)
    }
}

fn head(manifest: &Manifest) -> IndexHead {
    IndexHead {
        identity: identity(),
        shard: SHARD,
        generation: manifest.generation,
        settled: manifest.settled,
    }
}

fn record(key: Key, main: i64) -> SealRecord {
    let revision = Revision::new(main, 0);
    let value = value(main).into();
    SealRecord {
        key,
        revision,
        create_revision: main,
        version: 1,
        lease: 0,
        value,
    }
}

fn version(main: i64, slot: PageSlot) -> Version {
    Version {
        revision: Revision::new(main, 0),
        create_revision: main,
        version: 1,
        lease: 0,
        value: Value::Sealed(slot),
    }
}

/// What the store holds at a revision: writes are a function of the revision alone.
fn model(revision: i64) -> Model {
    (2..=revision)
        .map(|main| (key(main * 7), (main, value(main))))
        .collect()
}

/// The workload: returns early when the disk stops. `durable` is the last checkpoint's revision,
/// `begun` that of the last checkpoint begun.
async fn work(store: &mut Store, durable: &Cell<i64>, begun: &Cell<i64>) -> Result<(), Failure> {
    for round in 0..3 {
        store.write(9 + round).await?;
        store.write(3).await?;
        begun.set(store.revision);
        store.checkpoint().await?;
        durable.set(store.revision);
        store.write(5).await?;
        store.rewrite().await?;
    }
    Ok(())
}

/// What is left out: the n-th sync (counted over the run), if any.
fn leave_out(disk: &MemoryDisk, sync: Option<usize>) -> Rc<Cell<usize>> {
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    disk.ignore_sync(Rc::new(move |_, _| {
        counted.set(counted.get() + 1);
        Some(counted.get() - 1) == sync
    }));
    count
}

/// Checks that the disk holds `durable`, or what was begun when it stopped.
fn verify(disk: &MemoryDisk, durable: i64, begun: i64) -> Result<Store, Failure> {
    let store = disk
        .run(Store::open(disk.clone()))
        .expect("the disk is on")?;
    if store.revision != durable && store.revision != begun {
        let found = store.revision;
        return Err(format!("revision {found}, not {durable} nor {begun}"));
    }
    let contents = disk.run(store.contents()).expect("the disk is on")?;
    if contents != model(store.revision) {
        return Err(format!("other contents at revision {}", store.revision));
    }
    Ok(store)
}

/// One run with a crash at operation `at`, and then one more, with a crash at operation `again`
/// of it. True if the first run came to its end before.
fn run(seed: u64, at: u64, again: u64, sync: Option<usize>) -> Result<bool, Failure> {
    let disk = MemoryDisk::new(seed);
    leave_out(&disk, sync);
    let (durable, begun) = (Cell::new(1), Cell::new(1));
    let life = async || {
        let mut store = Store::open(disk.clone()).await?;
        durable.set(store.revision);
        begun.set(store.revision);
        work(&mut store, &durable, &begun).await
    };
    disk.crash_at(at);
    let through = disk.run(life()).transpose()?.is_some();
    disk.crash();
    verify(&disk, durable.get(), begun.get())?;
    disk.crash_at(disk.operations() + again);
    disk.run(life()).transpose()?;
    disk.crash();
    verify(&disk, durable.get(), begun.get())?;
    Ok(through)
}

fn operations() -> u64 {
    (1..2000).find(|at| run(0, *at, 1, None).unwrap()).unwrap()
}

#[test]
fn a_crash_at_any_operation_leaves_a_whole_checkpoint() {
    let operations = operations();
    assert!(operations > 60, "{operations} operations");
    for seed in 0..3 {
        for at in 1..=operations {
            let again = 1 + (at * 13 + seed * 7) % operations;
            let done = run(seed, at, again, None);
            done.unwrap_or_else(|error| panic!("seed {seed}, crash at {at}, {again}: {error}"));
        }
    }
}

#[test]
fn no_sync_can_be_left_out() {
    let disk = MemoryDisk::new(0);
    let count = leave_out(&disk, None);
    let all = disk.run(async {
        let mut store = Store::open(disk.clone()).await?;
        work(&mut store, &Cell::new(0), &Cell::new(0)).await
    });
    all.unwrap().unwrap();
    let operations = operations();
    // All syncs of the first two rounds, every kind of them; but the start's own, the fifth,
    // which only a killed process makes needed.
    for sync in (0..count.get() * 2 / 3).filter(|sync| *sync != 4) {
        let fails = |seed: u64| {
            let at = 1 + (seed * 17) % operations;
            run(seed, at, 1 + seed % operations, Some(sync)).is_err()
        };
        assert!((0..3000).any(fails), "sync {sync} can be left out");
    }
}

/// A process is killed when the name of its manifest is visible and not yet durable; another
/// starts; the power goes at one of its first operations. `sync` of the start is left out.
fn killed(seed: u64, sync: Option<usize>) -> Result<(), Failure> {
    let disk = MemoryDisk::new(seed);
    let first = disk.run(async {
        let mut store = Store::open(disk.clone()).await?;
        work(&mut store, &Cell::new(0), &Cell::new(0)).await?;
        store.checkpoint().await?;
        store.write(30).await?;
        store.rewrite().await?;
        let manifest = store.prepare().await?;
        disk.sync_dir(DIR).await.map_err(text)?;
        disk.ignore_sync(Rc::new(|path, _| path == DIR));
        document::replace(&disk, DIR, "MANIFEST", "MANIFEST.new", &manifest.encode())
            .await
            .map_err(text)
    });
    first.expect("the disk is on")?;
    leave_out(&disk, sync);
    disk.crash_at(disk.operations() + 1 + seed % 16);
    disk.run(async {
        let mut store = Store::open(disk.clone()).await?;
        store.write(9).await
    })
    .transpose()?;
    disk.crash();
    let store = disk
        .run(Store::open(disk.clone()))
        .expect("the disk is on")?;
    let contents = disk.run(store.contents()).expect("the disk is on")?;
    if contents != model(store.revision) {
        return Err(format!("other contents at revision {}", store.revision));
    }
    Ok(())
}

#[test]
fn a_start_after_a_kill_makes_what_it_found_durable_first() {
    for seed in 0..100 {
        killed(seed, None).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    assert!(
        (0..3000).any(|seed| killed(seed, Some(0)).is_err()),
        "the start needs no sync"
    );
}
