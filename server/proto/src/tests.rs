//! Golden bytes: what etcd's own client and server put on the wire for the same values.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use prost::Message;

use crate::{authpb, etcdserverpb as pb, mvccpb};

#[test]
fn a_key_value_has_etcds_bytes() {
    let kv = mvccpb::KeyValue {
        key: Bytes::from_static(b"k"),
        create_revision: 2,
        mod_revision: 300,
        version: 1,
        value: Bytes::from_static(b"v"),
        lease: -1,
    };
    let mut want = b"\x0a\x01k\x10\x02\x18\xac\x02\x20\x01\x2a\x01v\x30".to_vec();
    want.extend([0xff; 9]);
    want.push(1);
    assert_eq!(kv.encode_to_vec(), want);
}

#[test]
fn the_range_end_of_a_compare_is_field_64() {
    let compare = pb::Compare {
        range_end: Bytes::from_static(b"z"),
        ..Default::default()
    };
    assert_eq!(compare.encode_to_vec(), b"\x82\x04\x01z");
}

#[test]
fn events_of_a_watch_response_are_field_11() {
    let response = pb::WatchResponse {
        events: vec![mvccpb::Event {
            r#type: 1,
            kv: None,
            prev_kv: None,
        }],
        ..Default::default()
    };
    assert_eq!(response.encode_to_vec(), b"\x5a\x02\x08\x01");
}

#[test]
fn url_fields_have_readable_names() {
    let member = pb::Member {
        peer_urls: vec!["u".into()],
        ..Default::default()
    };
    assert_eq!(member.encode_to_vec(), b"\x1a\x01u");
}

#[test]
fn decoding_from_bytes_borrows_keys_and_values() {
    let wire = Bytes::from(
        pb::PutRequest {
            key: Bytes::from_static(b"key"),
            value: Bytes::from(vec![7; 100]),
            ..Default::default()
        }
        .encode_to_vec(),
    );
    let put = pb::PutRequest::decode(wire.clone()).unwrap();
    assert!(wire.as_ptr_range().contains(&put.value.as_ptr()));
}

#[test]
fn permissions_name_their_type() {
    let permission = authpb::Permission {
        perm_type: authpb::permission::Type::Readwrite.into(),
        ..Default::default()
    };
    assert_eq!(permission.encode_to_vec(), b"\x08\x02");
}

#[test]
fn every_rpc_of_the_catalogue_is_listed() {
    let of = |service: &str| {
        let prefix = format!("/{service}/");
        crate::METHODS
            .iter()
            .filter(|m| m.0.starts_with(&prefix))
            .count()
    };
    let counts = [
        ("etcdserverpb.KV", 6),
        ("etcdserverpb.Watch", 1),
        ("etcdserverpb.Lease", 5),
        ("etcdserverpb.Cluster", 5),
        ("etcdserverpb.Maintenance", 8),
        ("etcdserverpb.Auth", 17),
        ("v3electionpb.Election", 5),
        ("v3lockpb.Lock", 2),
        ("grpc.health.v1.Health", 2),
    ];
    for (service, count) in counts {
        assert_eq!(of(service), count, "{service}");
    }
}
