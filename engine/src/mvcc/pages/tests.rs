//! Sealing, reading, faults of the disk, garbage and rewriting, on the memory disk.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use super::*;
use crate::env::DiskFile;
use crate::env::memory::{MemoryDisk, OpKind};
use crate::error::Class;
use crate::format::fault::Fault;
use crate::limits::{PAGE_BYTES, PAGE_FILE_BYTES};

const FIRST: &str = "pages/0/0000000000.pages";

fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new(7);
    disk.set_immediate(true);
    disk.run(disk.make_dir("pages/0")).unwrap().unwrap();
    disk.run(disk.sync_dir("pages")).unwrap().unwrap();
    disk.run(disk.sync_dir("")).unwrap().unwrap();
    disk
}

fn options() -> PageOptions {
    PageOptions::new(ShardId(0), Identity::new(0xc1, 0xe2))
}

fn open(disk: &MemoryDisk) -> Pages<MemoryDisk> {
    disk.run(Pages::open(disk.clone(), options(), 0, &[]))
        .unwrap()
        .unwrap()
}

/// As after a restart from a checkpoint that `pages` has just written.
fn reopen(disk: &MemoryDisk, pages: &Pages<MemoryDisk>) -> Pages<MemoryDisk> {
    try_reopen(disk, pages).unwrap()
}

fn try_reopen(
    disk: &MemoryDisk,
    pages: &Pages<MemoryDisk>,
) -> Result<Pages<MemoryDisk>, PageError> {
    disk.run(Pages::open(
        disk.clone(),
        options(),
        pages.next_file(),
        &pages.files(),
    ))
    .unwrap()
}

fn record(main: i64, len: usize) -> SealRecord {
    let mut value = vec![main as u8; len];
    for (at, byte) in value.iter_mut().enumerate().step_by(509) {
        *byte = at as u8;
    }
    SealRecord {
        key: format!("key-{main:06}").into_bytes().into(),
        revision: Revision::new(main, main % 3),
        create_revision: main - 1,
        version: 2,
        lease: main % 2,
        value: value.into(),
    }
}

fn seal(disk: &MemoryDisk, pages: &Pages<MemoryDisk>, records: &[SealRecord]) -> Vec<PageSlot> {
    disk.run(pages.seal(records.to_vec())).unwrap().unwrap()
}

/// Loads and reads each record and compares it.
fn expect(
    disk: &MemoryDisk,
    pages: &Pages<MemoryDisk>,
    records: &[SealRecord],
    slots: &[PageSlot],
) {
    assert_eq!(records.len(), slots.len());
    for (record, slot) in records.iter().zip(slots) {
        let pinned = disk.run(pages.load(slot.page)).unwrap().unwrap();
        assert_eq!(pages.peek(slot).unwrap(), record.value);
        assert_eq!(&pages.peek_record(slot).unwrap(), record);
        drop(pinned);
    }
}

#[test]
fn sealed_records_are_read_from_memory_and_after_a_crash_from_the_disk() {
    let disk = disk();
    let pages = open(&disk);
    let records: Vec<_> = (2..900)
        .map(|main| record(main, (main % 700) as usize))
        .collect();
    let slots = seal(&disk, &pages, &records);
    for (record, slot) in records.iter().zip(&slots) {
        assert_eq!(pages.peek(slot).unwrap(), record.value, "just sealed");
    }
    disk.crash();
    let again = reopen(&disk, &pages);
    assert!(again.peek(&slots[0]).is_none());
    expect(&disk, &again, &records, &slots);
}

#[test]
fn a_value_stays_with_its_reader_when_its_page_is_evicted() {
    let disk = disk();
    let small = PageOptions {
        cache_bytes: PAGE_BYTES,
        ..options()
    };
    let pages = disk
        .run(Pages::open(disk.clone(), small, 0, &[]))
        .unwrap()
        .unwrap();
    let records: Vec<_> = (2..200).map(|main| record(main, 3000)).collect();
    let slots = seal(&disk, &pages, &records);
    let held = pages.peek(slots.last().unwrap()).unwrap();
    expect(&disk, &pages, &records, &slots);
    assert!(
        pages.peek(&slots[0]).is_none(),
        "the cache is one page large"
    );
    assert_eq!(held, records.last().unwrap().value);
    assert!(pages.stats().cached_bytes <= PAGE_BYTES);
}

