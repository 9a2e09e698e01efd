//! The bytes of a stored pair are those of the Go marshaller, and read back.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::format::mutate;

#[test]
fn bytes_are_those_of_the_go_marshaller() {
    let kv = KvFields {
        key: b"foo",
        create_revision: 2,
        mod_revision: 300,
        version: 1,
        value: b"bar",
        lease: -1,
    };
    let mut out = Vec::new();
    kv.write(&mut out);
    let mut want = vec![
        0x0a, 3, b'f', b'o', b'o', 0x10, 2, 0x18, 0xac, 0x02, 0x20, 1,
    ];
    want.extend([0x2a, 3, b'b', b'a', b'r', 0x30]);
    want.extend([0xff; 9]);
    want.push(1);
    assert_eq!(out, want);
    assert_eq!(kv.encoded_len(), want.len());
}

#[test]
fn zero_and_empty_fields_are_left_out() {
    let mut out = Vec::new();
    KvFields {
        key: b"k",
        ..KvFields::default()
    }
    .write(&mut out);
    assert_eq!(out, [0x0a, 1, b'k']);
}

#[test]
fn varint_lengths_are_right_at_every_step() {
    for bits in 0..64 {
        for value in [1u64 << bits, (1u64 << bits) - 1, u64::MAX >> bits] {
            let mut out = Vec::new();
            write_varint(&mut out, value);
            assert_eq!(varint_len(value), out.len(), "{value}");
            assert_eq!(take_varint(&out), Some((value, &[][..])));
        }
    }
}

#[test]
fn an_entry_reads_back() {
    let value = vec![7; 300];
    let kv = KvFields {
        key: b"some/key",
        create_revision: 9,
        mod_revision: i64::MAX,
        version: 3,
        value: &value,
        lease: 77,
    };
    let mut out = Vec::new();
    assert_eq!(kv.write_entry(&mut out), out.len());
    assert_eq!(KvFields::read_entry(&out), Some(kv));
    assert_eq!(entry_key(&out), b"some/key");
    for cut in 0..out.len() {
        assert_eq!(KvFields::read_entry(&out[..cut]), None);
        let _ = entry_key(&out[..cut]);
    }
}

#[test]
fn mutated_entries_are_refused_or_read_back_the_same() {
    let kv = KvFields {
        key: b"some/key",
        create_revision: 9,
        mod_revision: i64::MAX,
        version: 3,
        value: &[7; 200],
        lease: -77,
    };
    let mut good = Vec::new();
    kv.write_entry(&mut good);
    mutate::feed(12, 20_000, &[&good], |bytes| {
        let key = entry_key(bytes);
        assert!(key.len() <= bytes.len());
        if let Some(read) = KvFields::read_entry(bytes) {
            let mut again = Vec::new();
            read.write_entry(&mut again);
            assert_eq!(KvFields::read_entry(&again), Some(read));
        }
    });
}
