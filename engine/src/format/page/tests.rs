//! The page's bytes: a golden page, round trips, and every kind of damage found.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::format::mutate::Dice;

const PATH: &str = "pages/3/0000000007.pages";

fn place() -> PagePlace {
    PagePlace {
        identity: Identity::new(0xc1, 0xe2),
        shard: ShardId(3),
        file: 7,
        block: 2,
    }
}

fn record<'a>(key: &'a [u8], main: i64, value: &'a [u8]) -> Record<'a> {
    Record {
        key,
        main,
        sub: 1,
        create_revision: main - 1,
        version: 2,
        lease: 9,
        value,
    }
}

fn page(records: &[Record<'_>]) -> Page {
    PageDraft::new(records).finish(&place())
}

fn check(image: &[u8]) -> Result<Page, Fault> {
    Page::new(Bytes::copy_from_slice(image), PATH, &place())
}

/// A header with its own checksum made right again after a change.
fn reseal(image: &mut [u8]) {
    let crc = crc32c::crc32c(&image[..60]);
    put(image, 60, &crc.to_le_bytes());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_page_of_version_1_keeps_its_bytes() {
    let page = page(&[record(b"key-a", 5, b"value-1"), record(b"b", 6, b"")]);
    let image = page.image();
    assert_eq!(image.len(), BLOCK_BYTES);
    let used = HEAD_BYTES + page.payload_len;
    assert_eq!(hex(&image[..used]), GOLDEN);
    assert!(image[used..].iter().all(|byte| *byte == 0));
}

#[test]
fn records_come_back_as_they_were_sealed() {
    let long = vec![7; 9000];
    let records = [
        record(b"a", 5, b"one"),
        record(b"", 6, &long),
        record(b"a", 8, b""),
    ];
    let written = page(&records);
    let read = check(written.image()).unwrap();
    assert_eq!(read.records(), 3);
    for (slot, expected) in records.iter().enumerate() {
        let found = read.record(slot as u32).unwrap();
        assert_eq!((found.key, found.value), (expected.key, expected.value));
        assert_eq!((found.main, found.sub), (expected.main, expected.sub));
        assert_eq!(found.create_revision, expected.create_revision);
        assert_eq!(
            (found.version, found.lease),
            (expected.version, expected.lease)
        );
        assert_eq!(read.value(slot as u32).unwrap(), expected.value);
    }
    assert!(read.record(3).is_none());
    assert!(read.value(3).is_none());
}

#[test]
fn a_value_is_a_slice_of_its_page() {
    let page = page(&[record(b"a", 5, b"some value")]);
    let value = page.value(0).unwrap();
    assert!(page.image().as_ptr_range().contains(&value.as_ptr()));
    drop(page);
    assert_eq!(value, "some value");
}

#[test]
fn a_page_at_an_odd_address_is_read() {
    let written = page(&[record(b"key", 5, b"value")]);
    let mut shifted = vec![0; 3];
    shifted.extend_from_slice(written.image());
    for shift in 0..4 {
        let image = Bytes::from(shifted.clone()).slice(shift..);
        if shift == 3 {
            let read = Page::new(image, PATH, &place()).unwrap();
            assert_eq!(read.value(0).unwrap(), "value");
        } else {
            assert!(Page::new(image, PATH, &place()).is_err());
        }
    }
}

#[test]
fn a_value_larger_than_a_page_has_one_of_its_own() {
    let value = vec![3; PAGE_BYTES * 2];
    let page = page(&[record(b"key", 5, &value)]);
    assert!(page.image().len() > PAGE_BYTES * 2);
    assert_eq!(check(page.image()).unwrap().value(0).unwrap(), value);
}

#[test]
fn the_room_of_a_page_is_what_its_size_allows() {
    let key = [1; 13];
    let value = vec![2; 1000];
    let count = ROOM_BYTES / record_bytes(key.len(), value.len());
    let mut records = Vec::new();
    for main in 0..count as i64 {
        records.push(record(&key, main, &value));
    }
    assert_eq!(page(&records).image().len(), PAGE_BYTES);
}

#[test]
fn any_flipped_bit_is_found_and_its_page_named() {
    let image = page(&[record(b"key-a", 5, b"value-1"), record(b"b", 6, b"2")]);
    let mut image = image.image().to_vec();
    for at in 0..image.len() {
        for bit in 0..8 {
            image[at] ^= 1 << bit;
            let Err(Fault::Corrupt { path, offset, .. }) = check(&image) else {
                panic!("bit {bit} of byte {at} went unseen");
            };
            assert_eq!((path.as_str(), offset), (PATH, 2 * BLOCK_BYTES as u64));
            image[at] ^= 1 << bit;
        }
    }
}

#[test]
fn a_page_cut_anywhere_is_found() {
    let image = page(&[record(b"key-a", 5, &[1; 5000])]);
    for len in 0..image.image().len() {
        assert!(
            matches!(check(&image.image()[..len]), Err(Fault::Corrupt { .. })),
            "{len}"
        );
    }
}

#[test]
fn a_page_of_another_place_is_found() {
    let image = page(&[record(b"key-a", 5, b"value")]);
    for other in [
        PagePlace {
            shard: ShardId(4),
            ..place()
        },
        PagePlace { file: 8, ..place() },
        PagePlace {
            block: 3,
            ..place()
        },
    ] {
        let found = Page::new(image.image().clone(), PATH, &other);
        assert!(matches!(found, Err(Fault::Corrupt { .. })), "{other:?}");
    }
    let other = PagePlace {
        identity: Identity::new(0xc1, 0xe3),
        ..place()
    };
    let found = Page::new(image.image().clone(), PATH, &other).unwrap_err();
    assert!(matches!(
        found,
        Fault::Foreign {
            found_member: 0xe2,
            member: 0xe3,
            ..
        }
    ));
}

#[test]
fn a_newer_page_says_so() {
    let mut image = page(&[record(b"key-a", 5, b"value")]).image().to_vec();
    put(&mut image, 8, &9u16.to_le_bytes());
    reseal(&mut image);
    let found = check(&image).unwrap_err();
    assert!(
        found
            .to_string()
            .ends_with("newer version, format 9; this build reads up to 1"),
        "{found}"
    );
}

#[test]
fn wrong_fields_under_right_checksums_are_refused() {
    let good = page(&[record(b"a", 5, b"1"), record(b"b", 6, b"2")])
        .image()
        .to_vec();
    // Kind, length in blocks, payload length (too large, root elsewhere, none), records.
    let wrong: [(usize, u32); 7] = [
        (10, 2),
        (24, 2),
        (24, 0),
        (28, 4096),
        (28, 100),
        (28, 0),
        (32, 3),
    ];
    for (at, value) in wrong {
        let mut image = good.clone();
        let width = if at == 10 { 1 } else { 4 };
        put(&mut image, at, &value.to_le_bytes()[..width]);
        reseal(&mut image);
        assert!(
            matches!(check(&image), Err(Fault::Corrupt { .. })),
            "{value} at {at}"
        );
    }
}

#[test]
fn records_out_of_order_are_refused() {
    let image = page(&[record(b"a", 6, b"1"), record(b"b", 5, b"2")]);
    assert!(matches!(check(image.image()), Err(Fault::Corrupt { .. })));
}

#[test]
fn mutated_pages_under_right_checksums_are_refused_or_can_be_read() {
    let records = [
        record(b"a", 5, b"1"),
        record(b"key/long", 6, &[7; 300]),
        record(b"c", 9, b""),
    ];
    let good = page(&records).image().to_vec();
    let used = HEAD_BYTES + page(&records).payload_len;
    let mut dice = Dice(3);
    let mut taken = 0;
    for _ in 0..5_000 {
        let mut image = good.clone();
        let changed = dice.scribble(&good[HEAD_BYTES..used]);
        image[HEAD_BYTES..used].copy_from_slice(&changed);
        assert!(check(&image).is_err(), "under the old checksum");
        let crc = crc32c::crc32c(&image[HEAD_BYTES..]);
        put(&mut image, 36, &crc.to_le_bytes());
        if dice.below(4) == 0 {
            let head = dice.scribble(&image[8..36]);
            image[8..36].copy_from_slice(&head);
        }
        reseal(&mut image);
        let Ok(page) = check(&image) else { continue };
        taken += 1;
        for slot in 0..page.records() {
            let record = page.record(slot).unwrap();
            assert_eq!(page.value(slot).unwrap(), record.value);
        }
        assert!(page.record(page.records()).is_none());
    }
    assert!(taken > 100, "{taken}: too wild to test anything");
}

const GOLDEN: &str = "\
    53544f415041474501000100030000000700000002000000010000008800000002000000bb8e49b7c1000000\
    00000000e20000000000000000000000c81973be6b65792d6176616c75652d3162000000f0ffffff05000000\
    05000000000000000100000000000000040000000000000002000000000000000900000000000000c5ffffff\
    07000000c4ffffff010000000600000000000000010000000000000005000000000000000200000000000000\
    090000000000000095ffffff0000000090ffffff02000000";
