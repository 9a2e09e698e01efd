//! What `engine/src/watch` costs: delivering one event past 10,000 watchers of which one wants
//! it, and to 100 that all want it. Run with `cargo bench -p benches --bench watch`.
#![allow(missing_docs)]

use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use engine::event::{Event, KeyValue, Previous};
use engine::ids::Revision;
use engine::keys::KeyRange;
use engine::watch::{CreateRequest, Hub, Settings, StreamId};

fn event(revision: i64, key: &str) -> Arc<[Event]> {
    Arc::new([Event {
        revision: Revision::new(revision, 0),
        kv: KeyValue {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Bytes::from_static(&[b'v'; 256]),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            lease: 0,
        },
        delete: false,
        prev: Previous::Unknown,
    }])
}

/// A hub with one stream for each range.
fn hub(ranges: impl Iterator<Item = KeyRange>) -> (Hub, Vec<StreamId>) {
    let mut hub = Hub::new(Settings::default(), 1, 0);
    let streams = ranges
        .map(|range| {
            let stream = hub.open(0);
            hub.create(stream, &CreateRequest::new(range, 0), 1);
            stream
        })
        .collect();
    (hub, streams)
}

fn deliver(c: &mut Criterion, name: &str, key: &str, ranges: impl Iterator<Item = KeyRange>) {
    let (mut hub, streams) = hub(ranges);
    let mut revision = 1;
    c.bench_function(name, |b| {
        b.iter(|| {
            revision += 1;
            hub.deliver(event(revision, key), revision);
            for stream in hub.take_ready() {
                while hub.pop(stream).is_some() {}
            }
        });
    });
    drop(streams);
}

fn watch(c: &mut Criterion) {
    let own = (0..10_000).map(|n| {
        let start = format!("/registry/ns-{n:05}/");
        KeyRange::Span(start.clone().into(), format!("/registry/ns-{n:05}0").into())
    });
    deliver(c, "watch/one of 10000", "/registry/ns-04711/pod", own);
    let all = (0..100).map(|_| KeyRange::Span("/a".into(), "/z".into()));
    deliver(c, "watch/100 of 100", "/registry/pod", all);
}

criterion_group!(benches, watch);
criterion_main!(benches);
