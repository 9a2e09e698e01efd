//! A store of the simplest kind around a hub: all history in one list, and the driver's part of
//! catching up. Used by the tests beside it.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::event::{Event, KeyValue, Previous};
use crate::ids::Revision;
use crate::keys::KeyRange;
use crate::watch::*;

pub struct World {
    pub hub: Hub,
    /// All events by main revision; the first write is revision 2.
    pub history: Vec<Vec<Event>>,
    pub compact_revision: i64,
    state: BTreeMap<Bytes, KeyValue>,
}

pub fn key(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub fn one(text: &str) -> KeyRange {
    KeyRange::One(key(text))
}

pub fn span(start: &str, end: &str) -> KeyRange {
    KeyRange::Span(key(start), key(end))
}

pub fn all() -> KeyRange {
    KeyRange::From(Bytes::new())
}

impl World {
    pub fn new(settings: Settings) -> Self {
        let history = vec![Vec::new(), Vec::new()];
        let hub = Hub::new(settings, 1, 0);
        Self {
            hub,
            history,
            compact_revision: 0,
            state: BTreeMap::new(),
        }
    }

    /// The last revision written; all are settled at once.
    pub fn settled(&self) -> i64 {
        self.history.len() as i64 - 1
    }

    /// Writes one revision without delivering it: puts with a value, deletes without.
    pub fn write(&mut self, changes: &[(&str, Option<&str>)]) -> i64 {
        let main = self.settled() + 1;
        let mut events = Vec::new();
        for (sub, (text, value)) in changes.iter().enumerate() {
            let prev = self.state.remove(text.as_bytes());
            let mut kv = KeyValue {
                key: key(text),
                mod_revision: main,
                ..Default::default()
            };
            if let Some(value) = value {
                kv.value = key(value);
                kv.create_revision = prev.as_ref().map_or(main, |prev| prev.create_revision);
                kv.version = prev.as_ref().map_or(1, |prev| prev.version + 1);
                self.state.insert(key(text), kv.clone());
            }
            let prev = prev.map_or(Previous::Absent, |prev| Previous::Known(prev.into()));
            let revision = Revision::new(main, sub as i64);
            events.push(Event {
                revision,
                kv,
                delete: value.is_none(),
                prev,
            });
        }
        self.history.push(events);
        main
    }

    /// Delivers the next revision that was written. Without `prev` its former states are unknown.
    pub fn deliver_next(&mut self, prev: bool) {
        let mut events = self.history[(self.hub.delivered() + 1) as usize].clone();
        if !prev {
            events
                .iter_mut()
                .for_each(|event| event.prev = Previous::Unknown);
        }
        assert!(self.hub.deliver(events, self.settled()));
    }

    /// Writes one revision and delivers it with all before.
    pub fn put(&mut self, text: &str, value: &str) -> i64 {
        let revision = self.write(&[(text, Some(value))]);
        self.deliver_all();
        revision
    }

    pub fn delete(&mut self, text: &str) -> i64 {
        let revision = self.write(&[(text, None)]);
        self.deliver_all();
        revision
    }

    pub fn deliver_all(&mut self) {
        while self.hub.delivered() < self.settled() {
            self.deliver_next(true);
        }
    }

    pub fn create(&mut self, stream: StreamId, request: &CreateRequest) -> i64 {
        self.hub.create(stream, request, self.settled())
    }

    pub fn compact(&mut self, revision: i64) {
        self.compact_revision = revision;
        self.hub.compacted(revision);
    }

    /// What a driver reads for a job, ending after `revisions` revisions.
    pub fn read(&self, job: &Job, revisions: i64) -> (Vec<Event>, i64) {
        assert!(
            job.from >= self.compact_revision,
            "a read below the compact revision"
        );
        assert!(job.from <= job.through && job.through <= self.settled());
        let through = job.through.min(job.from + revisions - 1);
        let mut events = Vec::new();
        for revision in job.from..=through {
            let there = self.history[revision as usize].iter();
            events.extend(
                there
                    .filter(|event| job.range.contains(&event.kv.key))
                    .filter(|event| job.filters.admits(event.delete))
                    .cloned(),
            );
        }
        if !job.prev_kv {
            events
                .iter_mut()
                .for_each(|event| event.prev = Previous::Unknown);
        }
        (events, through)
    }

    /// Makes steps until a read is wanted or nothing is.
    pub fn next_job(&mut self) -> Option<Job> {
        loop {
            match self.hub.next_catch_up() {
                CatchUp::Read(job) => return Some(job),
                CatchUp::Again => {}
                CatchUp::Idle => return None,
            }
        }
    }

    /// Serves everybody that waits.
    pub fn serve(&mut self) {
        while let Some(job) = self.next_job() {
            let (events, through) = self.read(&job, i64::MAX / 2);
            self.hub.caught(job.id, events, through);
        }
    }

    /// Takes all responses of a stream as short texts.
    pub fn said(&mut self, stream: StreamId) -> Vec<String> {
        self.hub
            .drain(stream, usize::MAX)
            .iter()
            .map(tell)
            .collect()
    }
}

/// A response as a short text: `watch id@header revision: what`.
pub fn tell(response: &Response) -> String {
    let head = format!("{}@{}:", response.watch_id, response.header_revision);
    match &response.kind {
        Kind::Created => format!("{head} created"),
        Kind::Refused { reason } => format!("{head} refused {reason}"),
        Kind::Canceled {
            compact_revision: 0,
        } => format!("{head} canceled"),
        Kind::Canceled { compact_revision } => format!("{head} compacted {compact_revision}"),
        Kind::Failed { reason } => format!("{head} failed {reason}"),
        Kind::Progress => format!("{head} progress"),
        Kind::Events {
            batch,
            prev_kv,
            fragment,
        } => {
            let mut text = head;
            for event in batch.events() {
                text += &tell_event(event, *prev_kv);
            }
            text + if *fragment { " ..." } else { "" }
        }
    }
}

fn tell_event(event: &Event, prev_kv: bool) -> String {
    let utf8 = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let mut text = format!(" {}/{}", event.revision.main, utf8(&event.kv.key));
    if !event.delete {
        text += &format!("={}", utf8(&event.kv.value));
    }
    if let (true, Previous::Known(prev)) = (prev_kv, &event.prev) {
        text += &format!("(was {})", utf8(&prev.value));
    }
    text
}
