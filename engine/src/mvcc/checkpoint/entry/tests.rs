//! Entries of an index file that are not what was written.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::format::mutate;

fn versions() -> Vec<Version> {
    let version = |main, value| Version {
        revision: Revision::new(main, 2),
        create_revision: 3,
        version: 4,
        lease: main % 2 * 77,
        value,
    };
    let slot = PageSlot {
        page: PageId {
            file: 1,
            block: 900,
        },
        slot: 5,
        len: 1000,
    };
    let deleted = Version {
        create_revision: 0,
        version: 0,
        ..version(11, Value::Deleted)
    };
    vec![version(10, Value::Sealed(slot)), deleted]
}

/// As the reader takes them; `None` where it refuses them.
fn read(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut again = Vec::new();
    while !bytes.is_empty() {
        let entry = take_entry(&mut bytes)?;
        let mut versions = Vec::new();
        for _ in 0..entry.versions {
            versions.push(take_version(&mut bytes)?);
        }
        encode(&mut again, entry.key, &versions, entry.more).unwrap();
    }
    Some(again)
}

#[test]
fn mutated_entries_are_refused_or_say_what_was_taken() {
    let mut good = Vec::new();
    encode(&mut good, b"key", &versions(), false).unwrap();
    encode(&mut good, b"key/with more", &versions()[..1], true).unwrap();
    assert_eq!(read(&good), Some(good.clone()));
    let mut taken = 0;
    mutate::feed(16, 20_000, &[&good], |bytes| {
        if let Some(again) = read(bytes) {
            taken += 1;
            assert_eq!(read(&again), Some(again));
        }
    });
    assert!(taken > 100, "{taken}: too wild to test anything");
}
