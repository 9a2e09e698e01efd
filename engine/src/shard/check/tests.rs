//! Refusals come in etcd's order.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::error::Error;

fn put(key: &'static str) -> Op {
    Op::Put(PutRequest {
        key: key.into(),
        ..Default::default()
    })
}

fn success(success: Vec<Op>) -> TxnRequest {
    TxnRequest {
        success,
        ..Default::default()
    }
}

#[test]
fn too_many_operations_are_seen_before_what_is_wrong_with_one() {
    let bad = || Op::Refused(Error::EmptyKey);
    let many = success(vec![bad(), put("a"), put("b")]);
    assert_eq!(txn(&many, 2), Err(Error::TooManyOps));
    assert_eq!(txn(&many, 3), Err(Error::EmptyKey));
    // A transaction inside has what the longest list outside leaves.
    let inner = Op::Txn(Box::new(success(vec![put("c"), put("d")])));
    let nested = success(vec![inner, put("a"), bad()]);
    assert_eq!(txn(&nested, 4), Err(Error::TooManyOps));
    assert_eq!(txn(&nested, 5), Err(Error::EmptyKey));
}

#[test]
fn the_form_of_an_operation_is_seen_before_keys_written_twice() {
    let twice = success(vec![
        put("a"),
        put("a"),
        Op::Refused(Error::InvalidSortOption),
    ]);
    assert_eq!(txn(&twice, 9), Err(Error::InvalidSortOption));
    assert_eq!(
        txn(&success(vec![put("a"), put("a")]), 9),
        Err(Error::DuplicateKey)
    );
}

#[test]
fn a_transaction_costs_its_dearer_branch() {
    let txn = TxnRequest {
        success: vec![put("a"), put("b")],
        failure: vec![put("longer than the others together")],
        ..Default::default()
    };
    assert_eq!(txn_cost(&txn), 2 * (256 + 1));
    let inside = success(vec![Op::Txn(Box::new(txn))]);
    assert_eq!(txn_cost(&inside), 0);
}

fn delete(key: &'static str, end: &'static str) -> Op {
    let range = KeyRange::from_wire(key.into(), end.into());
    let request = DeleteRequest {
        range,
        prev_kv: false,
    };
    let raw_end = end.into();
    Op::Delete { request, raw_end }
}

#[test]
fn branches_of_one_child_do_not_meet_and_children_do() {
    let child = |then: Vec<Op>, or: Vec<Op>| {
        Op::Txn(Box::new(TxnRequest {
            success: then,
            failure: or,
            ..Default::default()
        }))
    };
    let apart = child(vec![delete("a", "c")], vec![put("b")]);
    assert_eq!(txn(&success(vec![apart.clone()]), 9), Ok(()));
    let met = Err(Error::DuplicateKey);
    assert_eq!(txn(&success(vec![apart.clone(), put("b")]), 9), met);
    let next = child(vec![put("b")], Vec::new());
    assert_eq!(txn(&success(vec![apart, next.clone()]), 9), met);
    assert_eq!(txn(&success(vec![delete("a", "c"), next]), 9), met);
}

#[test]
fn a_delete_without_an_end_meets_its_key_and_one_up_to_an_end_what_lies_below_that() {
    let met = Err(Error::DuplicateKey);
    for (end, key) in [("", "b"), ("d", "b"), ("d", "c")] {
        assert_eq!(txn(&success(vec![delete("b", end), put(key)]), 9), met);
    }
    for (end, key) in [("", "c"), ("d", "d"), ("d", "a")] {
        assert_eq!(txn(&success(vec![delete("b", end), put(key)]), 9), Ok(()));
    }
}

/// etcd compares the bytes of both ends: no key lies between them where the end is not above the
/// start, and that of an open delete, a zero byte, is above nothing.
#[test]
fn a_delete_whose_end_is_not_above_its_start_meets_no_key() {
    let child = |ops| {
        Op::Txn(Box::new(TxnRequest {
            failure: ops,
            ..Default::default()
        }))
    };
    for end in ["\0", "a", "b"] {
        for key in ["a", "b", "c"] {
            let beside = success(vec![delete("b", end), put(key)]);
            let inside = success(vec![child(vec![delete("b", end)]), put(key)]);
            let around = success(vec![child(vec![put(key)]), delete("b", end)]);
            for all in [beside, inside, around] {
                assert_eq!(txn(&all, 9), Ok(()), "{end:?} {key}");
            }
        }
    }
}
