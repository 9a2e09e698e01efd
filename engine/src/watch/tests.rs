//! Tests of the hub by what a client would see; `tests/model.rs` holds the random one.
#![allow(clippy::unwrap_used)]

mod model;
mod ranges;
mod world;

use bytes::Bytes;

use super::*;
use crate::keys::KeyRange;
use world::{World, all, key, one, span};

fn world() -> World {
    World::new(Settings::default())
}

fn from(range: KeyRange, start_revision: i64) -> CreateRequest {
    CreateRequest::new(range, start_revision)
}

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
fn now_is_what_is_settled_not_what_was_delivered() {
    let mut world = world();
    let stream = world.hub.open(0);
    world.write(&[("a", Some("1"))]);
    world.create(stream, &from(one("a"), 0));
    world.hub.progress_request(stream);
    world.deliver_all();
    world.hub.progress_request(stream);
    world.put("a", "2");
    let expected = ["0@2: created", "-1@2: progress", "0@3: 3/a=2"];
    assert_eq!(world.said(stream), expected);
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

#[test]
fn history_comes_with_the_stores_revision_and_then_live() {
    let mut world = world();
    for text in ["a", "b", "a", "a"] {
        world.put(text, "x");
    }
    // A hub that begins here has no recent events.
    world.hub = Hub::new(Settings::default(), 5, 0);
    let stream = world.hub.open(0);
    world.create(stream, &from(one("a"), 3));
    assert_eq!(world.hub.counts().slow, 1);
    let job = world.next_job().unwrap();
    assert_eq!((job.from, job.through, &job.range), (3, 5, &one("a")));
    world.put("a", "during");
    let (events, through) = world.read(&job, 2);
    world.hub.caught(job.id, events, through);
    world.serve();
    world.put("a", "after");
    let expected = [
        "0@5: created",
        "0@6: 4/a=x",
        "0@6: 5/a=x 6/a=during",
        "0@7: 7/a=after",
    ];
    assert_eq!(world.said(stream), expected);
}

#[test]
fn a_start_among_the_recent_revisions_needs_no_history() {
    let mut world = world();
    for value in ["1", "2", "3"] {
        world.put("a", value);
    }
    let stream = world.hub.open(0);
    world.create(stream, &from(one("a"), 3));
    assert!(world.next_job().is_none());
    assert_eq!(world.said(stream), ["0@4: created", "0@4: 3/a=2 4/a=3"]);
    assert_eq!(world.hub.counts().slow, 0);
}

#[test]
fn watchers_that_wait_for_the_same_share_a_read() {
    let mut world = world();
    for value in ["1", "2", "3"] {
        world.put("a", value);
    }
    world.delete("a");
    world.hub = Hub::new(Settings::default(), 5, 0);
    let stream = world.hub.open(0);
    let puts = Filters {
        no_put: false,
        no_delete: true,
    };
    let deletes = Filters {
        no_put: true,
        no_delete: false,
    };
    world.create(
        stream,
        &CreateRequest {
            filters: puts,
            ..from(one("a"), 3)
        },
    );
    world.create(
        stream,
        &CreateRequest {
            prev_kv: true,
            filters: deletes,
            ..from(one("a"), 3)
        },
    );
    world.create(stream, &from(one("a"), 4));
    let job = world.next_job().unwrap();
    assert!(job.prev_kv);
    assert_eq!(job.filters, Filters::default());
    let (events, through) = world.read(&job, 100);
    world.hub.caught(job.id, events, through);
    let job = world.next_job().unwrap();
    assert_eq!(job.from, 4);
    world.hub.failed(job.id);
    world.serve();
    let said = world.said(stream);
    assert_eq!(
        said[3..],
        ["0@5: 3/a=2 4/a=3", "1@5: 5/a(was 3)", "2@5: 4/a=3 5/a"]
    );
}

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
fn a_slow_stream_keeps_bounded_memory_and_misses_nothing() {
    let settings = Settings {
        stream_bytes: 1000,
        recent_bytes: 4000,
        ..Settings::default()
    };
    let mut world = World::new(settings);
    let (slow, quick) = (world.hub.open(0), world.hub.open(0));
    world.create(slow, &from(one("a"), 0));
    world.create(quick, &from(one("a"), 0));
    world.said(quick);
    for at in 0..500 {
        world.put("a", &format!("{at:0100}"));
        world.serve();
        assert_eq!(world.said(quick).len(), 1, "others are not held up");
    }
    assert_eq!(world.hub.counts().slow, 1);
    assert!(world.hub.counts().pending_events < 10);
    let mut seen = Vec::new();
    while let Some(response) = world.hub.pop(slow) {
        if let Kind::Events { batch, .. } = &response.kind {
            seen.extend(batch.events().iter().map(|event| event.revision.main));
        }
        world.serve();
    }
    assert_eq!(seen, (2..502).collect::<Vec<i64>>());
    assert_eq!(world.hub.counts().slow, 0);
}

#[test]
fn a_stream_is_announced_when_it_gets_something_to_send() {
    let mut world = world();
    let stream = world.hub.open(0);
    assert_eq!(world.hub.take_ready(), []);
    world.create(stream, &from(one("a"), 0));
    world.put("a", "1");
    assert_eq!(world.hub.take_ready(), [stream]);
    assert_eq!(world.hub.take_ready(), []);
    world.said(stream);
    world.put("a", "2");
    world.said(stream);
    world.put("a", "3");
    assert_eq!(world.hub.take_ready(), [stream], "once");
    world.said(stream);
    world.put("b", "1");
    assert_eq!(world.hub.take_ready(), []);
}

#[test]
fn closing_a_stream_frees_everything() {
    let mut world = world();
    world.put("a", "1");
    world.hub = Hub::new(Settings::default(), 2, 0);
    let stream = world.hub.open(0);
    let notify = CreateRequest {
        progress_notify: true,
        prev_kv: true,
        ..from(one("a"), 2)
    };
    world.create(stream, &notify);
    world.create(stream, &from(all(), 0));
    let job = world.next_job().unwrap();
    world.put("a", "2");
    world.hub.close(stream);
    assert_eq!(world.hub.counts(), Counts::default());
    assert!(world.next_job().is_none());
    assert_eq!(world.hub.next_progress_ns(), None);
    let again = world.hub.open(0);
    world.create(again, &from(one("a"), 0));
    let (events, through) = world.read(&job, 10);
    world.hub.caught(job.id, events, through);
    assert!(!world.hub.wants(b"b"));
    assert_eq!(
        world.said(again),
        ["0@3: created"],
        "a late answer reaches nobody else"
    );
    assert_eq!(world.said(stream), Vec::<String>::new());
}

#[test]
fn skipped_revisions_are_read_from_history_by_later_watchers() {
    let mut world = world();
    world.write(&[("a", Some("1"))]);
    assert!(!world.hub.wants(b"a"));
    world.hub.advance(2);
    let stream = world.hub.open(0);
    world.create(stream, &from(one("b"), 0));
    world.put("b", "1");
    world.create(stream, &from(all(), 2));
    world.serve();
    let said = world.said(stream);
    assert_eq!(
        said,
        [
            "0@2: created",
            "0@3: 3/b=1",
            "1@3: created",
            "1@3: 2/a=1 3/b=1"
        ]
    );
}

#[test]
fn timed_progress_is_left_out_after_events() {
    let settings = Settings {
        progress_interval_ns: 100,
        ..Settings::default()
    };
    let mut world = World::new(settings);
    let stream = world.hub.open(5);
    world.create(
        stream,
        &CreateRequest {
            progress_notify: true,
            ..from(one("a"), 0)
        },
    );
    world.create(stream, &from(one("a"), 0));
    assert_eq!(world.hub.next_progress_ns(), Some(105));
    world.said(stream);
    world.hub.progress_tick(104);
    assert_eq!(world.said(stream), Vec::<String>::new());
    world.hub.progress_tick(105);
    assert_eq!(world.said(stream), ["0@1: progress"]);
    world.put("a", "1");
    world.put("b", "1");
    world.said(stream);
    world.hub.progress_tick(210);
    assert_eq!(
        world.said(stream),
        Vec::<String>::new(),
        "events were sent meanwhile"
    );
    world.hub.progress_tick(315);
    assert_eq!(world.said(stream), ["0@3: progress"]);
    world.hub.cancel(stream, 0, 3);
    assert_eq!(world.hub.next_progress_ns(), None);
}

/// etcd 18089: a delete at the compact revision was not delivered.
#[test]
fn issue_18089_the_delete_at_the_compact_revision_is_delivered() {
    let mut world = world();
    world.put("a", "1");
    world.delete("a");
    world.put("b", "1");
    world.hub = Hub::new(Settings::default(), 4, 3);
    world.compact_revision = 3;
    let stream = world.hub.open(0);
    world.create(stream, &from(one("a"), 3));
    world.serve();
    assert_eq!(world.said(stream), ["0@4: created", "0@4: 3/a"]);
}

/// etcd 19179: a watch opened at the revision of the compaction lost the delete there.
#[test]
fn issue_19179_a_watch_opened_at_the_compaction_gets_its_delete() {
    let mut world = world();
    world.put("a", "1");
    world.delete("a");
    world.hub = Hub::new(Settings::default(), 3, 0);
    let stream = world.hub.open(0);
    world.create(stream, &from(one("a"), 3));
    world.create(stream, &from(one("a"), 2));
    world.compact(3);
    world.create(stream, &from(one("a"), 2));
    world.serve();
    let expected = [
        "0@3: created",
        "1@3: created",
        "1@0: compacted 3",
        "2@3: created",
        "2@0: compacted 3",
        "0@3: 3/a",
    ];
    assert_eq!(world.said(stream), expected);
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

/// etcd 20221: a watch that begins in the future got older events, and progress below its start.
#[test]
fn issue_20221_nothing_comes_below_a_future_start() {
    let settings = Settings {
        progress_interval_ns: 100,
        ..Settings::default()
    };
    let mut world = World::new(settings);
    let stream = world.hub.open(0);
    world.create(
        stream,
        &CreateRequest {
            progress_notify: true,
            ..from(one("a"), 4)
        },
    );
    world.said(stream);
    world.put("a", "2");
    world.hub.progress_request(stream);
    world.hub.progress_tick(100);
    world.hub.reset(2);
    world.write(&[("a", Some("3"))]);
    world.hub.reset(3);
    world.serve();
    world.hub.progress_request(stream);
    world.hub.progress_tick(200);
    assert_eq!(world.said(stream), Vec::<String>::new());
    world.put("a", "4");
    world.hub.progress_request(stream);
    assert_eq!(world.said(stream), ["0@4: 4/a=4", "-1@4: progress"]);
}

/// etcd 15220: progress notices overtook events.
#[test]
fn issue_15220_progress_does_not_overtake_events() {
    let settings = Settings {
        stream_bytes: 200,
        ..Settings::default()
    };
    let mut world = World::new(settings);
    let stream = world.hub.open(0);
    world.create(stream, &from(one("a"), 0));
    world.put("a", "2");
    world.hub.progress_request(stream);
    assert_eq!(
        world.said(stream),
        ["0@1: created", "0@2: 2/a=2", "-1@2: progress"]
    );
    for _ in 0..10 {
        world.put("a", &"x".repeat(60));
    }
    world.hub.progress_request(stream);
    let said = world.said(stream);
    assert!(
        said.iter().all(|text| !text.contains("progress")),
        "a watcher is behind: {said:?}"
    );
}

/// etcd 17507: a progress request that had to wait for a watcher stopped the whole stream.
#[test]
fn issue_17507_progress_that_cannot_be_promised_is_neither_given_nor_put_off() {
    let mut world = world();
    world.put("a", "1");
    world.hub = Hub::new(Settings::default(), 2, 0);
    let stream = world.hub.open(0);
    world.hub.progress_request(stream);
    world.create(stream, &from(one("b"), 0));
    world.create(stream, &from(one("a"), 2));
    world.hub.progress_request(stream);
    world.put("b", "1");
    world.serve();
    let said = world.said(stream);
    assert_eq!(
        said,
        ["0@2: created", "1@2: created", "0@3: 3/b=1", "1@3: 2/a=1"]
    );
    world.hub.progress_request(stream);
    assert_eq!(world.said(stream), ["-1@3: progress"]);
}

/// etcd 15271: after a snapshot was installed, watches went back in time.
#[test]
fn issue_15271_a_jump_of_the_store_neither_repeats_nor_leaves_out() {
    let mut world = world();
    let stream = world.hub.open(0);
    world.create(stream, &from(one("a"), 0));
    world.create(stream, &from(one("a"), 5));
    world.put("a", "2");
    for value in ["3", "4", "5", "6"] {
        world.write(&[("a", Some(value))]);
    }
    world.hub.reset(6);
    assert!(
        !world.hub.deliver(world.history[4].clone(), 6),
        "older than the jump"
    );
    world.put("a", "7");
    world.serve();
    world.put("a", "8");
    let mut said = world.said(stream);
    said.drain(..2);
    said.sort();
    let expected = [
        "0@2: 2/a=2",
        "0@7: 3/a=3 4/a=4 5/a=5 6/a=6 7/a=7",
        "0@8: 8/a=8",
        "1@7: 5/a=5 6/a=6 7/a=7",
        "1@8: 8/a=8",
    ];
    assert_eq!(said, expected);
}

/// etcd 22264: one watcher far behind held up everything else.
#[test]
fn issue_22264_a_watcher_far_behind_holds_up_nobody() {
    let mut world = world();
    for _ in 0..5000 {
        world.put("a", "x");
    }
    world.hub = Hub::new(Settings::default(), 5001, 0);
    let (far, live) = (world.hub.open(0), world.hub.open(0));
    world.create(far, &from(one("a"), 2));
    world.create(live, &from(one("a"), 0));
    world.said(live);
    let mut steps = 0;
    while let Some(job) = world.next_job() {
        assert_eq!(job.events_max, 1000);
        world.put("a", "live");
        assert_eq!(
            world.said(live).len(),
            1,
            "delivery goes on while history is read"
        );
        let (events, through) = world.read(&job, job.events_max as i64);
        world.hub.caught(job.id, events, through);
        steps += 1;
    }
    assert_eq!(steps, 5, "and the reader gets there");
    assert_eq!(world.hub.counts().slow, 0);
}

/// etcd 22294: with 512 or more watchers behind, one whose revision was compacted was not told.
#[test]
fn issue_22294_compacted_watchers_are_told_however_many_are_behind() {
    let mut world = world();
    for _ in 0..10 {
        world.put("a", "x");
    }
    world.hub = Hub::new(Settings::default(), 11, 0);
    let stream = world.hub.open(0);
    for at in 0..2000 {
        world.create(stream, &from(one("a"), 2 + at % 9));
    }
    let job = world.next_job().unwrap();
    world.said(stream);
    world.compact(7);
    let said = world.said(stream);
    let below = (0..2000).filter(|at| 2 + at % 9 < 7).count();
    assert_eq!(
        said.iter()
            .filter(|text| text.ends_with("@0: compacted 7"))
            .count(),
        below
    );
    assert_eq!(said.len(), below);
    world.hub.caught(job.id, Vec::new(), 11);
    world.serve();
    let rest = world.said(stream);
    assert_eq!(rest.len(), 2000 - below, "the others get their events");
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

#[test]
fn a_client_that_asks_and_never_reads_is_seen() {
    let settings = Settings {
        stream_bytes: 1000,
        ..Settings::default()
    };
    let mut world = World::new(settings);
    let stream = world.hub.open(0);
    assert!(!world.hub.is_full(stream));
    for _ in 0..20 {
        world.hub.refuse(stream, "no");
    }
    assert!(world.hub.is_full(stream));
    world.said(stream);
    assert!(!world.hub.is_full(stream));
    assert_eq!(key("a"), Bytes::from_static(b"a"));
}
