//! What the memory disk keeps in a crash and what it may lose.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::future::Future;
use std::io::ErrorKind;
use std::rc::Rc;

use super::super::{Disk, DiskFile, OpenMode, suite};
use super::{MemoryDisk, MemoryFile, OpKind, SyncKind};
use crate::limits::BLOCK_BYTES;

const DURABLE: OpenMode = OpenMode {
    write: true,
    create_new: false,
    durable_writes: true,
};

fn run<F: Future>(disk: &MemoryDisk, future: F) -> F::Output {
    disk.run(future)
        .expect("the future waits for something that is not the disk")
}

async fn fill(file: &MemoryFile, offset: u64, byte: u8) -> std::io::Result<()> {
    let mut buf = file.alloc(BLOCK_BYTES);
    buf.as_mut().fill(byte);
    file.write(offset, buf).await
}

/// A durable block of ones in `f`.
async fn prepare(disk: &MemoryDisk) -> MemoryFile {
    let file = disk.open("f", OpenMode::CREATE).await.unwrap();
    fill(&file, 0, 1).await.unwrap();
    file.sync().await.unwrap();
    disk.sync_dir("").await.unwrap();
    file
}

fn read(disk: &MemoryDisk, path: &str) -> Option<Vec<u8>> {
    disk.contents()
        .into_iter()
        .find(|(name, _)| name == path)
        .map(|(_, bytes)| bytes)
}

/// Every sector's first byte, over many seeds.
fn outcomes(make: impl Fn(&MemoryDisk)) -> BTreeSet<Vec<u8>> {
    (0..200)
        .map(|seed| {
            let disk = MemoryDisk::new(seed);
            make(&disk);
            disk.crash();
            read(&disk, "f")
                .unwrap_or_default()
                .chunks(512)
                .map(|sector| sector[0])
                .collect()
        })
        .collect()
}

#[test]
fn passes_the_suite_stepping_and_immediate() {
    for immediate in [false, true] {
        let disk = MemoryDisk::new(1);
        disk.set_immediate(immediate);
        run(&disk, suite::run(disk.clone()));
    }
}

#[test]
fn what_is_synced_survives_and_what_is_not_tears_by_sector() {
    let kept = outcomes(|disk| {
        run(disk, async {
            let file = prepare(disk).await;
            fill(&file, 0, 2).await.unwrap();
            file.sync().await.unwrap();
        });
    });
    assert_eq!(kept, BTreeSet::from([vec![2; 8]]));
    let torn = outcomes(|disk| {
        run(disk, async {
            let file = prepare(disk).await;
            fill(&file, 0, 2).await.unwrap();
            fill(&file, 0, 3).await.unwrap();
        });
    });
    assert!(torn.len() > 50, "only {} outcomes", torn.len());
    let bytes: BTreeSet<u8> = torn.into_iter().flatten().collect();
    assert_eq!(
        bytes,
        BTreeSet::from([1, 2, 3]),
        "the last writes may land in any order"
    );
}

#[test]
fn a_durable_write_survives_when_it_returns_and_may_tear_before() {
    let kept = outcomes(|disk| {
        run(disk, async {
            prepare(disk).await;
            let file = disk.open("f", DURABLE).await.unwrap();
            fill(&file, 0, 2).await.unwrap();
        });
    });
    assert_eq!(kept, BTreeSet::from([vec![2; 8]]));
    let torn = outcomes(|disk| {
        run(disk, prepare(disk));
        disk.crash_at(disk.operations() + 1);
        let write = async {
            let file = disk.open("f", DURABLE).await.unwrap();
            fill(&file, 0, 2).await
        };
        assert!(disk.run(write).is_none(), "the write returned");
        assert!(disk.is_frozen());
        assert!(!disk.step());
    });
    assert!(torn.len() > 50, "only {} outcomes", torn.len());
}

#[test]
fn a_sync_covers_only_what_completed_before_it_was_asked_for() {
    let seen = outcomes(|disk| {
        run(disk, async {
            let file = prepare(disk).await;
            let (write, sync) = futures::join!(fill(&file, 0, 2), file.sync());
            write.and(sync).unwrap();
        });
    });
    assert!(seen.len() > 50, "only {} outcomes", seen.len());
}

