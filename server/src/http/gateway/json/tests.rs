//! Messages to JSON and back, in every form that is read.
#![allow(clippy::unwrap_used)]

use proto::etcdserverpb as pb;
use serde_json::json;

use super::*;

fn read<M: prost::Message + Default>(method: Method, json: Value) -> Result<M, String> {
    let message = Shape::of(method).unwrap().read(&json)?;
    Ok(M::decode(message.as_slice()).unwrap())
}

#[test]
fn every_method_has_a_shape() {
    for method in Method::ALL {
        assert!(Shape::of(*method).is_some() || method.service().starts_with("grpc."));
    }
}

#[test]
fn numbers_bytes_names_and_enumerations_are_read_in_every_form() {
    let forms = [
        json!({"key": "-_8=", "range_end": "+/8", "limit": 4, "sort_order": "DESCEND"}),
        json!({"key": "+/8=", "rangeEnd": "-_8", "limit": "4", "sortOrder": 2}),
        json!({"key": "-_8", "range_end": "+/8=", "limit": 4.0, "sort_order": "DESCEND",
            "no_such_field": {"a": [1]}, "revision": null}),
    ];
    let want = pb::RangeRequest {
        key: Bytes::from_static(b"\xfb\xff"),
        range_end: Bytes::from_static(b"\xfb\xff"),
        limit: 4,
        sort_order: 2,
        ..Default::default()
    };
    for form in forms {
        assert_eq!(read(Method::KvRange, form), Ok(want.clone()));
    }
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    let cases = [
        (json!([]), "RangeRequest"),
        (json!({"key": 1}), "key: a number"),
        (json!({"key": "!"}), "key: illegal base64"),
        (json!({"limit": "x"}), "limit: a string"),
        (json!({"limit": 1.5}), "limit: a number"),
        (json!({"limit": "9223372036854775808"}), "limit"),
        (json!({"serializable": "true"}), "serializable: a string"),
        (json!({"sort_order": "UP"}), "sort_order: unknown value"),
    ];
    for (form, says) in cases {
        let refused = read::<pb::RangeRequest>(Method::KvRange, form).unwrap_err();
        assert!(refused.contains(says), "{refused}");
    }
    let both = json!({"success": [{"request_put": {}, "request_range": {}}]});
    let refused = read::<pb::TxnRequest>(Method::KvTxn, both).unwrap_err();
    assert!(refused.contains("already set"), "{refused}");
}

#[test]
fn an_answer_is_written_as_etcds_gateway_writes_it() {
    let kv = proto::mvccpb::KeyValue {
        key: "foo".into(),
        mod_revision: 3,
        ..Default::default()
    };
    let answer = pb::WatchResponse {
        header: Some(pb::ResponseHeader {
            cluster_id: u64::MAX,
            ..Default::default()
        }),
        events: vec![proto::mvccpb::Event {
            r#type: 1,
            kv: Some(kv),
            prev_kv: None,
        }],
        cancel_reason: "a\"b".into(),
        ..Default::default()
    };
    let shape = Shape::of(Method::Watch).unwrap();
    let written = shape.write(prost::Message::encode_to_vec(&answer).into());
    let want = r#"{"header":{"cluster_id":"18446744073709551615"},"cancel_reason":"a\"b",
        "events":[{"type":"DELETE","kv":{"key":"Zm9v","mod_revision":"3"}}]}"#;
    let want: String = want.split("\n        ").collect();
    assert_eq!(String::from_utf8(written.unwrap()).unwrap(), want);
}

#[test]
fn values_are_taken_one_after_the_other_up_to_what_is_none() {
    let mut values = Values::new(Bytes::from_static(b" {\"a\":1}\n2 {x} 3"));
    assert_eq!(values.next(), Ok(Some(json!({"a": 1}))));
    assert_eq!(values.next(), Ok(Some(json!(2))));
    assert!(values.next().is_err());
    assert_eq!(values.next(), Ok(None));
}
