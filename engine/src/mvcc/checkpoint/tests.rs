//! Index files and manifests: round trips, damage, bounds, and a small store that is crashed at
//! every operation and with every sync left out.
#![allow(clippy::unwrap_used)]

mod store;

use std::cell::RefCell;

use super::*;
use crate::env::Disk;
use crate::env::memory::MemoryDisk;
use crate::format::checkpoint::{FileImage, IndexHead, Manifest, ShardImage};
use crate::format::identity::Identity;
use crate::ids::ShardId;
use crate::limits::{INDEX_CHUNK_BYTES, WRITE_BYTES};
use crate::mvcc::pages::weight;
use crate::mvcc::version::{Key, PageId, PageSlot, Value, Version};

type Entries = Vec<(Key, Vec<Version>)>;

const PATH: &str = "checkpoint/00000000000000000004-00003.index";

fn identity() -> Identity {
    Identity::new(0xc1, 0xe2)
}

fn head() -> IndexHead {
    IndexHead {
        identity: identity(),
        shard: ShardId(3),
        generation: 4,
        settled: 1 << 40,
    }
}

fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new(11);
    disk.set_immediate(true);
    disk.run(disk.make_dir(DIR)).unwrap().unwrap();
    disk.run(disk.sync_dir("")).unwrap().unwrap();
    disk
}

fn version(main: i64, place: Option<u32>) -> Version {
    let revision = Revision::new(main, main % 4);
    let Some(slot) = place else {
        return Version {
            revision,
            create_revision: 0,
            version: 0,
            lease: 0,
            value: Value::Deleted,
        };
    };
    let page = PageId {
        file: slot % 3,
        block: slot * 16,
    };
    Version {
        revision,
        create_revision: main - i64::from(slot % 50),
        version: i64::from(slot) + 1,
        lease: if slot.is_multiple_of(3) {
            i64::MAX - i64::from(slot)
        } else {
            0
        },
        value: Value::Sealed(PageSlot {
            page,
            slot,
            len: slot * 7,
        }),
    }
}

/// Keys with one to four versions, every seventh ending in a delete.
fn entries(keys: u32) -> Entries {
    let entry = |number: u32| {
        let key = format!("registry/pods/{number:08}").into_bytes();
        let first = i64::from(number) * 10 + 100;
        let mut versions: Vec<_> = (0..i64::from(number % 4) + 1)
            .map(|at| version(first + at, Some(number % 1000)))
            .collect();
        if number.is_multiple_of(7) {
            versions.push(version(first + 9, None));
        }
        (key.into(), versions)
    };
    (0..keys).map(entry).collect()
}

fn files() -> Vec<FileImage> {
    (0..4)
        .map(|number| FileImage {
            number,
            blocks: 1 << 20,
            total: 1 << 40,
            live: 9,
        })
        .collect()
}

fn write(disk: &MemoryDisk, entries: &Entries) -> IndexSummary {
    let mut writer = disk
        .run(IndexWriter::create(disk, head()))
        .unwrap()
        .unwrap();
    for step in entries.chunks(512) {
        for (key, versions) in step {
            writer.push(key, versions).unwrap();
        }
        disk.run(writer.write_out()).unwrap().unwrap();
    }
    disk.run(writer.finish(&files())).unwrap().unwrap()
}

fn image(summary: &IndexSummary) -> ShardImage {
    ShardImage {
        index_bytes: summary.bytes,
        index_checksum: summary.checksum,
        next_file: 4,
    }
}

fn read(disk: &MemoryDisk, image: ShardImage) -> Result<Entries, CheckpointError> {
    let mut reader = disk.run(IndexReader::open(disk, head(), image)).unwrap()?;
    let mut found = Vec::new();
    while disk
        .run(reader.step(&mut |key, versions| found.push((key, versions))))
        .unwrap()?
    {}
    assert!(reader.footer().is_some());
    Ok(found)
}