#[test]
fn names_are_volatile_until_the_directory_is_synced() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let disk = MemoryDisk::new(seed);
        run(&disk, async {
            prepare(&disk).await;
            disk.make_dir("d").await.unwrap();
            disk.open("d/x", OpenMode::CREATE).await.unwrap();
            disk.sync_dir("d").await.unwrap();
            disk.rename("f", "g").await.unwrap();
            disk.open("h", OpenMode::CREATE).await.unwrap();
        });
        disk.crash();
        let names: Vec<String> = disk.contents().into_iter().map(|(name, _)| name).collect();
        let moved = names.contains(&"f".to_owned()) ^ names.contains(&"g".to_owned());
        assert!(moved, "a rename is atomic: {names:?}");
        seen.insert(names);
    }
    assert_eq!(
        seen.len(),
        8,
        "three names land or do not, each for itself: {seen:?}"
    );
    let disk = MemoryDisk::new(3);
    run(&disk, async {
        prepare(&disk).await;
        disk.rename("f", "g").await.unwrap();
        disk.sync_dir("").await.unwrap();
    });
    disk.crash();
    assert_eq!(read(&disk, "g").unwrap(), vec![1; BLOCK_BYTES]);
    assert!(read(&disk, "f").is_none());
}

#[test]
fn handles_die_in_a_crash_and_pending_operations_fail() {
    let disk = MemoryDisk::new(5);
    let file = run(&disk, prepare(&disk));
    disk.crash();
    assert!(run(&disk, file.sync()).is_err());
    assert!(run(&disk, file.read(0, 1)).is_err());
    let file = run(&disk, disk.open("f", OpenMode::READ)).unwrap();
    assert_eq!(run(&disk, file.read(0, 1)).unwrap()[..], [1]);
}

#[test]
fn faults_are_felt_once_and_a_failed_sync_keeps_nothing_for_good() {
    let seen = outcomes(|disk| {
        run(disk, async {
            let file = prepare(disk).await;
            fill(&file, 0, 2).await.unwrap();
            disk.fail_next("f", OpKind::Sync);
            assert!(file.sync().await.is_err());
            file.sync().await.unwrap();
        });
    });
    assert!(seen.len() > 50, "a sync after a failed one kept the bytes");
    let disk = MemoryDisk::new(1);
    run(&disk, async {
        let file = prepare(&disk).await;
        disk.fail_next("f", OpKind::Read);
        assert!(file.read(0, 1).await.is_err());
        assert_eq!(file.read(0, 1).await.unwrap()[..], [1]);
        assert!(disk.flip_bit("f", 7, 1));
        assert_eq!(file.read(6, 3).await.unwrap()[..], [1, 3, 1]);
        assert!(!disk.flip_bit("f", BLOCK_BYTES as u64, 1));
    });
}

#[test]
fn a_full_disk_refuses_growth_and_takes_space_back() {
    let disk = MemoryDisk::new(1);
    run(&disk, async {
        let file = prepare(&disk).await;
        disk.set_free_bytes(BLOCK_BYTES as u64);
        fill(&file, BLOCK_BYTES as u64, 1).await.unwrap();
        let full = fill(&file, 2 * BLOCK_BYTES as u64, 1).await.unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        fill(&file, 0, 2).await.unwrap();
        assert_eq!(disk.free_bytes().await.unwrap(), 0);
        disk.remove("f").await.unwrap();
        assert_eq!(disk.free_bytes().await.unwrap(), 2 * BLOCK_BYTES as u64);
    });
}

#[test]
fn an_ignored_sync_succeeds_and_keeps_nothing() {
    let seen = outcomes(|disk| {
        run(disk, async {
            let file = prepare(disk).await;
            disk.ignore_sync(Rc::new(|path, kind| path == "f" && kind == SyncKind::File));
            fill(&file, 0, 2).await.unwrap();
            file.sync().await.unwrap();
        });
    });
    assert!(seen.len() > 50, "only {} outcomes", seen.len());
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let trace = |seed| {
        let disk = MemoryDisk::new(seed);
        run(&disk, async {
            let file = prepare(&disk).await;
            let writes = (0..20).map(|at| fill(&file, 4096 * (at % 5), at as u8));
            futures::future::try_join_all(writes).await.unwrap();
            file.read(0, 5 * BLOCK_BYTES).await.unwrap();
        });
        disk.crash();
        (disk.trace(), disk.contents())
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1).0, trace(2).0);
}
