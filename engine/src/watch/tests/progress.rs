//! What revision a watcher is told it has reached.
#![allow(clippy::unwrap_used)]

use super::*;

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

#[test]
fn timed_progress_comes_at_most_a_tenth_late() {
    let settings = Settings {
        progress_interval_ns: 100,
        ..Settings::default()
    };
    for random in [0, 9, 10, u64::MAX / 3, u64::MAX] {
        let mut world = World::new(settings);
        let stream = world.hub.open(random);
        let request = CreateRequest {
            progress_notify: true,
            ..from(one("a"), 0)
        };
        world.create(stream, &request);
        let due = world.hub.next_progress_ns().unwrap();
        assert!((100..110).contains(&due), "{random} makes it due at {due}");
    }
}