#[test]
fn entries_come_back_and_page_files_are_counted() {
    for keys in [0, 1, 2, 30_000] {
        let disk = disk();
        let entries = entries(keys);
        let summary = write(&disk, &entries);
        assert_eq!(summary.footer.keys, u64::from(keys));
        assert_eq!(read(&disk, image(&summary)).unwrap(), entries);

        let mut live = [0; 4];
        let versions = entries.iter().flat_map(|(_, versions)| versions);
        for version in versions.clone() {
            if let Value::Sealed(slot) = &version.value {
                live[slot.page.file as usize] += weight(slot.len);
            }
        }
        assert_eq!(summary.footer.versions, versions.count() as u64);
        let counted: Vec<_> = summary
            .footer
            .files
            .iter()
            .map(|f| (f.number, f.live))
            .collect();
        let named: Vec<_> = (0..4).zip(live).filter(|(_, live)| *live > 0).collect();
        assert_eq!(counted, named);
    }
}

#[test]
fn a_key_with_very_many_versions_comes_back_whole() {
    let disk = disk();
    let mut entries = entries(3);
    entries[1].1 = (1..20_000)
        .map(|main| version(main, Some((main % 900) as u32)))
        .collect();
    let summary = write(&disk, &entries);
    assert!(
        summary.bytes > 3 * INDEX_CHUNK_BYTES as u64,
        "more than one chunk"
    );
    assert_eq!(read(&disk, image(&summary)).unwrap(), entries);
}

#[test]
fn an_index_is_written_in_large_bounded_writes() {
    let disk = disk();
    let before = disk.operations();
    let summary = write(&disk, &entries(60_000));
    let writes = summary.bytes.div_ceil(WRITE_BYTES as u64);
    assert!(writes > 2);
    // Its name, its writes and its sync.
    assert_eq!(disk.operations() - before, writes + 2);
}

#[test]
fn a_value_without_a_page_a_wrong_order_and_an_unknown_file_are_refused() {
    let disk = disk();
    let mut writer = disk
        .run(IndexWriter::create(&disk, head()))
        .unwrap()
        .unwrap();
    let staged = Version {
        value: Value::Staged("v".into()),
        ..version(5, Some(1))
    };
    let staged = writer.push(b"a", &[staged]).unwrap_err();
    assert_eq!(staged.to_string(), "version 5.1 has no page yet");
    disk.run(disk.remove(PATH)).unwrap().unwrap();

    let mut writer = disk
        .run(IndexWriter::create(&disk, head()))
        .unwrap()
        .unwrap();
    writer.push(b"b", &[version(5, Some(1))]).unwrap();
    assert_eq!(
        writer.push(b"a", &[version(6, Some(1))]),
        Err(CheckpointError::Order)
    );
    assert_eq!(
        writer.push(b"b", &[version(6, Some(1))]),
        Err(CheckpointError::Order)
    );
    let finished = disk.run(writer.finish(&[])).unwrap();
    assert_eq!(finished, Err(CheckpointError::NoFile(1)));
}

#[test]
fn any_flipped_bit_or_cut_of_an_index_is_found_with_file_and_offset() {
    let disk = disk();
    let summary = write(&disk, &entries(3000));
    let image = image(&summary);
    for (at, bit) in (0..summary.bytes).step_by(397).zip((0..8).cycle()) {
        assert!(disk.flip_bit(PATH, at, bit));
        let Err(CheckpointError::Fault(Fault::Corrupt { path, offset, .. })) = read(&disk, image)
        else {
            panic!("bit {bit} of byte {at} went unseen");
        };
        assert_eq!(path, PATH);
        assert!(
            offset <= at && at - offset < 2 * INDEX_CHUNK_BYTES as u64,
            "{offset} for {at}"
        );
        assert!(disk.flip_bit(PATH, at, bit));
    }
    assert!(
        read(
            &disk,
            ShardImage {
                index_checksum: 1,
                ..image
            }
        )
        .is_err()
    );
    for longer in [image.index_bytes - 4096, image.index_bytes + 4096] {
        assert!(
            read(
                &disk,
                ShardImage {
                    index_bytes: longer,
                    ..image
                }
            )
            .is_err()
        );
    }
}

