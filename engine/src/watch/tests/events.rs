//! What a response holds: which events, their former state, and how they are split.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn filters_leave_out_and_what_is_left_empty_is_not_sent() {
    let mut world = world();
    let stream = world.hub.open(0);
    let puts = Filters {
        no_put: false,
        no_delete: true,
    };
    let deletes = Filters {
        no_put: true,
        no_delete: false,
    };
    let neither = Filters {
        no_put: true,
        no_delete: true,
    };
    for filters in [puts, deletes, neither] {
        world.create(
            stream,
            &CreateRequest {
                filters,
                ..from(span("a", "c"), 0)
            },
        );
    }
    world.put("a", "1");
    world.write(&[("a", None), ("b", Some("2")), ("x", None)]);
    world.deliver_all();
    world.delete("b");
    let said = world.said(stream);
    assert_eq!(
        said[3..],
        ["0@2: 2/a=1", "0@3: 3/b=2", "1@3: 3/a", "1@4: 4/b"]
    );
}

#[test]
fn one_revision_is_one_response() {
    let mut world = world();
    let stream = world.hub.open(0);
    world.create(stream, &from(span("a", "c"), 0));
    world.create(stream, &from(all(), 0));
    world.write(&[("b", Some("1")), ("a", Some("1")), ("c", Some("1"))]);
    world.deliver_all();
    let mut said = world.said(stream);
    said.sort();
    assert_eq!(said[1], "0@2: 2/b=1 2/a=1");
    assert_eq!(said[3], "1@2: 2/b=1 2/a=1 2/c=1");
}

#[test]
fn the_former_state_comes_live_if_known_and_else_from_history() {
    let mut world = world();
    world.put("a", "1");
    let stream = world.hub.open(0);
    world.create(
        stream,
        &CreateRequest {
            prev_kv: true,
            ..from(one("a"), 0)
        },
    );
    world.create(stream, &from(one("a"), 0));
    assert_eq!(world.hub.counts().prev_kv, 1);
    world.put("a", "2");
    world.write(&[("a", Some("3"))]);
    world.deliver_next(false);
    world.write(&[("a", None)]);
    world.deliver_next(false);
    world.write(&[("a", Some("4"))]);
    world.deliver_next(false);
    let said = world.said(stream);
    let live = [
        "0@3: 3/a=2(was 1)",
        "1@3: 3/a=2",
        "1@4: 4/a=3",
        "1@5: 5/a",
        "1@6: 6/a=4",
    ];
    assert_eq!(said[2..], live);
    let job = world.next_job().unwrap();
    assert!(job.prev_kv);
    assert_eq!((job.from, job.through), (4, 6));
    let (events, through) = world.read(&job, 2);
    world.hub.caught(job.id, events, through);
    // A put that creates its key has no former state, so the recent event serves.
    assert_eq!(
        world.said(stream),
        ["0@6: 4/a=3(was 2) 5/a(was 3)", "0@6: 6/a=4"]
    );
    assert_eq!(world.hub.counts().slow, 0);
}

/// What else is watched decides which former states are in memory, but not how a past is told.
#[test]
fn a_past_is_told_in_one_piece_where_memory_lacks_a_former_state() {
    let mut world = world();
    let stream = world.hub.open(0);
    world.create(stream, &from(one("a"), 0));
    world.put("a", "1");
    world.write(&[("a", Some("2"))]);
    world.deliver_next(false);
    world.put("a", "3");
    world.said(stream);
    let late = CreateRequest {
        prev_kv: true,
        ..from(one("a"), 2)
    };
    world.create(stream, &late);
    world.serve();
    assert_eq!(
        world.said(stream),
        ["1@4: created", "1@4: 2/a=1 3/a=2(was 1) 4/a=3(was 2)"]
    );
}

#[test]
fn a_former_state_below_the_compact_revision_is_not_told_from_memory_either() {
    let mut world = world();
    let stream = world.hub.open(0);
    let previous = |start| CreateRequest {
        prev_kv: true,
        ..from(one("a"), start)
    };
    world.create(stream, &previous(0));
    for value in ["1", "2", "3"] {
        world.put("a", value);
    }
    world.said(stream);
    world.compact(3);
    world.create(stream, &previous(3));
    world.serve();
    assert_eq!(
        world.said(stream),
        ["1@4: created", "1@4: 3/a=2 4/a=3(was 2)"]
    );
}

#[test]
fn watchers_of_the_same_events_share_one_encoding() {
    let mut world = world();
    let streams: Vec<StreamId> = (0..64).map(|_| world.hub.open(0)).collect();
    for stream in &streams {
        world.create(*stream, &from(one("a"), 0));
    }
    world.put("a", "1");
    let mut encodings = 0;
    for stream in streams {
        let responses = world.hub.drain(stream, 10);
        let Kind::Events { batch, prev_kv, .. } = &responses[1].kind else {
            panic!()
        };
        let bytes = batch.encoded(*prev_kv, |_| {
            encodings += 1;
            Bytes::from_static(b"encoded")
        });
        assert_eq!(bytes.as_ref(), b"encoded");
    }
    assert_eq!(encodings, 1);
}

#[test]
fn large_responses_are_split_by_events_for_those_who_asked() {
    let settings = Settings {
        fragment_bytes: 300,
        ..Settings::default()
    };
    let mut world = World::new(settings);
    let stream = world.hub.open(0);
    world.create(
        stream,
        &CreateRequest {
            fragment: true,
            ..from(all(), 0)
        },
    );
    world.create(stream, &from(all(), 0));
    let (small, large) = ("s".repeat(80), "l".repeat(1000));
    world.write(&[
        ("a", Some(&small)),
        ("b", Some(&small)),
        ("c", Some(&small)),
        ("d", Some(&large)),
        ("e", Some(&small)),
    ]);
    world.deliver_all();
    let shape: Vec<(i64, usize, bool)> = world
        .hub
        .drain(stream, 100)
        .iter()
        .filter_map(|response| match &response.kind {
            Kind::Events {
                batch, fragment, ..
            } => Some((response.watch_id, batch.events().len(), *fragment)),
            _ => None,
        })
        .collect();
    let pieces = [
        (0, 2, true),
        (0, 1, true),
        (0, 1, true),
        (0, 1, false),
        (1, 5, false),
    ];
    assert_eq!(shape, pieces);
}

#[test]
fn a_revision_that_was_delivered_is_ignored_the_second_time() {
    let mut world = world();
    let stream = world.hub.open(0);
    world.create(stream, &from(all(), 0));
    world.put("a", "1");
    assert!(!world.hub.deliver(world.history[2].clone(), 2));
    assert!(!world.hub.deliver(Vec::new(), 2), "nothing is no revision");
    assert_eq!(world.said(stream), ["0@1: created", "0@2: 2/a=1"]);
}
