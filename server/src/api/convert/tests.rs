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

/// A transaction with everything in it that can be.
fn transaction() -> pb::TxnRequest {
    use pb::compare::TargetUnion;
    use pb::request_op::Request;
    let op = |request| pb::RequestOp {
        request: Some(request),
    };
    let range = pb::RangeRequest {
        key: "a".into(),
        range_end: "z".into(),
        limit: 5,
        sort_order: 1,
        sort_target: 4,
        min_mod_revision: 7,
        ..Default::default()
    };
    let put = pb::PutRequest {
        key: "k".into(),
        value: "v".into(),
        lease: -1,
        prev_kv: true,
        ..Default::default()
    };
    let delete = pb::DeleteRangeRequest {
        key: "k".into(),
        range_end: vec![0].into(),
        prev_kv: true,
    };
    let compare = pb::Compare {
        result: 3,
        target: 3,
        key: "k".into(),
        range_end: "l".into(),
        target_union: Some(TargetUnion::Value("v".into())),
    };
    let inner = pb::TxnRequest {
        compare: vec![compare.clone()],
        success: vec![op(Request::RequestPut(put.clone()))],
        failure: vec![],
    };
    pb::TxnRequest {
        compare: vec![compare],
        success: vec![
            op(Request::RequestRange(range)),
            op(Request::RequestPut(put)),
            op(Request::RequestTxn(inner)),
        ],
        failure: vec![op(Request::RequestDeleteRange(delete))],
    }
}

#[test]
fn mutated_messages_are_refused_or_become_requests() {
    use prost::Message;
    let messages = [transaction().encode_to_vec(), {
        let create = pb::WatchCreateRequest {
            key: "a".into(),
            range_end: "b".into(),
            start_revision: 9,
            filters: vec![0, 1, 7],
            ..Default::default()
        };
        create.encode_to_vec()
    }];
    let mut dice = crate::testing::Dice(7);
    let mut taken = 0;
    for case in 0..20_000 {
        let bytes = Bytes::from(dice.mutate(&messages[case % 2]));
        if let Ok(request) = pb::TxnRequest::decode(bytes.clone()) {
            taken += 1;
            let counts = (request.compare.len(), request.success.len());
            let made = txn(request);
            assert_eq!((made.compare.len(), made.success.len()), counts);
        }
        if let Ok(request) = pb::RangeRequest::decode(bytes.clone()) {
            let key = request.key.clone();
            match range(request) {
                Ok(made) => {
                    let (KeyRange::One(from) | KeyRange::Span(from, _) | KeyRange::From(from)) =
                        made.range;
                    assert_eq!(from, key);
                }
                Err(error) => assert!(
                    matches!(error, Error::EmptyKey | Error::InvalidSortOption),
                    "{error}"
                ),
            }
        }
        if let Ok(request) = pb::PutRequest::decode(bytes.clone()) {
            assert_eq!(put(request.clone()).key, request.key);
        }
        if let Ok(request) = pb::DeleteRangeRequest::decode(bytes.clone()) {
            assert_eq!(delete(request.clone()).prev_kv, request.prev_kv);
        }
        if let Ok(request) = pb::WatchCreateRequest::decode(bytes) {
            assert_eq!(watch_create(request.clone()).watch_id, request.watch_id);
        }
    }
    assert!(taken > 300, "{taken}: too wild to test anything");
}

#[test]
fn a_transaction_nested_without_end_is_refused_and_overflows_no_stack() {
    use prost::Message;
    let mut message = Vec::new();
    for _ in 0..50_000 {
        // success (2) holds an operation, which holds a transaction (4).
        let mut op = Vec::new();
        prost::encoding::encode_key(4, prost::encoding::WireType::LengthDelimited, &mut op);
        prost::encoding::encode_varint(message.len() as u64, &mut op);
        let inner = op.len() + message.len();
        let mut outer = Vec::with_capacity(inner + 12);
        prost::encoding::encode_key(2, prost::encoding::WireType::LengthDelimited, &mut outer);
        prost::encoding::encode_varint(inner as u64, &mut outer);
        outer.extend_from_slice(&op);
        outer.extend_from_slice(&message);
        message = outer;
        if message.len() > 20_000 {
            break;
        }
    }
    assert!(pb::TxnRequest::decode(&message[..]).is_err());
}