#[test]
fn every_flipped_bit_of_a_small_index_is_found() {
    let disk = disk();
    let image = image(&write(&disk, &entries(9)));
    for at in 0..image.index_bytes {
        for bit in 0..8 {
            assert!(disk.flip_bit(PATH, at, bit));
            let found = read(&disk, image);
            assert!(
                matches!(found, Err(CheckpointError::Fault(Fault::Corrupt { .. }))),
                "{at}"
            );
            assert!(disk.flip_bit(PATH, at, bit));
        }
    }
    assert!(
        read(
            &disk,
            ShardImage {
                index_checksum: 1,
                ..image
            }
        )
        .is_err()
    );
    for longer in [image.index_bytes - 4096, image.index_bytes + 4096] {
        assert!(
            read(
                &disk,
                ShardImage {
                    index_bytes: longer,
                    ..image
                }
            )
            .is_err()
        );
    }
}

/// Writes an index file anew with its chunks chosen and ordered by `arrange`.
fn rearranged(entries: &Entries, arrange: &dyn Fn(&mut Vec<Vec<u8>>)) -> MemoryDisk {
    let source = disk();
    write(&source, entries);
    let contents = source.contents();
    let bytes = &contents.iter().find(|(path, _)| path == PATH).unwrap().1;
    let mut chunks = Vec::new();
    let mut at = 64;
    while bytes.len() - at > 28 && bytes[at..at + 4] == *b"CHNK" {
        let len = u32::from_le_bytes(bytes[at + 16..at + 20].try_into().unwrap()) as usize + 28;
        chunks.push(bytes[at..at + len].to_vec());
        at += len;
    }
    arrange(&mut chunks);
    let mut out = bytes[..64].to_vec();
    chunks.iter().for_each(|chunk| out.extend_from_slice(chunk));
    // Of the length that the manifest names, whatever is in it.
    out.resize(bytes.len().max(out.len().next_multiple_of(4096)), 0);
    let target = disk();
    let write = async {
        use crate::env::{DiskFile, OpenMode};
        let file = target.open(PATH, OpenMode::CREATE).await.unwrap();
        let mut buf = file.alloc(out.len());
        buf.as_mut().copy_from_slice(&out);
        file.write(0, buf).await.unwrap();
    };
    target.run(write).unwrap();
    target
}

#[test]
fn a_lost_doubled_or_moved_chunk_is_found() {
    let entries = entries(9000);
    let whole = disk();
    let image = image(&write(&whole, &entries));
    type Arrange = Box<dyn Fn(&mut Vec<Vec<u8>>)>;
    let cases: [(&str, Arrange); 5] = [
        ("nothing changed", Box::new(|_| {})),
        ("lost", Box::new(|chunks| drop(chunks.remove(1)))),
        (
            "doubled",
            Box::new(|chunks| chunks.insert(1, chunks[1].clone())),
        ),
        ("moved", Box::new(|chunks| chunks.swap(1, 2))),
        (
            "all lost but the footer",
            Box::new(|chunks| drop(chunks.drain(..chunks.len() - 1))),
        ),
    ];
    for (name, arrange) in cases {
        let disk = rearranged(&entries, &arrange);
        let image = ShardImage {
            index_bytes: disk
                .contents()
                .iter()
                .find(|(p, _)| p == PATH)
                .unwrap()
                .1
                .len() as u64,
            ..image
        };
        match read(&disk, image) {
            Ok(found) => assert!(name == "nothing changed" && found == entries, "{name}"),
            Err(error) => {
                let named = error
                    .to_string()
                    .contains("missing, doubled or of another file");
                assert!(name != "nothing changed" && named, "{name}: {error}");
            }
        }
    }
}

