//! Faults that etcd had, each by its number: they do not happen here.
#![allow(clippy::unwrap_used)]

use super::*;

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