#[test]
fn pages_loaded_together_stay_until_their_reader_had_its_turn() {
    let disk = disk();
    let none = PageOptions {
        cache_bytes: 0,
        ..options()
    };
    let pages = disk
        .run(Pages::open(disk.clone(), none, 0, &[]))
        .unwrap()
        .unwrap();
    let records: Vec<_> = (2..200).map(|main| record(main, 3000)).collect();
    let slots = seal(&disk, &pages, &records);
    let wanted: Vec<_> = slots.iter().map(|slot| slot.page).collect();
    let pinned = disk.run(pages.load_all(&wanted)).unwrap().unwrap();
    for (record, slot) in records.iter().zip(&slots) {
        assert_eq!(pages.peek(slot).unwrap(), record.value);
    }
    drop(pinned);
    assert_eq!(pages.stats().cached_bytes, 0);
}

#[test]
fn large_and_empty_values_come_back() {
    let disk = disk();
    let pages = open(&disk);
    let lengths = [
        0,
        1,
        PAGE_BYTES - 200,
        PAGE_BYTES,
        PAGE_BYTES + 1,
        3_000_000,
        5,
        0,
    ];
    let records: Vec<_> = lengths
        .iter()
        .zip(2..)
        .map(|(len, main)| record(main, *len))
        .collect();
    let slots = seal(&disk, &pages, &records);
    disk.crash();
    let again = reopen(&disk, &pages);
    expect(&disk, &again, &records, &slots);
}

#[test]
fn files_end_at_their_bound_and_the_next_begins() {
    let disk = disk();
    let pages = open(&disk);
    let per_seal = 7;
    let mut all = Vec::new();
    for seal_number in 0..12 {
        let mains = (seal_number * per_seal + 2)..((seal_number + 1) * per_seal + 2);
        let records: Vec<_> = mains.map(|main| record(main, 1 << 20)).collect();
        all.extend(seal(&disk, &pages, &records));
    }
    let files = pages.files();
    assert_eq!(files.len(), 2);
    assert!(u64::from(files[0].blocks) * 4096 <= PAGE_FILE_BYTES);
    assert!(u64::from(files[0].blocks) * 4096 > PAGE_FILE_BYTES - (2 << 20));
    disk.crash();
    let again = reopen(&disk, &pages);
    for (slot, main) in all.iter().zip(2..) {
        expect(&disk, &again, &[record(main, 1 << 20)], &[*slot]);
    }
}

#[test]
fn a_restart_goes_on_behind_what_the_checkpoint_names() {
    let disk = disk();
    let pages = open(&disk);
    let first: Vec<_> = (2..50).map(|main| record(main, 500)).collect();
    let first_slots = seal(&disk, &pages, &first);
    let (next, files) = (pages.next_file(), pages.files());
    // Sealed behind the checkpoint: forgotten by it, so that its blocks are free again.
    let lost: Vec<_> = (50..90).map(|main| record(main, 900)).collect();
    seal(&disk, &pages, &lost);
    disk.crash();
    let again = disk
        .run(Pages::open(disk.clone(), options(), next, &files))
        .unwrap()
        .unwrap();
    let second: Vec<_> = (50..70).map(|main| record(main, 100)).collect();
    let second_slots = seal(&disk, &again, &second);
    assert_eq!(second_slots[0].page.file, first_slots[0].page.file);
    disk.crash();
    let last = reopen(&disk, &again);
    expect(&disk, &last, &first, &first_slots);
    expect(&disk, &last, &second, &second_slots);
}

#[test]
fn files_that_no_checkpoint_names_are_removed_and_no_number_is_used_twice() {
    let disk = disk();
    let pages = open(&disk);
    seal(&disk, &pages, &[record(2, 10)]);
    let again = disk
        .run(Pages::open(disk.clone(), options(), 5, &[]))
        .unwrap()
        .unwrap();
    assert!(disk.run(disk.list("pages/0")).unwrap().unwrap().is_empty());
    let slots = seal(&disk, &again, &[record(2, 10)]);
    assert_eq!(slots[0].page.file, 5);
}

