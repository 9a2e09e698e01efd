//! The settled prefix, situation by situation.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;

use super::*;

fn seen(revision: i64, epoch: u64, part: u32, parts: u32) -> Seen {
    Seen {
        revision,
        epoch,
        part,
        parts,
    }
}

#[test]
fn the_prefix_ends_before_the_first_hole() {
    let prefix = settle([seen(2, 1, 0, 1), seen(3, 1, 0, 1), seen(5, 1, 0, 1)], 1, 0);
    assert_eq!((prefix.settled, prefix.epoch), (3, 1));
}

#[test]
fn a_transaction_with_a_part_missing_never_happened() {
    let prefix = settle([seen(2, 1, 0, 1), seen(3, 1, 1, 2), seen(4, 1, 0, 1)], 1, 0);
    assert_eq!(prefix.settled, 2);
    let whole = [
        seen(2, 1, 0, 1),
        seen(3, 1, 1, 2),
        seen(3, 1, 0, 2),
        seen(4, 1, 0, 1),
    ];
    assert_eq!(settle(whole, 1, 0).settled, 4);
}

#[test]
fn parts_of_two_epochs_do_not_make_a_whole() {
    assert_eq!(
        settle([seen(2, 1, 0, 2), seen(2, 2, 1, 2)], 1, 0).settled,
        1
    );
}

#[test]
fn an_older_epoch_after_a_newer_one_is_void() {
    let prefix = settle([seen(2, 2, 0, 1), seen(3, 1, 0, 1), seen(3, 2, 0, 1)], 1, 0);
    assert_eq!((prefix.settled, prefix.epoch), (3, 2));
    assert_eq!(
        settle([seen(2, 2, 0, 1), seen(3, 1, 0, 1)], 1, 0).settled,
        2
    );
}

#[test]
fn the_checkpoint_s_epoch_voids_older_parts_behind_it() {
    assert_eq!(settle([seen(6, 1, 0, 1)], 5, 2).settled, 5);
    assert_eq!(settle([seen(6, 2, 0, 1)], 5, 2).settled, 6);
}

#[test]
fn only_what_exists_is_staged_in_order() {
    let mut replay = Replay::new(1);
    let change = |key: &'static str| {
        vec![Change {
            sub: 0,
            key: Bytes::from_static(key.as_bytes()),
            put: None,
        }]
    };
    let record = |revision, changes| Record::Changes {
        revision,
        part: 0,
        parts: 1,
        changes,
    };
    replay.take(1, record(1, change("below the checkpoint")));
    replay.take(1, record(2, change("a")));
    replay.take(1, record(3, change("void")));
    replay.take(2, record(3, change("b")));
    replay.take(2, record(5, change("behind the hole")));
    let prefix = Prefix {
        settled: 3,
        epoch: 2,
        runs: vec![(2, 1), (3, 2)],
    };
    let keys: Vec<Bytes> = replay
        .into_changes(&prefix)
        .map(|(_, changes)| changes[0].key.clone())
        .collect();
    assert_eq!(keys, [Bytes::from_static(b"a"), Bytes::from_static(b"b")]);
}