#[test]
fn a_fresh_directory_has_no_manifest_and_leftovers_go() {
    let empty = MemoryDisk::new(1);
    empty.set_immediate(true);
    assert_eq!(
        empty
            .run(load_manifest(&empty, identity()))
            .unwrap()
            .unwrap(),
        None
    );

    let disk = disk();
    write(&disk, &entries(3));
    assert_eq!(
        disk.run(load_manifest(&disk, identity())).unwrap().unwrap(),
        None
    );
    assert!(disk.contents().is_empty(), "an index without a manifest");
}

fn manifest(generation: u64) -> Manifest {
    Manifest {
        cluster: 0xc1,
        member: 0xe2,
        generation,
        settled: 5,
        ..Manifest::default()
    }
}

#[test]
fn a_damaged_or_foreign_manifest_is_named_and_nothing_is_removed() {
    let disk = disk();
    write(&disk, &entries(3));
    disk.run(commit(&disk, &manifest(4))).unwrap().unwrap();
    let before = disk.contents().len();
    assert!(disk.flip_bit("checkpoint/MANIFEST", 60, 1));
    let found = disk
        .run(load_manifest(&disk, identity()))
        .unwrap()
        .unwrap_err();
    let expected = "checkpoint/MANIFEST: damaged at offset 32: checksum of the content";
    assert_eq!(found.to_string(), expected);
    assert_eq!(found.class(), Class::Fatal);
    assert!(disk.flip_bit("checkpoint/MANIFEST", 60, 1));
    let other = Identity::new(0xc1, 0xe3);
    let found = disk.run(load_manifest(&disk, other)).unwrap().unwrap_err();
    assert!(matches!(
        found,
        CheckpointError::Fault(Fault::Foreign { .. })
    ));
    assert_eq!(disk.contents().len(), before);
    assert_eq!(
        disk.run(load_manifest(&disk, identity())).unwrap().unwrap(),
        Some(manifest(4))
    );
}

#[test]
fn a_full_disk_fails_the_checkpoint_and_keeps_the_former() {
    let disk = disk();
    write(&disk, &entries(3));
    disk.run(commit(&disk, &manifest(4))).unwrap().unwrap();
    disk.set_free_bytes(100);
    let next = IndexHead {
        generation: 5,
        ..head()
    };
    let mut writer = disk.run(IndexWriter::create(&disk, next)).unwrap().unwrap();
    for (key, versions) in entries(10) {
        writer.push(&key, &versions).unwrap();
    }
    let error = disk.run(writer.finish(&files())).unwrap().unwrap_err();
    assert_eq!(error.class(), Class::Retry);
    let error = disk.run(commit(&disk, &manifest(5))).unwrap().unwrap_err();
    assert_eq!(error.class(), Class::Retry);
    assert_eq!(
        disk.run(load_manifest(&disk, identity())).unwrap().unwrap(),
        Some(manifest(4))
    );
    let names = disk.run(disk.list(DIR)).unwrap().unwrap();
    assert_eq!(names, ["00000000000000000004-00003.index", "MANIFEST"]);
}

/// Prints how long a million keys take; run it in release.
#[test]
#[ignore = "a measurement"]
#[allow(clippy::disallowed_methods, clippy::print_stdout)]
fn a_million_keys() {
    let disk = disk();
    let entries = entries(1_000_000);
    let start = std::time::Instant::now();
    let summary = write(&disk, &entries);
    println!("written: {:?}, {} bytes", start.elapsed(), summary.bytes);
    let count = RefCell::new(0);
    let start = std::time::Instant::now();
    let mut reader = disk
        .run(IndexReader::open(&disk, head(), image(&summary)))
        .unwrap()
        .unwrap();
    let mut take = |_, versions: Vec<Version>| *count.borrow_mut() += versions.len();
    while disk.run(reader.step(&mut take)).unwrap().unwrap() {}
    println!("read: {:?}, {} versions", start.elapsed(), count.borrow());
}
