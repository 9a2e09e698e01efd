//! The checkpoint's bytes: golden manifest, header and chunk, and damage to the manifest.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::format::mutate::{self, Dice};

const PATH: &str = "checkpoint/MANIFEST";

fn manifest() -> Manifest {
    Manifest {
        cluster: 0xc1,
        member: 0xe2,
        generation: 4,
        settled: 900,
        epoch: 17,
        compacted: 800,
        shards: vec![ShardImage {
            index_bytes: 8192,
            index_checksum: 0xabcd,
            next_file: 3,
        }],
        groups: vec![
            GroupImage {
                last: Some(LogPosition {
                    term: 2,
                    node: 0xe2,
                    index: 77,
                }),
                membership: b"members".to_vec(),
            },
            GroupImage::default(),
        ],
        lanes: vec![LogEnd {
            lsn: 5000,
            segment: 6,
            lane: 1,
        }],
        meta: b"leases".to_vec(),
    }
}

fn head() -> IndexHead {
    IndexHead {
        identity: Identity::new(0xc1, 0xe2),
        shard: ShardId(3),
        generation: 4,
        settled: 900,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_manifest_of_version_2_keeps_its_bytes() {
    let image = manifest().encode();
    let used = image.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    assert_eq!(hex(&image[..used]), GOLDEN_MANIFEST);
    assert_eq!(Manifest::decode(PATH, &image).unwrap(), manifest());
}

#[test]
fn a_manifest_of_version_1_is_refused_by_name() {
    let mut image = manifest().encode();
    put(&mut image, 8, &1u16.to_le_bytes());
    let crc = crc32c::crc32c(&image[..28]);
    put(&mut image, 28, &crc.to_le_bytes());
    let found = Manifest::decode(PATH, &image).unwrap_err();
    let text = "checkpoint/MANIFEST: written by an older version, format 1; \
                this build reads from 2";
    assert_eq!(found.to_string(), text);
}

#[test]
fn any_flipped_bit_or_cut_of_the_manifest_is_found_and_the_file_named() {
    let mut image = manifest().encode();
    for at in 0..image.len() {
        for bit in 0..8 {
            image[at] ^= 1 << bit;
            let found = Manifest::decode(PATH, &image);
            assert!(
                matches!(found, Err(Fault::Corrupt { path, .. }) if path == PATH),
                "{at}"
            );
            image[at] ^= 1 << bit;
        }
    }
    for len in 0..image.len() {
        let found = Manifest::decode(PATH, &image[..len]);
        assert!(matches!(found, Err(Fault::Corrupt { .. })), "{len}");
    }
}

#[test]
fn an_index_header_of_version_1_keeps_its_bytes() {
    assert_eq!(hex(&head().encode()), GOLDEN_HEAD);
    head().check(PATH, &head().encode()).unwrap();
}

#[test]
fn an_index_header_of_another_file_is_refused() {
    let bytes = head().encode();
    let others = [
        IndexHead {
            shard: ShardId(2),
            ..head()
        },
        IndexHead {
            generation: 5,
            ..head()
        },
        IndexHead {
            settled: 901,
            ..head()
        },
    ];
    for other in others {
        assert!(
            matches!(other.check(PATH, &bytes), Err(Fault::Corrupt { .. })),
            "{other:?}"
        );
    }
    let other = IndexHead {
        identity: Identity::new(0xc2, 0xe2),
        ..head()
    };
    assert!(matches!(
        other.check(PATH, &bytes),
        Err(Fault::Foreign { .. })
    ));
}

#[test]
fn a_newer_index_says_so() {
    let mut bytes = head().encode();
    put(&mut bytes, 8, &2u16.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..60]);
    put(&mut bytes, 60, &crc.to_le_bytes());
    let found = head().check(PATH, &bytes);
    assert!(matches!(
        found,
        Err(Fault::Newer {
            found: 2,
            supported: 1,
            ..
        })
    ));
}

#[test]
fn a_chunk_of_version_1_keeps_its_bytes() {
    let files = vec![FileImage {
        number: 2,
        blocks: 300,
        total: 70_000,
        live: 400,
    }];
    let footer = Footer {
        keys: 3,
        versions: 1000,
        files,
    };
    let payload = footer.encode();
    let head = ChunkHead {
        kind: ChunkKind::Footer,
        number: 1,
        entries: 0,
        payload_len: payload.len() as u32,
        previous: 0x1234_5678,
    };
    let mut bytes = Vec::new();
    let checksum = head.encode(&payload, &mut bytes);
    bytes.extend_from_slice(&payload);
    assert_eq!(hex(&bytes), GOLDEN_CHUNK);
    assert_eq!(ChunkHead::read(&bytes).unwrap(), head);
    assert_eq!(head.check(&bytes).unwrap(), checksum);
    assert_eq!(Footer::decode(&payload), Some(footer));
}

#[test]
fn numbers_come_back_and_cut_or_endless_ones_do_not() {
    for value in [0, 1, 127, 128, 1 << 35, u64::MAX - 1, u64::MAX] {
        let mut bytes = Vec::new();
        varint::put(&mut bytes, value);
        assert_eq!(varint::take(&mut &bytes[..]), Some(value));
        assert_eq!(varint::take(&mut &bytes[..bytes.len() - 1]), None);
    }
    assert_eq!(varint::take(&mut &[0xff; 12][..]), None);
}

/// A document whose payload was changed and whose checksums are right.
fn resealed(dice: &mut Dice, image: &[u8]) -> Vec<u8> {
    let payload = &image[document::HEAD_BYTES..];
    MANIFEST.encode(&dice.mutate(payload))
}

#[test]
fn mutated_manifests_are_refused_or_make_sense() {
    let image = manifest().encode();
    let used = image.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    mutate::feed(4, 5_000, &[&image[..used]], |bytes| {
        assert!(Manifest::decode(PATH, bytes).is_err());
    });
    let mut dice = Dice(5);
    for _ in 0..5_000 {
        if let Ok(read) = Manifest::decode(PATH, &resealed(&mut dice, &image[..used])) {
            assert_eq!(Manifest::decode(PATH, &read.encode()).unwrap(), read);
        }
    }
}

#[test]
fn mutated_index_headers_and_chunks_are_refused() {
    mutate::feed(6, 5_000, &[&head().encode()], |bytes| {
        let same = bytes.len() >= INDEX_HEAD_BYTES && bytes[..INDEX_HEAD_BYTES] == head().encode();
        assert_eq!(head().check(PATH, bytes).is_ok(), same);
    });
    let payload = b"a payload of some bytes".to_vec();
    let chunk = ChunkHead {
        kind: ChunkKind::Entries,
        number: 7,
        entries: 2,
        payload_len: payload.len() as u32,
        previous: 0x1234_5678,
    };
    let mut good = Vec::new();
    chunk.encode(&payload, &mut good);
    good.extend_from_slice(&payload);
    mutate::feed(7, 5_000, &[&good], |bytes| {
        // As its reader does: nothing is checked before all of it is there.
        if bytes.len() < CHUNK_HEAD_BYTES {
            return;
        }
        let Ok(read) = ChunkHead::read(bytes) else {
            return;
        };
        let end = CHUNK_HEAD_BYTES + read.payload_len as usize;
        if let Some(whole) = bytes.get(..end)
            && read.check(whole).is_ok()
        {
            assert_eq!(whole, good);
        }
    });
}

#[test]
fn mutated_footers_are_refused_or_mean_what_they_say() {
    let file = |number| FileImage {
        number,
        blocks: 300,
        total: 70_000,
        live: 400,
    };
    let footer = Footer {
        keys: 3,
        versions: 1000,
        files: vec![file(2), file(3), file(200)],
    };
    mutate::feed(8, 10_000, &[&footer.encode()], |bytes| {
        if let Some(read) = Footer::decode(bytes) {
            assert!(read.files.is_sorted_by(|a, b| a.number < b.number));
            assert_eq!(Footer::decode(&read.encode()), Some(read));
        }
    });
}

const GOLDEN_MANIFEST: &str = "\
    53544f414d4e465402000000d8000000194a7fca0000000000000000dbd700f50020000000000000cdab0000\
    030000006d656d626572730001000000000000000200000000000000e2000000000000004d00000000000000\
    d8ffffff070000000000000000000000000000000000000000000000000000000000000000000000b7ffffff\
    000000008813000000000000060000000000000001000000000000006c65617365730000c100000000000000\
    e200000000000000040000000000000084030000000000001100000000000000200300000000000048ffffff\
    0100000058ffffff02000000a0ffffff01000000b0ffffff06";
const GOLDEN_HEAD: &str = "\
    53544f41494e4458010003000000000004000000000000008403000000000000c100000000000000e2000000\
    00000000000000000000000000000000aec6a3d4";
const GOLDEN_CHUNK: &str = "\
    43484e4b0200000001000000000000000c00000078563412b44a7c5a03e8070102ac02f0a2049003";
