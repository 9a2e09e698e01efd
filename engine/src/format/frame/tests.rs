//! The bytes of a frame, and what makes one invalid.
#![allow(clippy::unwrap_used)]

use super::{FrameHead, HEAD_BYTES, Link, mark, parse, size, write};
use crate::format::mutate;
use crate::ids::GroupId;

const HEAD: FrameHead = FrameHead {
    group: GroupId(0x0102),
    kind: 3,
    term: 4,
    index: 5,
};
const LINK: Link = Link {
    lsn: 6,
    chain: 0x0708_090a,
    segment: 11,
    seed: 12,
};

fn sample() -> Vec<u8> {
    let mut bytes = vec![0; size(5)];
    write(&mut bytes, HEAD, LINK, &[b"he", b"", b"llo"]);
    mark(&mut bytes, 2);
    bytes
}

#[test]
fn the_bytes_are_these() {
    // A change here is a change of the format: it needs a new version in the segment header.
    #[rustfmt::skip]
    let golden: [u8; 80] = [
        0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x2c, 0xde, 0xb1, 0x0d, 0xa5, 0x3a, 0xe3, 0x7d,
        0x05, 0x00, 0x00, 0x00, 0x0a, 0x09, 0x08, 0x07,
        0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x0b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x02, 0x01, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ];
    assert_eq!(sample(), golden);
}

#[test]
fn what_was_written_is_read() {
    let mut bytes = sample();
    bytes.extend([0xff; 40]);
    let frame = parse(&bytes, 11, 12).unwrap();
    assert_eq!(frame.head, HEAD);
    assert_eq!(
        (frame.lsn, frame.durable, frame.chain, frame.len),
        (6, 2, 0x0708_090a, 5)
    );
    assert_eq!(&bytes[HEAD_BYTES..HEAD_BYTES + frame.len], b"hello");
}

#[test]
fn a_mark_changes_neither_crc_nor_chain() {
    let mut bytes = sample();
    let before = parse(&bytes, 11, 12).unwrap();
    mark(&mut bytes, 5);
    let after = parse(&bytes, 11, 12).unwrap();
    assert_eq!((before.crc, after.durable), (after.crc, 5));
}

#[test]
fn every_flipped_bit_is_seen() {
    let good = sample();
    for at in 0..HEAD_BYTES + 5 {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert_eq!(parse(&bad, 11, 12), None, "byte {at} bit {bit}");
        }
    }
}

#[test]
fn a_frame_is_valid_only_in_its_own_segment_and_only_whole() {
    let bytes = sample();
    assert!(parse(&bytes, 11, 12).is_some());
    assert_eq!(parse(&bytes, 10, 12), None);
    assert_eq!(parse(&bytes, 11, 13), None);
    for len in 0..HEAD_BYTES + 5 {
        assert_eq!(parse(&bytes[..len], 11, 12), None, "{len} bytes");
    }
    assert_eq!(parse(&[0; 4096], 0, 0), None);
}

#[test]
fn mutated_frames_are_taken_only_where_nothing_that_counts_has_changed() {
    let good = sample();
    let whole = parse(&good, 11, 12).unwrap();
    let used = HEAD_BYTES + whole.len;
    mutate::feed(1, 20_000, &[&good], |bytes| {
        if let Some(frame) = parse(bytes, 11, 12) {
            assert_eq!(bytes[..used], good[..used]);
            assert_eq!(frame, whole);
        }
    });
}
