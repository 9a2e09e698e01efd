//! Each row explains what it is about and nothing else.
#![allow(clippy::unwrap_used)]

use super::order::{FUTURE, KEY, LEASE};
use super::*;
use crate::client::Status;
use crate::differ::contest::Watched;
use pb::request_op::Request;

fn put(lease: i64, ignore_value: bool) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(Request::RequestPut(pb::PutRequest {
            lease,
            ignore_value,
            ..Default::default()
        })),
    }
}

fn refused(message: &str) -> Outcome {
    Outcome::Refused(Status {
        code: 5,
        message: message.into(),
    })
}

fn is_explained(version: &str, success: Vec<pb::RequestOp>, ours: &str, theirs: &str) -> bool {
    let txn = pb::TxnRequest {
        success,
        ..Default::default()
    };
    let case = Case::Answer {
        step: &Step::Call(Call::Txn(txn)),
        ours: &refused(ours),
        theirs: &refused(theirs),
    };
    explain(Some(version), &case).is_some()
}

#[test]
fn only_a_reason_that_comes_later_in_the_transaction_is_explained() {
    let read = pb::RequestOp {
        request: Some(Request::RequestRange(pb::RangeRequest {
            revision: 9,
            ..Default::default()
        })),
    };
    let both = vec![read.clone(), put(1, false)];
    let turned = vec![put(1, false), read];
    assert!(is_explained("3.5.1", both.clone(), FUTURE, LEASE));
    assert!(!is_explained("3.6.0", both, FUTURE, LEASE));
    assert!(is_explained("3.6.0", vec![put(1, true)], LEASE, KEY));
    assert!(!is_explained("3.7.0", vec![put(1, true)], LEASE, KEY));
    assert!(!is_explained("3.5.1", turned.clone(), FUTURE, LEASE));
    assert!(!is_explained("3.5.1", turned, LEASE, FUTURE));
    assert!(!is_explained("3.5.1", vec![put(1, true)], KEY, LEASE));
    let apart = vec![put(1, false), put(0, true)];
    assert!(!is_explained("3.5.1", apart, LEASE, KEY));
    assert!(!is_explained("3.5.1", vec![put(1, false)], KEY, LEASE));
    assert!(!is_explained("3.5.1", vec![put(1, true)], LEASE, "other"));
}

fn told(events: &[(i32, i64)]) -> Vec<Told> {
    let event = |(kind, mod_revision): &(i32, i64)| pb::Event {
        r#type: *kind,
        kv: Some(pb::KeyValue {
            mod_revision: *mod_revision,
            ..Default::default()
        }),
        prev_kv: None,
    };
    let response = pb::WatchResponse {
        events: events.iter().map(event).collect(),
        ..Default::default()
    };
    let bytes = response.encode_to_vec().into();
    vec![Told { bytes }]
}

#[test]
fn only_deletes_at_the_compact_revision_may_lack() {
    let lacks = |start_revision, ours: &[_], theirs: &[_]| {
        let create = pb::WatchCreateRequest {
            start_revision,
            ..Default::default()
        };
        let watched = Watched {
            create,
            compacted: 5,
            loose: false,
        };
        let (ours, theirs) = (told(ours), told(theirs));
        let case = Case::Told {
            watched: &watched,
            ours: &ours,
            theirs: &theirs,
        };
        explain(Some("3.5.1"), &case).is_some()
    };
    assert!(lacks(5, &[(1, 5), (0, 6)], &[(0, 6)]));
    assert!(!lacks(4, &[(1, 5), (0, 6)], &[(0, 6)]));
    assert!(!lacks(5, &[(0, 5), (0, 6)], &[(0, 6)]));
    assert!(!lacks(5, &[(1, 5), (1, 6)], &[(1, 5)]));
}

#[test]
fn what_cannot_be_asked_has_a_golden_script() {
    for row in TABLE {
        if let Met::Golden(name) = row.met {
            let path = crate::differ::golden::dir().join(format!("{name}.txt"));
            assert!(path.exists(), "{}: no {}", row.what, path.display());
        }
    }
}