#[test]
fn a_missing_or_cut_file_is_found_at_the_start() {
    let disk = disk();
    let pages = open(&disk);
    seal(&disk, &pages, &[record(2, 10)]);
    let mut files = pages.files();
    files[0].blocks = 2;
    let found = disk
        .run(Pages::open(disk.clone(), options(), 1, &files))
        .unwrap()
        .err();
    let Some(PageError::Fault(Fault::Corrupt { path, offset, .. })) = found else {
        panic!()
    };
    assert_eq!((path.as_str(), offset), (FIRST, 4096));
    disk.run(disk.remove(FIRST)).unwrap().unwrap();
    let found = try_reopen(&disk, &pages).err().unwrap();
    assert_eq!(
        found.to_string(),
        format!("{FIRST}: damaged at offset 0: the file is missing")
    );
    assert_eq!(found.class(), Class::Fatal);
}

#[test]
fn a_flipped_bit_in_a_file_is_found_at_load() {
    let disk = disk();
    let pages = open(&disk);
    let records: Vec<_> = (2..50).map(|main| record(main, 3000)).collect();
    let slots = seal(&disk, &pages, &records);
    let bytes = pages.stats().allocated_bytes;
    let bits = (0..bytes).step_by(397);
    for (at, bit) in bits.zip((0..8).cycle()) {
        assert!(disk.flip_bit(FIRST, at, bit));
        let again = reopen(&disk, &pages);
        let hit = slots
            .iter()
            .rfind(|s| u64::from(s.page.block) * 4096 <= at)
            .unwrap()
            .page;
        for slot in &slots {
            let loaded = disk.run(again.load(slot.page)).unwrap();
            if slot.page != hit {
                assert!(loaded.is_ok());
                continue;
            }
            let Err(PageError::Fault(Fault::Corrupt { path, offset, .. })) = loaded else {
                panic!("bit {bit} of byte {at}");
            };
            assert_eq!(
                (path.as_str(), offset),
                (FIRST, u64::from(hit.block) * 4096)
            );
        }
        assert!(disk.flip_bit(FIRST, at, bit));
    }
}

#[test]
fn a_full_disk_loses_nothing_and_sealing_goes_on_when_there_is_room() {
    let disk = disk();
    let pages = open(&disk);
    let first: Vec<_> = (2..20).map(|main| record(main, 500)).collect();
    let first_slots = seal(&disk, &pages, &first);
    let more: Vec<_> = (20..900).map(|main| record(main, 4000)).collect();
    for free in [0, 5000, 100_000, 1_500_000, 0] {
        disk.set_free_bytes(free);
        let error = disk.run(pages.seal(more.clone())).unwrap().unwrap_err();
        assert_eq!(error.class(), Class::Retry, "{error}");
        expect(&disk, &pages, &first, &first_slots);
    }
    assert_eq!(
        disk.run(disk.list("pages/0")).unwrap().unwrap().len(),
        1,
        "nothing is left over"
    );
    disk.set_free_bytes(1 << 30);
    let more_slots = seal(&disk, &pages, &more);
    disk.crash();
    let again = reopen(&disk, &pages);
    expect(&disk, &again, &first, &first_slots);
    expect(&disk, &again, &more, &more_slots);
}

#[test]
fn a_write_or_sync_that_fails_is_final() {
    for kind in [OpKind::Write, OpKind::Sync, OpKind::SyncDir, OpKind::Open] {
        let disk = disk();
        let pages = open(&disk);
        disk.fail_next("pages/0", kind);
        let error = disk
            .run(pages.seal(vec![record(2, 10)]))
            .unwrap()
            .unwrap_err();
        assert_eq!(error.class(), Class::Fatal, "{kind:?}");
        let again = disk
            .run(pages.seal(vec![record(2, 10)]))
            .unwrap()
            .unwrap_err();
        assert_eq!(again, error);
        assert!(pages.files().is_empty());
    }
}

#[test]
fn a_seal_given_up_half_way_is_never_written_over() {
    let disk = disk();
    let pages = open(&disk);
    let first = seal(&disk, &pages, &[record(2, 10)]);
    disk.set_immediate(false);
    {
        let records = (3..600).map(|main| record(main, 4000)).collect();
        let mut seal = pin!(pages.seal(records));
        let mut context = Context::from_waker(Waker::noop());
        assert!(seal.as_mut().poll(&mut context).is_pending());
        assert!(disk.step());
        assert!(seal.as_mut().poll(&mut context).is_pending());
    }
    let second = seal(&disk, &pages, &[record(3, 10)]);
    assert_ne!(
        second[0].page.file, first[0].page.file,
        "a write may still land there"
    );
    while disk.step() {}
    disk.crash();
    let again = reopen(&disk, &pages);
    expect(
        &disk,
        &again,
        &[record(2, 10), record(3, 10)],
        &[first[0], second[0]],
    );
}

