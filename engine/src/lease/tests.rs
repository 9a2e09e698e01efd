//! Tests of grants, deadlines, expiry, checkpoints and attachments.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::collections::BTreeMap;

use bytes::Bytes;

use super::table::SECOND_NS;
use super::*;
use crate::env::Entropy;
use crate::error::Error;
use crate::format::mutate;
use crate::ids::LeaseId;
use crate::limits::LEASE_TTL_MAX_S;

const MS: u64 = 1_000_000;

fn principal() -> Table {
    let mut table = Table::new(2);
    table.promote(0, 0);
    table
}

/// A small generator with a seed.
struct Random(Cell<u64>);

impl Random {
    fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    fn below(&self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

impl Entropy for Random {
    fn next_u64(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let bits = self.0.get();
        let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

#[test]
fn grants_are_checked_as_in_etcd() {
    let mut table = principal();
    assert_eq!(table.grant(LeaseId(1), 60, 0), Ok(60));
    assert_eq!(table.grant(LeaseId(1), 60, 0), Err(Error::LeaseExists));
    assert_eq!(table.grant(LeaseId(0), 60, 0), Err(Error::LeaseNotFound));
    assert_eq!(
        table.grant(LeaseId(2), LEASE_TTL_MAX_S + 1, 0),
        Err(Error::LeaseTtlTooLarge)
    );
    assert_eq!(
        table.grant(LeaseId(2), LEASE_TTL_MAX_S, 0),
        Ok(LEASE_TTL_MAX_S)
    );
    for (id, short) in [(3, 1), (4, 0), (5, -7), (6, i64::MIN)] {
        assert_eq!(table.grant(LeaseId(id), short, 0), Ok(2), "raised silently");
    }
    assert_eq!(table.revoke(LeaseId(9)), Err(Error::LeaseNotFound));
    assert_eq!(table.len(), 6);
}

#[test]
fn a_picked_id_is_positive_and_free() {
    struct Fixed(Cell<u64>);
    impl Entropy for Fixed {
        fn next_u64(&self) -> u64 {
            self.0.set(self.0.get() + 1);
            [0, 1, u64::MAX, 7][(self.0.get() - 1) as usize]
        }
    }
    let mut table = principal();
    table.grant(LeaseId(i64::MAX), 60, 0).unwrap();
    assert_eq!(
        table.pick_id(&Fixed(Cell::new(0))),
        LeaseId(3),
        "0, 1 >> 1 and the taken skipped"
    );
}

#[test]
fn a_lease_ends_after_its_time_and_not_before() {
    let mut table = principal();
    table.grant(LeaseId(7), 10, 5 * SECOND_NS).unwrap();
    assert_eq!(table.next_deadline(), Some(15 * SECOND_NS));
    assert_eq!(table.expired(15 * SECOND_NS - 1, 100), []);
    let left = |table: &Table, now| table.remaining(LeaseId(7), now).unwrap();
    let at = |left_s| Remaining {
        granted_s: 10,
        left_s: Some(left_s),
    };
    assert_eq!(left(&table, 5 * SECOND_NS), at(10));
    assert_eq!(
        left(&table, 5 * SECOND_NS + 1),
        at(9),
        "whole seconds, rounded down"
    );
    assert_eq!(
        left(&table, 99 * SECOND_NS),
        at(0),
        "never negative: -1 means no lease"
    );
    assert_eq!(table.expired(15 * SECOND_NS, 100), [LeaseId(7)]);
    assert_eq!(table.renew(LeaseId(7), 15 * SECOND_NS), Renewal::Expired);
    table.revoke(LeaseId(7)).unwrap();
    assert_eq!(table.renew(LeaseId(7), 15 * SECOND_NS), Renewal::NotFound);
    assert_eq!(table.remaining(LeaseId(7), 0), None);
    assert_eq!(table.next_deadline(), None);
}

#[test]
fn a_renewal_gives_the_full_time_again() {
    let mut table = principal();
    table.grant(LeaseId(7), 10, 0).unwrap();
    assert_eq!(table.renew(LeaseId(7), 9 * SECOND_NS), Renewal::Renewed(10));
    assert_eq!(table.expired(10 * SECOND_NS, 100), []);
    assert_eq!(table.next_deadline(), Some(19 * SECOND_NS));
    assert_eq!(table.expired(19 * SECOND_NS, 100), [LeaseId(7)]);
}

#[test]
fn many_renewed_leases_are_put_off_in_bounded_steps() {
    let mut table = principal();
    for id in 1..=20_000 {
        table.grant(LeaseId(id), 10, 0).unwrap();
        if id != 20_000 {
            table.renew(LeaseId(id), SECOND_NS);
        }
    }
    let now = 10 * SECOND_NS;
    let mut calls = 0;
    let mut ended = Vec::new();
    while table.next_deadline().unwrap() <= now {
        ended.extend(table.expired(now, 10));
        calls += 1;
    }
    assert_eq!(ended, [LeaseId(20_000)]);
    assert_eq!(calls, 3);
}

#[test]
fn a_lease_that_was_not_revoked_is_offered_again_after_three_seconds() {
    let mut table = principal();
    table.grant(LeaseId(7), 10, 0).unwrap();
    assert_eq!(table.expired(10 * SECOND_NS, 100), [LeaseId(7)]);
    assert_eq!(table.expired(13 * SECOND_NS - 1, 100), []);
    assert_eq!(table.next_deadline(), Some(13 * SECOND_NS));
    assert_eq!(table.expired(13 * SECOND_NS, 100), [LeaseId(7)]);
}

#[test]
fn at_most_500_leases_are_offered_in_half_a_second() {
    let mut table = principal();
    for id in 1..=1200 {
        table.grant(LeaseId(id), 10 + id % 2, 0).unwrap();
    }
    let now = 60 * SECOND_NS;
    let first = table.expired(now, usize::MAX);
    assert_eq!(first.len(), 500);
    assert!(
        first.iter().all(|id| id.0 % 2 == 0),
        "those that ended first"
    );
    assert_eq!(table.expired(now + 499 * MS, usize::MAX), []);
    assert_eq!(table.next_deadline(), Some(now + 500 * MS));
    let second = table.expired(now + 500 * MS, usize::MAX);
    assert_eq!(second.len(), 500);
    for id in first.iter().chain(&second) {
        table.revoke(*id).unwrap();
    }
    assert_eq!(
        table.expired(now + 1000 * MS, 3).len(),
        3,
        "the caller's limit holds too"
    );
    assert_eq!(table.expired(now + 1001 * MS, usize::MAX).len(), 197);
}

#[test]
fn promotion_gives_full_times_and_spreads_the_ends() {
    let mut table = Table::new(2);
    for id in 1..=3000 {
        table.grant(LeaseId(id), 10, 0).unwrap();
    }
    assert_eq!(table.renew(LeaseId(1), 0), Renewal::NotPrincipal);
    assert_eq!(table.next_deadline(), None);
    let unknown = Remaining {
        granted_s: 10,
        left_s: None,
    };
    assert_eq!(table.remaining(LeaseId(1), 0), Some(unknown));
    assert_eq!(table.expired(u64::MAX / 2, usize::MAX), []);

    table.promote(100 * SECOND_NS, SECOND_NS);
    let mut ends: Vec<u64> = Vec::new();
    for id in table.list() {
        ends.push(
            table
                .remaining(id, 100 * SECOND_NS)
                .unwrap()
                .left_s
                .unwrap() as u64,
        );
    }
    assert!(ends.is_sorted());
    assert_eq!(
        (ends[0], ends[749], ends[750], ends[2999]),
        (11, 11, 12, 14)
    );

    assert_eq!(
        table.renew(LeaseId(3000), 101 * SECOND_NS),
        Renewal::Renewed(10)
    );
    let left = table
        .remaining(LeaseId(3000), 101 * SECOND_NS)
        .unwrap()
        .left_s;
    assert_eq!(left, Some(10), "a renewal counts from now, as in etcd");
    for id in 1..=2999 {
        table.revoke(LeaseId(id)).unwrap();
    }
    assert_eq!(table.expired(111 * SECOND_NS, 1), [LeaseId(3000)]);

    table.demote();
    assert_eq!(table.expired(u64::MAX / 2, usize::MAX), []);
    assert_eq!(table.len(), 1);
    table.promote(200 * SECOND_NS, 0);
    assert_eq!(table.next_deadline(), Some(210 * SECOND_NS));
}

#[test]
fn leases_are_listed_by_their_end() {
    let mut table = principal();
    for (id, ttl) in [(1, 30), (2, 10), (3, 20)] {
        table.grant(LeaseId(id), ttl, 0).unwrap();
    }
    assert_eq!(table.list(), [LeaseId(2), LeaseId(3), LeaseId(1)]);
    table.renew(LeaseId(2), 9 * SECOND_NS);
    table.renew(LeaseId(3), 19 * SECOND_NS);
    assert_eq!(table.list(), [LeaseId(2), LeaseId(1), LeaseId(3)]);
    table.demote();
    assert_eq!(table.list(), [LeaseId(1), LeaseId(2), LeaseId(3)]);
}

/// Random grants, renewals, revokes and time against a plain map of deadlines.
#[test]
fn expiry_agrees_with_a_plain_map() {
    for seed in 0..50 {
        let random = Random::new(seed);
        let mut table = principal();
        let mut model: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
        let mut now = 0;
        for _ in 0..2000 {
            let id = 1 + random.below(20) as i64;
            match random.below(10) {
                0..3 => {
                    let ttl = 2 + random.below(20);
                    let granted = table.grant(LeaseId(id), ttl as i64, now);
                    assert_eq!(granted.is_err(), model.contains_key(&id));
                    model.entry(id).or_insert((ttl, now + ttl * SECOND_NS));
                }
                3..6 => {
                    let expected = match model.get_mut(&id) {
                        None => Renewal::NotFound,
                        Some((_, end)) if *end <= now => Renewal::Expired,
                        Some((ttl, end)) => {
                            *end = now + *ttl * SECOND_NS;
                            Renewal::Renewed(*ttl as i64)
                        }
                    };
                    assert_eq!(table.renew(LeaseId(id), now), expected);
                }
                6 => {
                    let there = model.remove(&id).is_some();
                    assert_eq!(table.revoke(LeaseId(id)).is_ok(), there);
                }
                7 => {
                    let promoted = now;
                    table.demote();
                    table.promote(promoted, 0);
                    for (ttl, end) in model.values_mut() {
                        *end = promoted + *ttl * SECOND_NS;
                    }
                }
                _ => now += random.below(3 * SECOND_NS),
            }
            let mut due: Vec<(u64, i64)> = model
                .iter()
                .map(|(id, (_, end))| (*end, *id))
                .filter(|at| at.0 <= now)
                .collect();
            due.sort_unstable();
            if random.below(3) == 0 {
                let offered = table.expired(now, usize::MAX);
                let expected: Vec<LeaseId> = due.iter().map(|at| LeaseId(at.1)).collect();
                assert_eq!(offered, expected, "seed {seed}");
                for id in offered {
                    table.revoke(id).unwrap();
                    model.remove(&id.0);
                }
                let first = model.values().map(|(_, end)| *end).min();
                assert_eq!(
                    table.next_deadline().is_some(),
                    first.is_some(),
                    "seed {seed}"
                );
                assert!(
                    table.next_deadline() <= first,
                    "seed {seed}: a lease would end late"
                );
                assert!(
                    table.next_deadline().is_none_or(|at| at > now),
                    "seed {seed}"
                );
            }
        }
    }
}

#[test]
fn a_table_survives_its_checkpoint() {
    let mut table = principal();
    table.grant(LeaseId(5), 10, 0).unwrap();
    table.grant(LeaseId(-3), 3600, 0).unwrap();
    let bytes = table.encode();
    let mut read = Table::decode(&bytes, 2).unwrap();
    assert_eq!(read.encode(), bytes);
    assert_eq!(read.next_deadline(), None, "deadlines are not kept");
    read.promote(50 * SECOND_NS, 0);
    assert_eq!(read.expired(60 * SECOND_NS, 10), [LeaseId(5)]);
}

#[test]
fn the_bytes_of_a_checkpoint_are_fixed() {
    let mut table = Table::new(2);
    table.grant(LeaseId(0x0102), 60, 0).unwrap();
    let expected = [
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0],
        [2, 1, 0, 0, 0, 0, 0, 0],
        [60, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(table.encode(), expected.concat());
}

#[test]
fn broken_checkpoints_are_refused_with_the_place() {
    let mut table = Table::new(2);
    table.grant(LeaseId(1), 60, 0).unwrap();
    table.grant(LeaseId(2), 60, 0).unwrap();
    let good = table.encode();
    let error = |bytes: &[u8]| match Table::decode(bytes, 2) {
        Err(Error::Storage(text)) => text,
        other => panic!("{other:?}"),
    };
    for len in 0..good.len() {
        error(&good[..len]);
    }
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        error(&bytes)
    };
    assert_eq!(
        changed(0, 2),
        "lease table: unknown format version 2 at offset 0"
    );
    assert_eq!(
        changed(8, 3),
        "lease table: count does not fit the length at offset 8"
    );
    assert_eq!(
        changed(32, 1),
        "lease table: lease id out of order at offset 32"
    );
    assert_eq!(
        changed(40, 0),
        "lease table: impossible time to live at offset 40"
    );
}

#[test]
fn mutated_checkpoints_are_refused_or_taken_whole() {
    let mut table = Table::new(2);
    for id in [-3, 1, 2, 1 << 40] {
        table.grant(LeaseId(id), 60, 0).unwrap();
    }
    mutate::feed(14, 10_000, &[&table.encode()], |bytes| {
        if let Ok(read) = Table::decode(bytes, 2) {
            assert_eq!(read.encode()[..2], bytes[..2]);
            assert_eq!(read.encode()[8..], bytes[8..]);
        }
    });
}

#[test]
fn a_key_hangs_on_one_lease_and_keys_come_sorted() {
    let mut attachments = Attachments::default();
    let key = |text: &'static str| Bytes::from_static(text.as_bytes());
    for text in ["b", "a", "ab", "c"] {
        attachments.attach(key(text), LeaseId(7));
    }
    attachments.attach(key("x"), LeaseId(8));
    let keys = |attachments: &Attachments, lease| {
        attachments
            .keys(LeaseId(lease))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&attachments, 7),
        [key("a"), key("ab"), key("b"), key("c")]
    );
    attachments.attach(key("b"), LeaseId(8));
    attachments.attach(key("b"), LeaseId(8));
    assert_eq!(keys(&attachments, 7), [key("a"), key("ab"), key("c")]);
    assert_eq!(keys(&attachments, 8), [key("b"), key("x")]);
    assert_eq!(attachments.lease(b"b"), Some(LeaseId(8)));
    assert_eq!(attachments.detach(b"b"), Some(LeaseId(8)));
    assert_eq!(attachments.detach(b"b"), None);
    assert_eq!(keys(&attachments, 8), [key("x")]);
    assert_eq!(keys(&attachments, 9), Vec::<Bytes>::new());
    assert_eq!(attachments.len(), 4);
}
