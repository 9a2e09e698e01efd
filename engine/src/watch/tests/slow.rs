//! Streams that are not read, are announced, or end.
#![allow(clippy::unwrap_used)]

use super::*;

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
