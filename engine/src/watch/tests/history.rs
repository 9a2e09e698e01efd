//! Watchers that start in the past: history first, then live, and who shares a read.
#![allow(clippy::unwrap_used)]

use super::*;

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
