//! What messages mean, in the corners.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn the_key_is_looked_at_before_the_order() {
    let request = |key: &'static str, order, target| pb::RangeRequest {
        key: key.into(),
        sort_order: order,
        sort_target: target,
        ..Default::default()
    };
    assert_eq!(range(request("", 9, 0)).unwrap_err(), Error::EmptyKey);
    assert_eq!(
        range(request("k", 9, 0)).unwrap_err(),
        Error::InvalidSortOption
    );
    assert_eq!(
        range(request("k", 0, 5)).unwrap_err(),
        Error::InvalidSortOption
    );
    let descending = range(request("k", 2, 3)).unwrap();
    assert_eq!(
        (descending.order, descending.target),
        (Some(Order::Descend), SortTarget::Mod)
    );
}

#[test]
fn a_compare_with_the_wrong_kind_of_value_compares_with_zero() {
    use pb::compare::TargetUnion;
    let of = |target, union| {
        let compare = pb::Compare {
            target,
            target_union: union,
            ..Default::default()
        };
        super::compare(compare).target
    };
    assert_eq!(
        of(0, Some(TargetUnion::Version(3))),
        CompareTarget::Version(3)
    );
    assert_eq!(
        of(0, Some(TargetUnion::ModRevision(3))),
        CompareTarget::Version(0)
    );
    assert_eq!(of(3, None), CompareTarget::Value(Bytes::new()));
    assert_eq!(of(9, None), CompareTarget::Other);
}

#[test]
fn an_empty_operation_and_a_raw_range_end_are_kept() {
    use pb::request_op::Request;
    let delete = pb::DeleteRangeRequest {
        key: "a".into(),
        range_end: Bytes::from_static(&[0]),
        prev_kv: true,
    };
    let request = pb::TxnRequest {
        success: vec![
            pb::RequestOp { request: None },
            pb::RequestOp {
                request: Some(Request::RequestDeleteRange(delete)),
            },
        ],
        ..Default::default()
    };
    let txn = txn(request);
    assert!(matches!(txn.success[0], Op::Refused(Error::KeyNotFound)));
    let Op::Delete { request, raw_end } = &txn.success[1] else {
        panic!("{:?}", txn.success[1]);
    };
    assert_eq!(request.range, KeyRange::From("a".into()));
    assert_eq!(raw_end.as_ref(), [0]);
}

#[test]
fn a_watch_without_a_key_begins_at_the_lowest() {
    let request = pb::WatchCreateRequest {
        filters: vec![1, 7],
        ..Default::default()
    };
    let create = watch_create(request);
    assert_eq!(create.range, KeyRange::One(Bytes::from_static(&[0])));
    assert_eq!(
        create.filters,
        Filters {
            no_put: false,
            no_delete: true
        }
    );
}