#[test]
fn seals_at_once_do_not_mix() {
    let disk = disk();
    let pages = open(&disk);
    disk.set_immediate(false);
    let (a, b): (Vec<_>, Vec<_>) = (
        (2..400).map(|main| record(main, 3000)).collect(),
        (400..700).map(|main| record(main, 5000)).collect(),
    );
    let both = futures::future::join(pages.seal(a.clone()), pages.seal(b.clone()));
    let (a_slots, b_slots) = disk.run(both).unwrap();
    let (a_slots, b_slots) = (a_slots.unwrap(), b_slots.unwrap());
    disk.crash();
    let again = reopen(&disk, &pages);
    expect(&disk, &again, &a, &a_slots);
    expect(&disk, &again, &b, &b_slots);
}

/// A disk that counts reads of files.
fn reads_of(load: impl Fn(&Pages<MemoryDisk>, PageId, &MemoryDisk)) -> u64 {
    let disk = disk();
    let pages = open(&disk);
    let slot = seal(&disk, &pages, &[record(2, 10)])[0];
    let again = reopen(&disk, &pages);
    disk.set_immediate(false);
    load(&again, slot.page, &disk);
    let mut steps = 0;
    while disk.step() {
        steps += 1;
    }
    steps
}

#[test]
fn loads_of_one_page_at_once_share_one_read() {
    let steps = |count: usize| {
        reads_of(|pages, page, disk| {
            let mut context = Context::from_waker(Waker::noop());
            let mut loads: Vec<_> = (0..count).map(|_| Box::pin(pages.load(page))).collect();
            // The file is opened first; then the read is under way for all of them.
            for load in &mut loads {
                assert!(load.as_mut().poll(&mut context).is_pending());
            }
            assert!(disk.step());
            for load in &mut loads {
                assert!(load.as_mut().poll(&mut context).is_pending());
            }
        })
    };
    assert_eq!(steps(1), 1);
    assert_eq!(steps(20), 1);
}

#[test]
fn a_load_given_up_does_not_hold_up_the_others() {
    let disk = disk();
    let pages = open(&disk);
    let slot = seal(&disk, &pages, &[record(2, 10)])[0];
    let again = reopen(&disk, &pages);
    disk.set_immediate(false);
    let mut context = Context::from_waker(Waker::noop());
    let mut first = Box::pin(again.load(slot.page));
    let mut second = Box::pin(again.load(slot.page));
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending());
    drop(first);
    let pinned = disk.run(second).unwrap().unwrap();
    assert_eq!(again.peek(&slot).unwrap(), record(2, 10).value);
    drop(pinned);
    // Given up by all: the next asker reads anew.
    let third = reopen(&disk, &pages);
    let mut load = Box::pin(third.load(slot.page));
    assert!(load.as_mut().poll(&mut context).is_pending());
    drop(load);
    disk.run(third.load(slot.page)).unwrap().unwrap();
}

#[test]
fn a_place_that_no_page_has_is_an_error_and_no_endless_loop() {
    let disk = disk();
    let pages = open(&disk);
    let slot = seal(&disk, &pages, &[record(2, 10)])[0];
    let behind = PageId {
        block: 1,
        ..slot.page
    };
    let error = disk.run(pages.load(behind)).unwrap().err().unwrap();
    assert_eq!(error.class(), Class::Fatal);
    assert!(pages.peek(&PageSlot { len: 11, ..slot }).is_none());
    let error = disk.run(pages.load(slot.page)).unwrap().err().unwrap();
    assert!(
        error
            .to_string()
            .contains("no value of 11 bytes in record 0"),
        "{error}"
    );
}

