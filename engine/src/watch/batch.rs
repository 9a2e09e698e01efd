//! Events that go out together, made once for all watchers that get the same ones. Made by the
//! hub; the server keeps the encoded form inside, so that 64 watchers of one key cost one
//! encoding.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::event::{Event, KeyValue, Previous};

/// Events in revision order, at least one.
#[derive(Debug)]
pub struct EventBatch {
    events: Arc<[Event]>,
    /// Wire bytes without and with the former states.
    wire_bytes: [usize; 2],
    lacks_prev: bool,
    encoded: [OnceLock<Bytes>; 2],
}

impl EventBatch {
    /// A batch of `events`.
    pub fn new(events: impl Into<Arc<[Event]>>) -> Self {
        let events = events.into();
        let mut wire_bytes = [0; 2];
        for event in events.iter() {
            wire_bytes[0] += event_wire_bytes(event, false);
            wire_bytes[1] += event_wire_bytes(event, true);
        }
        let lacks_prev = events.iter().any(lacks_prev);
        Self {
            events,
            wire_bytes,
            lacks_prev,
            encoded: Default::default(),
        }
    }

    /// The same events after their former states were compacted. Those that nobody knew are still
    /// to be looked for, so that what is told together does not depend on who else watches.
    pub(super) fn without_prev(&self) -> Self {
        let bare = |event: &Event| Event {
            prev: match event.prev {
                Previous::Known(_) | Previous::Absent => Previous::Absent,
                Previous::Unknown => Previous::Unknown,
            },
            ..event.clone()
        };
        Self::new(self.events.iter().map(bare).collect::<Vec<_>>())
    }

    /// The events.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Bytes of the events as repeated fields of a protobuf message, with the former states or
    /// without. Exact but for former states that are unknown.
    pub fn wire_bytes(&self, prev_kv: bool) -> usize {
        self.wire_bytes[usize::from(prev_kv)]
    }

    /// The encoded events, with the former states (`prev_kv`) or without: made by `encode` for
    /// the first who asks, kept for the others. What the bytes mean is the caller's affair.
    pub fn encoded(&self, prev_kv: bool, encode: impl FnOnce(&[Event]) -> Bytes) -> Bytes {
        self.encoded[usize::from(prev_kv)]
            .get_or_init(|| encode(&self.events))
            .clone()
    }

    /// Whether a former state that a `prev_kv` watcher must get is unknown here.
    pub(super) fn lacks_prev(&self) -> bool {
        self.lacks_prev
    }

    /// Bytes of memory this keeps alive, roughly.
    pub(super) fn held_bytes(&self) -> usize {
        let fixed = size_of::<Self>() + self.events.len() * size_of::<Event>();
        fixed + self.wire_bytes[1]
    }

    /// The batch of the events at `places`, which ascend.
    pub(super) fn pick(&self, places: &[u32]) -> Self {
        Self::new(
            places
                .iter()
                .map(|&at| self.events[at as usize].clone())
                .collect::<Vec<_>>(),
        )
    }

    /// Splits the events so that each piece stays below `limit` bytes on the wire; an event is
    /// never split, so one larger than that makes a piece of its own. As etcd's `sendFragments`.
    pub(super) fn pieces(&self, limit: usize, prev_kv: bool) -> Vec<Self> {
        let mut pieces = Vec::new();
        let (mut begin, mut bytes) = (0, 0);
        for (at, event) in self.events.iter().enumerate() {
            let size = event_wire_bytes(event, prev_kv);
            if at > begin && bytes + size >= limit {
                pieces.push(Self::new(self.events[begin..at].to_vec()));
                (begin, bytes) = (at, 0);
            }
            bytes += size;
        }
        pieces.push(Self::new(self.events[begin..].to_vec()));
        pieces
    }
}

/// Whether the event replaced something, and what that was is not known. A put that created its
/// key never has a former state.
pub(super) fn lacks_prev(event: &Event) -> bool {
    let creates = !event.delete && event.kv.create_revision == event.kv.mod_revision;
    !creates && event.prev == Previous::Unknown
}

/// Bytes of one event as a field of `WatchResponse` (tags below 16 take one byte).
pub(super) fn event_wire_bytes(event: &Event, prev_kv: bool) -> usize {
    let mut bytes = if event.delete { 2 } else { 0 };
    bytes += field_bytes(key_value_bytes(&event.kv));
    if let (true, Previous::Known(prev)) = (prev_kv, &event.prev) {
        bytes += field_bytes(key_value_bytes(prev));
    }
    field_bytes(bytes)
}

fn key_value_bytes(kv: &KeyValue) -> usize {
    let mut bytes = 0;
    for field in [&kv.key, &kv.value] {
        if !field.is_empty() {
            bytes += field_bytes(field.len());
        }
    }
    for number in [kv.create_revision, kv.mod_revision, kv.version, kv.lease] {
        if number != 0 {
            bytes += 1 + varint_bytes(number as u64);
        }
    }
    bytes
}

fn field_bytes(len: usize) -> usize {
    1 + varint_bytes(len as u64) + len
}

fn varint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}
