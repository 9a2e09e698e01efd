//! Creating and cancelling watchers: ids, refusals, and what is answered.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn created_comes_first_and_then_each_revision_as_it_happens() {
    let mut world = world();
    world.put("a", "1");
    let stream = world.hub.open(0);
    assert_eq!(world.create(stream, &from(one("a"), 0)), 0);
    world.put("a", "2");
    world.put("b", "2");
    world.delete("a");
    assert_eq!(
        world.said(stream),
        ["0@2: created", "0@3: 3/a=2", "0@5: 5/a"]
    );
}

#[test]
fn ids_are_assigned_from_0_upward_and_never_twice() {
    let mut world = world();
    let stream = world.hub.open(0);
    let chosen = CreateRequest {
        watch_id: 1,
        ..from(all(), 0)
    };
    assert_eq!(world.create(stream, &chosen), 1);
    assert_eq!(world.create(stream, &from(all(), 0)), 0);
    assert_eq!(world.create(stream, &from(all(), 0)), 2);
    assert!(world.hub.cancel(stream, 2, 1));
    assert_eq!(world.create(stream, &from(all(), 0)), 3);
    let other = world.hub.open(0);
    assert_eq!(
        world.create(other, &from(all(), 0)),
        0,
        "each stream counts for itself"
    );
}

#[test]
fn refusals_have_id_minus_1_and_leave_other_watchers_alone() {
    let mut world = world();
    let stream = world.hub.open(0);
    let chosen = CreateRequest {
        watch_id: 7,
        ..from(one("a"), 0)
    };
    assert_eq!(world.create(stream, &chosen), 7);
    assert_eq!(world.create(stream, &chosen), -1);
    assert_eq!(world.create(stream, &from(span("b", "b"), 0)), -1);
    assert_eq!(world.create(stream, &from(one("a"), -1)), -1);
    world.hub.refuse(stream, "rpc error");
    world.put("a", "1");
    let expected = [
        "7@1: created",
        "-1@1: refused mvcc: duplicate watch ID provided on the WatchStream",
        "-1@1: refused mvcc: watcher range is empty",
        "-1@1: refused etcdserver: mvcc: required revision has been compacted",
        "-1@1: refused rpc error",
        "7@2: 2/a=1",
    ];
    assert_eq!(world.said(stream), expected);
    assert_eq!(world.hub.counts().watchers, 1);
}

#[test]
fn cancel_is_answered_once_and_an_unknown_id_with_silence() {
    let mut world = world();
    let stream = world.hub.open(0);
    world.create(stream, &from(one("a"), 0));
    assert!(world.hub.cancel(stream, 0, 1));
    assert!(!world.hub.cancel(stream, 0, 1));
    world.put("a", "1");
    assert_eq!(world.said(stream), ["0@1: created", "0@1: canceled"]);
    assert_eq!(world.hub.counts().watchers, 0);
}

/// As in etcd: the id stays taken until the client cancels it, which gets an answer of its own.
#[test]
fn the_id_of_a_compacted_watcher_is_taken_until_it_is_cancelled() {
    let mut world = world();
    world.put("a", "1");
    world.put("a", "2");
    world.hub = Hub::new(Settings::default(), 3, 3);
    let stream = world.hub.open(0);
    world.create(stream, &from(one("a"), 2));
    world.serve();
    assert_eq!(world.said(stream), ["0@3: created", "0@0: compacted 3"]);
    let mut again = from(one("a"), 4);
    again.watch_id = 7;
    world.create(stream, &again);
    world.create(stream, &from(one("a"), 4));
    assert_eq!(world.said(stream), ["7@3: created", "1@3: created"]);
    assert!(world.hub.cancel(stream, 0, 3));
    assert!(!world.hub.cancel(stream, 0, 3));
    assert_eq!(world.said(stream), ["0@3: canceled"]);
}
