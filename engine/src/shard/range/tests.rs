//! The order of an answer: by what was asked, equal ones in key order.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::keys::KeyRange;

/// Twenty pairs in key order, with versions and values that are not.
fn pairs() -> Vec<KeyValue> {
    let pair = |n: i64| KeyValue {
        key: format!("k{n:02}").into(),
        value: format!("{}", n * 31 % 7).into(),
        create_revision: 100 - n,
        mod_revision: 200 + n * 13 % 20,
        version: n % 3,
        lease: 0,
    };
    (0..20).map(pair).collect()
}

fn sorted(order: Option<Order>, target: SortTarget) -> Vec<KeyValue> {
    let mut kvs = pairs();
    let all = KeyRange::From(Bytes::new());
    let request = RangeRequest {
        order,
        target,
        ..RangeRequest::all(all)
    };
    sort(&request, &mut kvs);
    kvs
}

fn ordered<T: Ord>(by: impl Fn(&KeyValue) -> T, descending: bool) -> Vec<KeyValue> {
    let mut kvs = pairs();
    kvs.sort_by(|a, b| {
        let way = by(a).cmp(&by(b));
        let way = if descending { way.reverse() } else { way };
        way.then_with(|| a.key.cmp(&b.key))
    });
    kvs
}

#[test]
fn answers_are_sorted_by_what_was_asked_and_ties_by_key() {
    for (order, descending) in [(Order::Ascend, false), (Order::Descend, true)] {
        let found = |target| sorted(Some(order), target);
        assert_eq!(
            found(SortTarget::Key),
            ordered(|kv| kv.key.clone(), descending)
        );
        assert_eq!(
            found(SortTarget::Version),
            ordered(|kv| kv.version, descending)
        );
        assert_eq!(
            found(SortTarget::Create),
            ordered(|kv| kv.create_revision, descending)
        );
        assert_eq!(
            found(SortTarget::Mod),
            ordered(|kv| kv.mod_revision, descending)
        );
        assert_eq!(
            found(SortTarget::Value),
            ordered(|kv| kv.value.clone(), descending)
        );
    }
}

#[test]
fn a_target_without_an_order_ascends_and_a_key_without_one_stays() {
    assert_eq!(
        sorted(None, SortTarget::Version),
        ordered(|kv| kv.version, false)
    );
    assert_eq!(sorted(None, SortTarget::Key), pairs());
}
