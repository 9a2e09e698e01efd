//! Round trips, a golden fixture, and broken bytes.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;

use super::*;
use crate::format::mutate;

fn sample() -> (Bytes, Vec<Record>) {
    let put = Put {
        create_revision: 2,
        version: 3,
        lease: 7,
        value: Bytes::from_static(b"value"),
    };
    let changes = vec![
        Change {
            sub: 0,
            key: Bytes::from_static(b"a"),
            put: Some(put),
        },
        Change {
            sub: 1,
            key: Bytes::from_static(b"bc"),
            put: None,
        },
    ];
    let meta = Meta::Alarm {
        member: 9,
        kind: 1,
        on: true,
    };
    let mut writer = BatchWriter::new();
    writer.changes(5, 1, 2, changes.iter());
    writer.meta(5, meta);
    writer.fence(9, 11);
    let records = vec![
        Record::Changes {
            revision: 5,
            part: 1,
            parts: 2,
            changes,
        },
        Record::Meta { after: 5, meta },
        Record::Fence {
            member: 9,
            nonce: 11,
        },
    ];
    (writer.finish(4), records)
}

fn read(bytes: Bytes) -> Result<(u64, Vec<Record>), Broken> {
    let mut reader = BatchReader::new(bytes)?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(record);
    }
    Ok((reader.epoch(), records))
}

#[test]
fn what_is_written_is_read() {
    let (bytes, records) = sample();
    assert_eq!(read(bytes).unwrap(), (4, records));
}

#[test]
fn bytes_on_disk_stay_as_they_are() {
    let (bytes, _) = sample();
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(
        hex,
        "01000000030000000400000000000000\
         0105000000000000000100000002000000020000000000000000020000000000000003000000000000000700\
         0000000000000100000005000000\
         6176616c756501010000000200000062630205000000000000000409000000000000000100000000000000\
         010309000000000000000b00000000000000"
    );
}

#[test]
fn every_cut_and_every_flipped_tag_is_refused_without_panic() {
    let (bytes, records) = sample();
    for cut in 0..bytes.len() {
        assert!(read(bytes.slice(..cut)).is_err(), "cut at {cut}");
    }
    for at in 0..bytes.len() {
        let mut broken = bytes.to_vec();
        broken[at] ^= 0x80;
        if let Ok((epoch, same)) = read(broken.into()) {
            assert!(
                epoch != 4 || same != records || (2..4).contains(&at),
                "byte {at}"
            );
        }
    }
}

#[test]
fn mutated_batches_are_refused_or_read_to_their_end() {
    let (bytes, _) = sample();
    let mut read_whole = 0;
    mutate::feed(11, 20_000, &[&bytes], |input| {
        let Ok((epoch, records)) = read(Bytes::copy_from_slice(input)) else {
            return;
        };
        read_whole += 1;
        // What is taken says all that was in the bytes.
        let mut writer = BatchWriter::new();
        for record in &records {
            match record {
                Record::Changes {
                    revision,
                    part,
                    parts,
                    changes,
                } => writer.changes(*revision, *part, *parts, changes.iter()),
                Record::Meta { after, meta } => writer.meta(*after, *meta),
                Record::Fence { member, nonce } => writer.fence(*member, *nonce),
            }
        }
        let mut again = writer.finish(epoch).to_vec();
        again[2..4].copy_from_slice(&input[2..4]);
        assert_eq!(again, input);
    });
    assert!(read_whole > 100, "{read_whole}: too wild to test anything");
}
