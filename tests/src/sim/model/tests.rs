//! The model on made-up histories: right ones pass, and each kind of wrong one is told.
#![allow(clippy::unwrap_used)]

use engine::ids::Revision;
use engine::shard::request::{DeleteRequest, Op, PutRequest};

use super::*;

fn put(key: &'static str, value: &'static str) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    }
}

/// The event of the first put of a key.
fn created(key: &'static str, value: &'static str, revision: i64, sub: i64) -> Event {
    Event {
        revision: Revision::new(revision, sub),
        kv: KeyValue {
            key: key.into(),
            value: value.into(),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            lease: 0,
        },
        delete: false,
        prev: Default::default(),
    }
}

fn acknowledged(model: &mut Model, key: &'static str, value: &'static str, revision: i64) {
    let number = model.begin(&Request::Put(put(key, value)));
    let reply = PutReply {
        revision,
        prev: None,
    };
    model.changed(number, revision, Reply::Put(reply)).unwrap();
}

fn told(result: Result<(), String>, what: &str) {
    let error = result.unwrap_err();
    assert!(error.contains(what), "{error}");
}

#[test]
fn what_was_acknowledged_and_shown_is_explained() {
    let mut model = Model::new();
    acknowledged(&mut model, "a", "1", 2);
    model.show(&[created("a", "1", 2, 0)]).unwrap();
    model.close(2).unwrap();
    assert_eq!(model.state_at(2).len(), 1);
    assert!(model.state_at(1).is_empty());
}

#[test]
fn an_acknowledged_revision_that_is_not_settled_is_lost() {
    let mut model = Model::new();
    acknowledged(&mut model, "a", "1", 2);
    told(model.close(1), "revision 2 was told or shown; 1 is settled");
}

#[test]
fn a_revision_that_nobody_asked_for_is_invented() {
    let mut model = Model::new();
    model.show(&[created("a", "1", 2, 0)]).unwrap();
    told(model.close(2), "nobody asked");
}

#[test]
fn another_value_than_the_acknowledged_is_told() {
    let mut model = Model::new();
    acknowledged(&mut model, "a", "1", 2);
    model.show(&[created("a", "2", 2, 0)]).unwrap();
    told(model.close(2), "revision 2");
}

#[test]
fn an_unanswered_request_happens_once_or_not_at_all_and_not_later() {
    let mut model = Model::new();
    model.begin(&Request::Put(put("a", "1")));
    model.show(&[created("a", "1", 2, 0)]).unwrap();
    model.close(2).unwrap();
    // The same again was asked once only.
    let mut again = created("a", "1", 3, 0);
    (again.kv.create_revision, again.kv.version) = (2, 2);
    model.show(&[again]).unwrap();
    told(model.close(3), "nobody asked");

    let mut model = Model::new();
    model.begin(&Request::Put(put("a", "1")));
    model.close(1).unwrap();
    model.show(&[created("a", "1", 2, 0)]).unwrap();
    told(model.close(2), "nobody asked");
}

#[test]
fn half_a_transaction_is_told() {
    let mut model = Model::new();
    model.begin(&Request::Txn(TxnRequest {
        success: vec![Op::Put(put("a", "1")), Op::Put(put("b", "1"))],
        ..TxnRequest::default()
    }));
    model.show(&[created("a", "1", 2, 0)]).unwrap();
    told(model.close(2), "nobody asked");
}

#[test]
fn gaps_and_repetitions_of_what_is_shown_are_told() {
    let mut model = Model::new();
    told(model.show(&[created("a", "1", 3, 0)]), "was shown after");
    let mut model = Model::new();
    model.show(&[created("a", "1", 2, 0)]).unwrap();
    told(model.show(&[created("a", "1", 2, 0)]), "out of turn");
    told(model.show(&[created("b", "1", 3, 1)]), "out of turn");
}

#[test]
fn a_read_of_the_wrong_state_is_told() {
    let mut model = Model::new();
    acknowledged(&mut model, "a", "1", 2);
    model.show(&[created("a", "1", 2, 0)]).unwrap();
    let range = RangeRequest::all(KeyRange::From("\0".into()));
    let number = model.begin(&Request::Range(range.clone()));
    let reply = RangeReply {
        revision: 2,
        ..RangeReply::default()
    };
    model.read(number, range, reply);
    told(model.close(2), "count is 0, not 1");
}

#[test]
fn a_delete_that_missed_a_key_is_told() {
    let mut model = Model::new();
    acknowledged(&mut model, "a", "1", 2);
    model.show(&[created("a", "1", 2, 0)]).unwrap();
    let range = KeyRange::One("a".into());
    let number = model.begin(&Request::Delete(DeleteRequest {
        range: range.clone(),
        prev_kv: false,
    }));
    model.deleted_nothing(number, 2, range);
    told(model.close(2), "did not find");
}

#[test]
fn a_watcher_that_missed_an_event_or_saw_it_twice_is_told() {
    let mut model = Model::new();
    acknowledged(&mut model, "a", "1", 2);
    model.show(&[created("a", "1", 2, 0)]).unwrap();
    model.close(2).unwrap();
    let mut watched = Watched {
        range: KeyRange::From("\0".into()),
        start: 2,
        prev_kv: false,
        events: Vec::new(),
        through: 2,
    };
    told(model.check_watched(&watched), "0 events through 2, not 1");
    watched.events.push(created("a", "1", 2, 0));
    model.check_watched(&watched).unwrap();
    watched.events.push(created("a", "1", 2, 0));
    told(model.check_watched(&watched), "2 events through 2, not 1");
}

#[test]
fn lost_and_resurrected_leases_are_told() {
    let mut model = Model::new();
    let grant = Request::Grant {
        id: 5,
        ttl_s: 100_000,
    };
    let number = model.begin(&grant);
    model.granted(number, 5);
    told(model.check_leases(&BTreeMap::new()), "is lost");
    let there = BTreeMap::from([(5, Vec::new())]);
    model.check_leases(&there).unwrap();
    let number = model.begin(&Request::Revoke(5));
    model.revoked(number, 5, 1);
    told(model.check_leases(&there), "was revoked and is there");
    let other = BTreeMap::from([(6, Vec::new())]);
    told(model.check_leases(&other), "nobody granted");
}
