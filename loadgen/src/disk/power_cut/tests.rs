//! Played disks whose power is cut: an honest one keeps every promise, a lying one is found out.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::observer::Observer;
use super::record::{RECORD_BYTES, offset};
use super::wire::{Told, ask};
use super::*;

/// A disk that loses what was not synced, as far as it says the truth.
#[derive(Default)]
struct Played {
    durable: BTreeMap<u64, Vec<u8>>,
    cache: BTreeMap<u64, Vec<u8>>,
    /// Syncs that it only says it did, from this one on.
    lies_from: Option<u64>,
    syncs: u64,
    /// The sync that fails.
    fails_at: Option<u64>,
}

impl Played {
    /// The power goes; a write under way leaves half of itself.
    fn cut(&mut self, torn: Option<(u64, Vec<u8>)>) {
        self.cache.clear();
        if let Some((at, record)) = torn {
            let old = self
                .durable
                .entry(at)
                .or_insert_with(|| vec![0; RECORD_BYTES]);
            old[..512].copy_from_slice(&record[..512]);
        }
    }
}

impl Medium for Played {
    fn write(&mut self, offset: u64, record: &[u8]) -> io::Result<()> {
        self.cache.insert(offset, record.to_vec());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs += 1;
        if self.fails_at == Some(self.syncs) {
            return Err(io::Error::other("played"));
        }
        if self.lies_from.is_none_or(|from| self.syncs < from) {
            while let Some((at, record)) = self.cache.pop_first() {
                self.durable.insert(at, record);
            }
        }
        Ok(())
    }

    fn read(&mut self, offset: u64, record: &mut [u8]) -> io::Result<()> {
        let found = self
            .cache
            .get(&offset)
            .or_else(|| self.durable.get(&offset));
        record.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Remembers the last promise.
#[derive(Default)]
struct Heard(u64);

impl Promise for Heard {
    fn promise(&mut self, number: u64) -> io::Result<()> {
        self.0 = number;
        Ok(())
    }
}

const RUN: RunId = RunId(7);

/// Writes so many records, with one more under way at the cut, and checks.
fn cut_after(records: u64, mut disk: Played) -> Lost {
    let mut heard = Heard::default();
    promise_all(RUN, &mut disk, Some(records), &mut heard, || false).unwrap();
    assert_eq!(heard.0, records);
    let mut record = vec![0; RECORD_BYTES];
    image(RUN, records + 1, &mut record);
    disk.cut(Some((offset(records + 1), record)));
    check(&mut disk, RUN, heard.0).unwrap()
}

#[test]
fn an_honest_disk_keeps_every_promise_also_when_the_ring_went_round() {
    for records in [1, 1000, SLOTS - 1, SLOTS + 77] {
        let lost = cut_after(records, Played::default());
        assert!(
            lost.numbers.is_empty(),
            "after {records}: {:?}",
            lost.numbers
        );
        assert!(
            lost.checked >= records.min(SLOTS - 1),
            "{} checked",
            lost.checked
        );
    }
}

#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let lies_from = Some(501);
    let lost = cut_after(
        1000,
        Played {
            lies_from,
            ..Played::default()
        },
    );
    assert_eq!(lost.numbers, (501..=1000).collect::<Vec<_>>());
    let words = lost.in_words(RUN, 1000);
    assert!(words.contains("500 of 1000"), "{words}");
    // Also one that lies about the very last only.
    let lies_from = Some(1000);
    let lost = cut_after(
        1000,
        Played {
            lies_from,
            ..Played::default()
        },
    );
    assert_eq!(lost.numbers, [1000]);
}

#[test]
fn nothing_is_promised_before_its_sync_has_returned() {
    let fails_at = Some(10);
    let mut disk = Played {
        fails_at,
        ..Played::default()
    };
    let mut heard = Heard::default();
    promise_all(RUN, &mut disk, Some(20), &mut heard, || false).unwrap_err();
    assert_eq!(heard.0, 9);
}

#[test]
fn a_record_of_an_earlier_run_or_slot_is_not_taken_for_the_promised_one() {
    let mut disk = Played::default();
    promise_all(RunId(6), &mut disk, Some(10), &mut Heard::default(), || {
        false
    })
    .unwrap();
    assert_eq!(check(&mut disk, RUN, 10).unwrap().numbers.len(), 10);
    // The same slot, one turn of the ring earlier.
    let lost = check(&mut disk, RunId(6), SLOTS + 5).unwrap();
    assert!(
        lost.numbers.contains(&(SLOTS + 5)),
        "{:?}",
        lost.numbers.first()
    );
}

#[test]
fn the_observer_knows_what_was_promised_over_the_wire() {
    let dir = tempfile::tempdir().unwrap();
    let keep = dir.path().join("promises");
    let address = "127.0.0.1:0".parse().unwrap();
    let observer = Observer::bind(address, Some(keep.clone())).unwrap();
    let address = observer.address().unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let served = scope.spawn(|| observer.serve(|| over.load(Ordering::Relaxed)));
        let mut told = Told::connect(address, RUN).unwrap();
        let mut disk = Played::default();
        promise_all(RUN, &mut disk, Some(30), &mut told, || false).unwrap();
        // A later run, cut before its first promise.
        drop(Told::connect(address, RunId(8)).unwrap());
        assert_eq!(ask(address, Some(RUN)).unwrap(), (RUN, 30));
        assert_eq!(ask(address, None).unwrap(), (RunId(8), 0));
        let error = ask(address, Some(RunId(99))).unwrap_err().to_string();
        assert!(error.contains("knows of no promise"), "{error}");
        over.store(true, Ordering::Relaxed);
        served.join().unwrap().unwrap();
    });
    let kept = std::fs::read_to_string(keep).unwrap();
    assert_eq!(kept, format!("{RUN}:30\n{}:0\n", RunId(8)));
}

#[test]
fn on_a_real_file_each_way_of_syncing_keeps_its_promises() {
    let dir = tempfile::tempdir().unwrap();
    for sync in [Sync::Fdatasync, Sync::Dsync] {
        let (run, mut disk) = writer::create(dir.path(), sync).unwrap();
        let mut heard = Heard::default();
        promise_all(run, &mut disk, Some(50), &mut heard, || false).unwrap();
        let path = dir.path().join(FILE);
        assert_eq!(verify::run_of(&path), Some(run));
        let mut file = std::fs::File::open(&path).unwrap();
        assert!(check(&mut file, run, heard.0).unwrap().numbers.is_empty());
        assert_eq!(
            check(&mut file, run, heard.0 + 2).unwrap().numbers,
            [51, 52]
        );
    }
}
