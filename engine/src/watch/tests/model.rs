//! Random streams, ranges, starts, compactions, jumps and slow readers; every response is
//! checked against etcd's promises (ordered, unique, atomic, reliable, resumable, bookmarkable,
//! former states, filters), computed from the whole history.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::world::{World, all, one, span};
use crate::event::{Event, Previous};
use crate::watch::*;

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// A watcher as its client knows it.
struct Client {
    request: CreateRequest,
    /// Everything it wants through this revision has come.
    through: i64,
    /// A response that is not complete yet.
    fragments: Vec<Event>,
    started: bool,
    canceled: bool,
    /// It was ended by a compaction, and a cancel will be answered all the same, once.
    compacted: bool,
}

struct Model {
    world: World,
    random: SmallRng,
    streams: Vec<StreamId>,
    clients: BTreeMap<(StreamId, i64), Client>,
    jobs: Vec<Job>,
    now_ns: u64,
    /// What was seen, so that a test of nothing is noticed.
    seen: BTreeMap<&'static str, usize>,
}

#[test]
fn etcds_promises_hold_for_random_streams() {
    let mut seen: BTreeMap<&'static str, usize> = BTreeMap::new();
    for seed in 0..150 {
        let mut model = Model::new(seed);
        for _ in 0..1500 {
            model.step();
        }
        model.finish();
        for (what, count) in model.seen {
            *seen.entry(what).or_default() += count;
        }
    }
    for what in [
        "events",
        "fragment",
        "prev",
        "compacted",
        "progress",
        "progress all",
        "job",
    ] {
        assert!(
            seen.get(what).is_some_and(|count| *count > 500),
            "{what}: {seen:?}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_answers() {
    let trace = |seed| {
        let mut model = Model::new(seed);
        (0..1500).for_each(|_| model.step());
        let streams = model.streams.clone();
        streams
            .iter()
            .map(|stream| model.world.said(*stream))
            .collect::<Vec<_>>()
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let settings = Settings {
            stream_bytes: random.random_range(200..3000),
            recent_bytes: random.random_range(0..10_000),
            fragment_bytes: random.random_range(100..400),
            catch_up_events: random.random_range(1..20),
            progress_interval_ns: 100,
        };
        Self {
            world: World::new(settings),
            random,
            streams: Vec::new(),
            clients: BTreeMap::new(),
            jobs: Vec::new(),
            now_ns: 0,
            seen: BTreeMap::new(),
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn pick_stream(&mut self) -> Option<StreamId> {
        let count = self.streams.len();
        (count > 0).then(|| self.streams[self.random.random_range(0..count)])
    }

    fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..3 => {
                let stream = self.world.hub.open(self.now_ns % 10);
                self.streams.push(stream);
            }
            3..4 => self.close(),
            4..12 => self.create(),
            12..14 => self.cancel(),
            14..36 => self.write(),
            36..62 => self.deliver(),
            62..74 => self.catch_up(),
            74..82 => self.answer_job(),
            82..92 => self.read_stream(),
            92..95 => {
                if let Some(stream) = self.pick_stream() {
                    self.world.hub.progress_request(stream);
                }
            }
            95..97 => {
                self.now_ns += self.random.random_range(0..200);
                self.world.hub.progress_tick(self.now_ns);
            }
            97..98 => self.compact(),
            98..99 => {
                let delivered = self.world.hub.delivered();
                let jump = self.random.random_range(delivered..=self.world.settled());
                self.world.hub.reset(jump);
            }
            _ => {
                if let Some(job) = self.jobs.pop() {
                    self.world.hub.failed(job.id);
                }
            }
        }
    }

    fn close(&mut self) {
        if let Some(stream) = self.pick_stream() {
            self.world.hub.close(stream);
            self.streams.retain(|it| *it != stream);
            self.clients.retain(|at, _| at.0 != stream);
        }
    }

    fn create(&mut self) {
        let Some(stream) = self.pick_stream() else {
            return;
        };
        let range = match self.random.random_range(0..5) {
            0 => all(),
            1 => span("b", "e"),
            2 => span("a", "c"),
            _ => one(KEYS[self.random.random_range(0..6)]),
        };
        let settled = self.world.settled();
        let start_revision = match self.random.random_range(0..4) {
            0 => 0,
            1 => self.random.random_range(1..settled + 2),
            2 => self.random.random_range(settled - settled / 8..settled + 2),
            _ => settled + self.random.random_range(0..8),
        };
        let request = CreateRequest {
            range,
            start_revision,
            filters: Filters {
                no_put: self.chance(10),
                no_delete: self.chance(10),
            },
            prev_kv: self.chance(40),
            progress_notify: self.chance(50),
            fragment: self.chance(30),
            watch_id: 0,
        };
        let id = self.world.create(stream, &request);
        let through = if start_revision == 0 {
            settled
        } else {
            start_revision - 1
        };
        let fragments = Vec::new();
        let client = Client {
            request,
            through,
            fragments,
            started: false,
            canceled: false,
            compacted: false,
        };
        assert!(self.clients.insert((stream, id), client).is_none());
    }

    fn cancel(&mut self) {
        let Some(stream) = self.pick_stream() else {
            return;
        };
        let ids: Vec<i64> = self
            .clients
            .keys()
            .filter(|at| at.0 == stream)
            .map(|at| at.1)
            .collect();
        if !ids.is_empty() {
            let id = ids[self.random.random_range(0..ids.len())];
            self.world.hub.cancel(stream, id, self.world.settled());
        }
    }

    fn write(&mut self) {
        let mut keys = KEYS.to_vec();
        let mut changes = Vec::new();
        let value = "v".repeat(self.random.random_range(1..100));
        for _ in 0..self.random.random_range(1..4) {
            let at = self.random.random_range(0..keys.len());
            let put = self.chance(70);
            changes.push((keys.swap_remove(at), put.then_some(value.as_str())));
        }
        self.world.write(&changes);
    }

    fn deliver(&mut self) {
        let next = self.world.hub.delivered() + 1;
        if next > self.world.settled() {
            return;
        }
        let events = &self.world.history[next as usize];
        if !events
            .iter()
            .any(|event| self.world.hub.wants(&event.kv.key))
            && self.chance(50)
        {
            self.world.hub.advance(next);
        } else {
            let prev = self.chance(70);
            self.world.deliver_next(prev);
        }
    }

    fn catch_up(&mut self) {
        if let CatchUp::Read(job) = self.world.hub.next_catch_up() {
            *self.seen.entry("job").or_default() += 1;
            self.jobs.push(job);
        }
    }

    fn answer_job(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.jobs.len());
        let job = self.jobs.swap_remove(at);
        // A read that began before a compaction may end in it.
        if job.from < self.world.compact_revision {
            self.world.hub.failed(job.id);
            return;
        }
        let (events, through) = self.world.read(&job, self.random.random_range(1..30));
        self.world.hub.caught(job.id, events, through);
    }

    fn compact(&mut self) {
        let (from, to) = (self.world.compact_revision, self.world.settled());
        let revision = self.random.random_range(from..=to);
        self.world.compact(revision);
    }

    fn read_stream(&mut self) {
        if let Some(stream) = self.pick_stream() {
            let max = self.random.random_range(0..12);
            self.read_from(stream, max);
        }
    }

    fn read_from(&mut self, stream: StreamId, max: usize) {
        for response in self.world.hub.drain(stream, max) {
            self.check(stream, &response);
        }
    }

    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn check(&mut self, stream: StreamId, response: &Response) {
        let (id, header) = (response.watch_id, response.header_revision);
        if let (-1, Kind::Progress) = (id, &response.kind) {
            self.saw("progress all");
            let ids = self
                .clients
                .iter()
                .filter(|(at, it)| at.0 == stream && it.started && !it.canceled);
            for id in ids.map(|(at, _)| at.1).collect::<Vec<_>>() {
                self.check_progress(stream, id, header);
            }
            return;
        }
        let client = self
            .clients
            .get_mut(&(stream, id))
            .expect("a watcher that was created");
        if let (true, Kind::Canceled { .. }) = (client.compacted, &response.kind) {
            client.compacted = false;
            return;
        }
        assert!(!client.canceled, "nothing comes after canceled");
        match &response.kind {
            Kind::Created => {
                assert!(!client.started);
                client.started = true;
            }
            Kind::Refused { reason } => panic!("{reason}"),
            Kind::Failed { reason } => panic!("{reason}"),
            Kind::Canceled { compact_revision } => {
                assert!(client.fragments.is_empty());
                client.canceled = true;
                if *compact_revision != 0 {
                    client.compacted = true;
                    assert_eq!(header, 0);
                    assert!(client.through + 1 < *compact_revision, "it could go on");
                    assert!(*compact_revision <= self.world.compact_revision);
                    self.saw("compacted");
                }
            }
            Kind::Progress => {
                self.saw("progress");
                self.check_progress(stream, id, header);
            }
            Kind::Events {
                batch,
                prev_kv,
                fragment,
            } => {
                assert!(client.started, "created comes first");
                assert_eq!(*prev_kv, client.request.prev_kv);
                client.fragments.extend_from_slice(batch.events());
                if *fragment {
                    assert!(client.request.fragment);
                    self.saw("fragment");
                } else {
                    self.check_events(stream, id, header);
                }
            }
        }
    }

    /// What the watcher is to get for the revisions after `after` through `through`.
    fn wanted(world: &World, request: &CreateRequest, after: i64, through: i64) -> Vec<Event> {
        let after = after.max(request.start_revision - 1).max(0);
        let revisions = (after + 1..=through).map(|revision| &world.history[revision as usize]);
        revisions
            .flatten()
            .filter(|event| request.range.contains(&event.kv.key))
            .filter(|event| request.filters.admits(event.delete))
            .cloned()
            .collect()
    }

    /// Exactly what it wants, in order, whole revisions, nothing twice, nothing left out.
    fn check_events(&mut self, stream: StreamId, id: i64, header: i64) {
        let client = self.clients.get_mut(&(stream, id)).unwrap();
        let got = std::mem::take(&mut client.fragments);
        let through = got.last().expect("no empty events").revision.main;
        assert!(header >= through && header <= self.world.settled());
        let wanted = Self::wanted(&self.world, &client.request, client.through, through);
        let bare = |event: &Event| Event {
            prev: Previous::Unknown,
            ..event.clone()
        };
        let prev_kv = client.request.prev_kv;
        assert_eq!(
            got.iter().map(bare).collect::<Vec<_>>(),
            wanted.iter().map(bare).collect::<Vec<_>>(),
            "watcher {id} after {}: {:?}",
            client.through,
            client.request,
        );
        client.through = through;
        for (got, wanted) in got.iter().zip(&wanted).filter(|_| prev_kv) {
            // What was before the compact revision is compacted.
            let gone = got.revision.main <= self.world.compact_revision;
            if wanted.prev != Previous::Absent && !(gone && got.prev == Previous::Absent) {
                assert_eq!(got.prev, wanted.prev);
                self.saw("prev");
            }
        }
        self.saw("events");
    }

    /// All it wants through `header` has come, and `header` is not below its start.
    fn check_progress(&mut self, stream: StreamId, id: i64, header: i64) {
        let client = self.clients.get_mut(&(stream, id)).unwrap();
        assert!(client.started && client.fragments.is_empty());
        assert!(
            header >= client.request.start_revision,
            "progress below the start"
        );
        let missing = Self::wanted(&self.world, &client.request, client.through, header);
        assert_eq!(missing, [], "progress at {header} promises too much");
        client.through = client.through.max(header);
    }

    /// Everything is delivered and read: nobody is behind, and nothing was lost.
    fn finish(&mut self) {
        while !self.jobs.is_empty() {
            self.answer_job();
        }
        self.world.deliver_all();
        loop {
            self.world.serve();
            for stream in self.streams.clone() {
                self.read_from(stream, usize::MAX);
            }
            let counts = self.world.hub.counts();
            if counts.slow == 0 && counts.pending_events == 0 {
                break;
            }
        }
        let settled = self.world.settled();
        for ((_, id), client) in self.clients.iter().filter(|(_, it)| !it.canceled) {
            let missing = Self::wanted(&self.world, &client.request, client.through, settled);
            assert_eq!(missing, [], "watcher {id} {:?}", client.request);
        }
    }
}
