//! Every promise has a made-up history that breaks it.
#![allow(clippy::unwrap_used)]

use super::*;

fn told(header: i64, events: &[(i64, &'static str)]) -> pb::WatchResponse {
    let event = |(revision, key): &(i64, &'static str)| pb::Event {
        kv: Some(pb::KeyValue {
            key: Bytes::from_static(key.as_bytes()),
            mod_revision: *revision,
            ..Default::default()
        }),
        ..Default::default()
    };
    pb::WatchResponse {
        header: Some(pb::ResponseHeader {
            revision: header,
            ..Default::default()
        }),
        events: events.iter().map(event).collect(),
        ..Default::default()
    }
}

fn after(responses: &[pb::WatchResponse]) -> Result<History, String> {
    let mut history = History::default();
    for response in responses {
        history.add(response)?;
    }
    Ok(history)
}

#[test]
fn a_good_history_passes() {
    let history = after(&[
        told(3, &[(2, "a"), (3, "a"), (3, "b")]),
        told(3, &[]),
        told(4, &[(4, "a")]),
    ]);
    let history = history.unwrap();
    assert_eq!(history.bookmark, 3);
    history.dense(2, 4).unwrap();
}

#[test]
fn broken_promises_are_named() {
    let bad = [
        ("ordered", vec![told(3, &[(3, "a")]), told(3, &[(2, "b")])]),
        ("atomic", vec![told(3, &[(3, "a")]), told(3, &[(3, "b")])]),
        ("unique", vec![told(3, &[(3, "a"), (3, "a")])]),
        ("bookmarkable", vec![told(5, &[]), told(5, &[(5, "a")])]),
        ("header", vec![told(2, &[(3, "a")])]),
    ];
    for (name, responses) in bad {
        let error = after(&responses).unwrap_err();
        assert!(error.contains(name), "{name}: {error}");
    }
}

#[test]
fn a_fragment_may_split_a_revision() {
    let mut first = told(3, &[(3, "a")]);
    first.fragment = true;
    after(&[first, told(3, &[(3, "b")])]).unwrap();
}

#[test]
fn holes_and_changed_pasts_are_found() {
    let history = after(&[told(4, &[(2, "a"), (4, "a")])]).unwrap();
    assert!(history.dense(2, 4).unwrap_err().contains("3 of 2..=4"));
    let other = after(&[told(4, &[(2, "b"), (4, "a")])]).unwrap();
    assert!(
        history
            .continues(&other, 2)
            .unwrap_err()
            .contains("resumable: 2")
    );
    history.continues(&other, 3).unwrap();
}
