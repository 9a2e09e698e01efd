//! The state of core 0 survives its checkpoint, and broken bytes are refused.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::format::mutate;

fn keeper() -> Keeper {
    let mut keeper = Keeper::new(2);
    keeper.commit(Meta::Compact { revision: 70 }, 0);
    keeper.commit(Meta::Grant { id: 5, ttl_s: 60 }, 0);
    for (member, kind) in [(9, ALARM_NO_SPACE), (9, ALARM_CORRUPT), (3, ALARM_CORRUPT)] {
        let alarm = Meta::Alarm {
            member,
            kind,
            on: true,
        };
        keeper.commit(alarm, 0);
    }
    keeper
}

#[test]
fn what_is_written_is_read() {
    let bytes = keeper().encode();
    let read = Keeper::decode(&bytes, 2).unwrap();
    assert_eq!(read.alarms, keeper().alarms);
    assert_eq!((read.compacted, read.no_space()), (70, true));
    assert_eq!(read.encode(), bytes);
    for cut in 0..bytes.len() {
        assert!(Keeper::decode(&bytes[..cut], 2).is_err(), "cut at {cut}");
    }
}

#[test]
fn an_alarm_of_no_known_kind_is_refused() {
    // Behind the compaction and the count: members and kinds, ascending.
    let good = keeper().encode();
    for kind in [0, 3, 257, u64::MAX] {
        let mut bytes = good.clone();
        bytes[24..32].copy_from_slice(&u64::to_le_bytes(kind));
        assert!(Keeper::decode(&bytes, 2).is_err(), "kind {kind}");
    }
}

#[test]
fn mutated_states_are_refused_or_taken_whole() {
    let good = keeper().encode();
    mutate::feed(15, 10_000, &[&good], |bytes| {
        let Ok(read) = Keeper::decode(bytes, 2) else {
            return;
        };
        let again = read.encode();
        assert_eq!(again.len(), bytes.len());
        assert_eq!(again[..16], bytes[..16]);
    });
}
