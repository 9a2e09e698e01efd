//! The bytes of a segment's first block, and what makes it invalid.

use super::{Found, HEADER_BYTES, Header, Identity};
use crate::format::mutate::Dice;
use crate::ids::{ClusterId, LaneId, MemberId};

const HEADER: Header = Header {
    identity: Identity {
        cluster: ClusterId(0x1112),
        member: MemberId(0x1314),
    },
    lane: LaneId(5),
    number: 6,
    era: 7,
    first_lsn: 8,
    chain: 0x0102_0304,
    bytes: 1 << 20,
};

fn sample() -> Vec<u8> {
    let mut block = vec![0; HEADER_BYTES];
    HEADER.write(&mut block);
    block
}

#[test]
fn the_bytes_are_these() {
    // A change here is a change of the format: it needs a new version.
    #[rustfmt::skip]
    let golden: [u8; 80] = [
        0x53, 0x54, 0x4f, 0x41, 0x57, 0x41, 0x4c, 0x00,
        0x01, 0x00, 0x00, 0x00, 0xc7, 0xaf, 0x9d, 0xd7,
        0x12, 0x11, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x14, 0x13, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x04, 0x03, 0x02, 0x01, 0x05, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ];
    let block = sample();
    assert_eq!(block[..80], golden);
    assert_eq!(block[2048..2128], golden);
    assert!(
        block[80..2048]
            .iter()
            .chain(&block[2128..])
            .all(|byte| *byte == 0)
    );
}

#[test]
fn one_damaged_copy_is_survived_and_two_are_not() {
    let good = sample();
    let Found::Header(header, seed) = Header::parse(&good) else {
        panic!("no header")
    };
    assert_eq!(header, HEADER);
    for at in 0..80 {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(
            Header::parse(&bad),
            Found::Header(HEADER, seed),
            "byte {at}"
        );
        bad[2048 + at] ^= 1;
        assert!(
            !matches!(Header::parse(&bad), Found::Header(..)),
            "byte {at}"
        );
    }
    assert_eq!(Header::parse(&[]), Found::Nothing);
    assert_eq!(Header::parse(&[0; 100]), Found::Nothing);
}

#[test]
fn a_later_version_is_told_from_damage() {
    let mut block = sample();
    for at in [8, 2056] {
        block[at] = 2;
    }
    assert_eq!(Header::parse(&block), Found::Newer(2));
}

#[test]
fn mutated_headers_are_the_same_or_none() {
    let good = sample();
    let mut dice = Dice(2);
    let mut survived = 0;
    for case in 0..5_000 {
        let mut block = dice.scribble(&good);
        // Both copies are hit more often than chance would do.
        let copy = dice.scribble(&good[..128]);
        block[2048..2048 + 128].copy_from_slice(&copy);
        match Header::parse(&block[..4096 - case % 4096]) {
            Found::Header(header, _) => {
                assert_eq!(header, HEADER);
                survived += 1;
            }
            Found::Newer(version) => assert!(version > super::VERSION),
            Found::Nothing => {}
        }
        let noise = dice.noise(4096);
        assert!(!matches!(Header::parse(&noise), Found::Header(..)));
    }
    assert!(survived > 100, "{survived}: too wild to test anything");
}
