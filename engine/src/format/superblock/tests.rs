//! The superblock: golden bytes, damage, and its creation cut off at every operation.
#![allow(clippy::unwrap_used)]

use std::rc::Rc;

use super::*;
use crate::env::memory::MemoryDisk;
use crate::format::mutate;
use crate::format::raw::put;

const DIRS: [&str; 3] = ["pages/0", "pages/1", "checkpoint"];

fn block() -> Superblock {
    Superblock {
        cluster: 0xc1,
        member: 0xe2,
        shards: 2,
        shard_hash: "xx".into(),
        shard_hash_version: 1,
        created_by: "0.1.0".into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_superblock_of_version_1_keeps_its_bytes() {
    let image = block().encode();
    let used = image.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    assert_eq!(hex(&image[..used]), GOLDEN);
    assert_eq!(Superblock::decode(NAME, &image).unwrap(), block());
}

#[test]
fn any_flipped_bit_or_cut_is_found_and_the_file_named() {
    let mut image = block().encode();
    for at in 0..image.len() {
        for bit in 0..8 {
            image[at] ^= 1 << bit;
            let found = Superblock::decode(NAME, &image);
            assert!(
                matches!(found, Err(Fault::Corrupt { path, .. }) if path == NAME),
                "{at}"
            );
            image[at] ^= 1 << bit;
        }
    }
    for len in 0..image.len() {
        let found = Superblock::decode(NAME, &image[..len]);
        assert!(matches!(found, Err(Fault::Corrupt { .. })), "{len}");
    }
}

#[test]
fn a_newer_superblock_says_so() {
    let mut image = block().encode();
    put(&mut image, 8, &2u16.to_le_bytes());
    let crc = crc32c::crc32c(&image[..28]);
    put(&mut image, 28, &crc.to_le_bytes());
    let found = Superblock::decode(NAME, &image).unwrap_err();
    let expected = "SUPERBLOCK: written by a newer version, format 2; this build reads up to 1";
    assert_eq!(found.to_string(), expected);
}

#[test]
fn a_superblock_without_shards_is_refused() {
    let image = Superblock {
        shards: 0,
        ..block()
    }
    .encode();
    assert!(matches!(
        Superblock::decode(NAME, &image),
        Err(Fault::Corrupt { .. })
    ));
}

/// Creates with a crash at operation `at`, then says what a restart finds. `None` when all
/// operations went through before the crash.
fn crash_at(seed: u64, at: u64, ignored: Option<usize>) -> Result<bool, String> {
    let disk = MemoryDisk::new(seed);
    if let Some(ignored) = ignored {
        let count = std::cell::Cell::new(0);
        disk.ignore_sync(Rc::new(move |_, _| {
            count.replace(count.get() + 1) == ignored
        }));
    }
    disk.crash_at(at);
    let created = disk.run(create(&disk, &block(), &DIRS));
    disk.crash();
    disk.ignore_sync(Rc::new(|_, _| false));
    let found = disk.run(load(&disk)).unwrap().map_err(|e| e.to_string())?;
    if created.is_some() && found.is_none() {
        return Err("a superblock that was written is gone".into());
    }
    if found.is_some() {
        for dir in DIRS {
            let listed = disk.run(crate::env::Disk::list(&disk, dir)).unwrap();
            listed.map_err(|_| format!("{dir} is missing under a superblock"))?;
        }
    } else {
        disk.run(create(&disk, &block(), &DIRS))
            .unwrap()
            .map_err(|e| e.to_string())?;
        disk.crash();
        assert_eq!(disk.run(load(&disk)).unwrap().unwrap(), Some(block()));
    }
    Ok(created.is_some())
}

#[test]
fn a_crash_anywhere_leaves_none_or_a_whole_one() {
    for seed in 0..40 {
        let through = (1..100)
            .find(|at| crash_at(seed, *at, None).unwrap())
            .unwrap();
        assert!(through > 8, "{through} operations");
    }
}

#[test]
fn each_sync_of_the_creation_is_needed() {
    // Root and `pages`, the file, and the root again.
    for ignored in 0..4 {
        let fails = |seed| (1..30).any(|at| crash_at(seed, at, Some(ignored)).is_err());
        assert!((0..200).any(fails), "sync {ignored} can be left out");
    }
}

const GOLDEN: &str = "\
    53544f4153555052010000002800000082fa7bdd0000000000000000b7b0ad7ec100000000000000e2000000\
    00000000020000007878ffffffffffff01000000302e312e30ffffff";

#[test]
fn mutated_superblocks_are_refused_or_make_sense() {
    let image = block().encode();
    let used = image.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    mutate::feed(9, 5_000, &[&image[..used]], |bytes| {
        assert!(Superblock::decode(NAME, bytes).is_err());
    });
    // Under checksums that are right.
    let payload = &image[document::HEAD_BYTES..used];
    mutate::feed(10, 5_000, &[payload], |bytes| {
        if let Ok(read) = Superblock::decode(NAME, &KIND.encode(bytes)) {
            assert!((1..=SHARDS_MAX).contains(&read.shards));
            assert_eq!(Superblock::decode(NAME, &read.encode()).unwrap(), read);
        }
    });
}