/// Rewrites a file as a shard does: what is still live is sealed anew.
fn rewrite(
    disk: &MemoryDisk,
    pages: &Pages<MemoryDisk>,
    file: u32,
    index: &mut BTreeMap<Revision, PageSlot>,
) {
    let mut from = Some(0);
    let mut live = Vec::new();
    while let Some(block) = from {
        let chunk = disk.run(pages.records(file, block)).unwrap().unwrap();
        for (slot, record) in chunk.records {
            if index.get(&record.revision) == Some(&slot) {
                live.push(record);
            }
        }
        from = chunk.next;
    }
    let slots = seal(disk, pages, &live);
    for (record, slot) in live.iter().zip(slots) {
        index.insert(record.revision, slot);
    }
}

#[test]
fn garbage_is_rewritten_and_its_file_removed_only_behind_a_later_checkpoint() {
    let disk = disk();
    let pages = open(&disk);
    let records: Vec<_> = (2..2000).map(|main| record(main, 1000)).collect();
    let slots = seal(&disk, &pages, &records);
    let revisions = records.iter().map(|record| record.revision);
    let mut index: BTreeMap<_, _> = revisions.zip(slots).collect();
    assert_eq!(pages.garbage(true), None, "the open file is left alone");
    pages.rotate().await_now(&disk);
    assert_eq!(pages.garbage(true), None, "nothing is dead");

    let dead: Vec<_> = index.keys().copied().filter(|r| r.main % 3 != 0).collect();
    for revision in &dead[..600] {
        pages.dead(&index.remove(revision).unwrap());
    }
    assert_eq!(pages.garbage(false), None, "more than half is live");
    assert!(pages.garbage(true).is_some());
    for revision in &dead[600..] {
        pages.dead(&index.remove(revision).unwrap());
    }
    let work = pages.garbage(false).unwrap();
    assert!(work.live * 2 < work.total);

    rewrite(&disk, &pages, work.file, &mut index);
    pages.retire(work.file, 4);
    assert_eq!(pages.garbage(true), None);
    assert_eq!(
        disk.run(pages.remove_retired(4)).unwrap().unwrap(),
        0,
        "may name it still"
    );
    assert!(disk.contents().iter().any(|(path, _)| path == FIRST));
    assert_eq!(disk.run(pages.remove_retired(5)).unwrap().unwrap(), 1);
    assert!(!disk.contents().iter().any(|(path, _)| path == FIRST));

    let stats = pages.stats();
    assert_eq!(stats.files, 1);
    assert_eq!(
        stats.live_bytes,
        index.values().map(|slot| weight(slot.len)).sum::<u64>()
    );
    let gone = disk
        .run(pages.load(PageId { file: 0, block: 0 }))
        .unwrap()
        .err()
        .unwrap();
    assert_eq!(gone, PageError::Gone { file: 0 });
    for (revision, slot) in &index {
        expect(&disk, &pages, &[record(revision.main, 1000)], &[*slot]);
    }
}

#[test]
fn records_of_several_pages_sealed_at_once_keep_their_order_inside_pages() {
    let disk = disk();
    let pages = open(&disk);
    // As rewriting brings them: revisions fall between the pages they come from.
    let mut records: Vec<_> = (10..20).map(|main| record(main, 100)).collect();
    records.extend((2..8).map(|main| record(main, 100)));
    let slots = seal(&disk, &pages, &records);
    let again = reopen(&disk, &pages);
    expect(&disk, &again, &records, &slots);
}

trait AwaitNow: Future + Sized {
    fn await_now(self, disk: &MemoryDisk) -> Self::Output {
        disk.run(self).unwrap()
    }
}

impl<F: Future> AwaitNow for F {}

#[test]
fn a_large_page_is_written_in_bounded_writes() {
    let disk = disk();
    let pages = open(&disk);
    let before = disk.operations();
    seal(&disk, &pages, &[record(2, 4 << 20)]);
    // The file's name, its writes of 1 MiB and the rest, its sync and the directory's.
    assert_eq!(disk.operations() - before, 1 + 5 + 2);
    let before = disk.operations();
    seal(&disk, &pages, &[record(3, 10)]);
    assert_eq!(disk.operations() - before, 2, "one write and one sync");
    let file = disk
        .run(disk.open(FIRST, crate::env::OpenMode::READ))
        .unwrap()
        .unwrap();
    let len = disk.run(file.len()).unwrap().unwrap();
    assert_eq!(len, pages.stats().allocated_bytes);
}
