//! The hub: streams and watchers come and go here. Delivery, catching up and progress are in
//! the files of those names. Called by the core loop and by the server's watch service.

use std::borrow::Cow;
use std::collections::BTreeSet;

use slab::Slab;

use crate::error::Error;
use crate::limits;
use crate::watch::queue::{BehindQueue, Seat, State};
use crate::watch::ranges::{Place, Ranges};
use crate::watch::recent::Recent;
use crate::watch::response::{CreateRequest, Filters, Kind, NO_WATCHER, Response};
use crate::watch::stream::{Stream, StreamId};

/// etcd's text for a watch id that is taken (`mvcc.ErrWatcherDuplicateID`).
const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
/// etcd's text for a range without keys (`mvcc.ErrEmptyWatcherRange`).
const EMPTY_RANGE: &str = "mvcc: watcher range is empty";

/// The bounds of a hub.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes queued on one stream before its watchers fall behind.
    pub stream_bytes: usize,
    /// Bytes of recent events kept.
    pub recent_bytes: usize,
    /// Bytes of a response from which it is split, for watchers that asked for it.
    pub fragment_bytes: usize,
    /// Most events of one read of history, or of one response made from recent events.
    pub catch_up_events: usize,
    /// Nanoseconds between timed progress notices
    /// (`--watch-progress-notify-interval`; etcd raises it to 100 ms).
    pub progress_interval_ns: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            stream_bytes: limits::WATCH_STREAM_BYTES,
            recent_bytes: limits::WATCH_RECENT_BYTES,
            fragment_bytes: limits::WATCH_FRAGMENT_BYTES,
            catch_up_events: limits::WATCH_CATCH_UP_EVENTS,
            progress_interval_ns: 600_000_000_000,
        }
    }
}

/// What a hub holds, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Open streams.
    pub streams: usize,
    /// Watchers.
    pub watchers: usize,
    /// Watchers that are not live.
    pub slow: usize,
    /// Watchers that want former states: while there are any, events should carry them.
    pub prev_kv: usize,
    /// Events queued on streams, counted once for each watcher.
    pub pending_events: usize,
}

/// All watches of one core.
#[derive(Debug)]
pub struct Hub {
    pub(super) settings: Settings,
    pub(super) streams: Slab<Stream>,
    pub(super) watchers: Slab<Watcher>,
    pub(super) ranges: Ranges,
    pub(super) recent: Recent,
    pub(super) queue: BehindQueue,
    /// Every revision through this one was delivered.
    pub(super) delivered: i64,
    /// The highest settled revision heard of, never below `delivered`.
    pub(super) settled: i64,
    pub(super) compact_revision: i64,
    /// The highest revision that was skipped for lack of interest.
    pub(super) skipped: i64,
    /// Streams with timed progress, by when they are due.
    pub(super) timers: BTreeSet<(u64, u32)>,
    /// The last time heard of.
    pub(super) now_ns: u64,
    pub(super) pending_events: usize,
    prev_kv_watchers: usize,
    ready: Vec<StreamId>,
    last_serial: u32,
}

/// A watcher's state.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) id: i64,
    /// The slot of its stream.
    pub(super) stream: u32,
    pub(super) place: Place,
    /// The first revision it may still get. Kept up only while it is behind.
    pub(super) next: i64,
    /// It is told no progress below this revision.
    pub(super) floor: i64,
    /// Revisions up to here may be missing among the recent ones, because nobody wanted them
    /// when this watcher was not there yet.
    pub(super) unseen: i64,
    pub(super) state: State,
    pub(super) filters: Filters,
    pub(super) prev_kv: bool,
    pub(super) fragment: bool,
    pub(super) notify: bool,
    /// No events were sent since the last timed progress notice was due.
    pub(super) quiet: bool,
}

impl Hub {
    /// A hub of a store whose events through `delivered` are past, compacted at
    /// `compact_revision` (0 or less for never).
    pub fn new(settings: Settings, delivered: i64, compact_revision: i64) -> Self {
        Self {
            settings,
            streams: Slab::new(),
            watchers: Slab::new(),
            ranges: Ranges::default(),
            recent: Recent::new(settings.recent_bytes, delivered + 1),
            queue: BehindQueue::default(),
            delivered,
            settled: delivered,
            compact_revision,
            skipped: delivered,
            timers: BTreeSet::new(),
            now_ns: 0,
            pending_events: 0,
            prev_kv_watchers: 0,
            ready: Vec::new(),
            last_serial: 0,
        }
    }

    /// Every revision through this one was delivered.
    pub fn delivered(&self) -> i64 {
        self.delivered
    }

    /// The numbers for metrics.
    pub fn counts(&self) -> Counts {
        Counts {
            streams: self.streams.len(),
            watchers: self.watchers.len(),
            slow: self.queue.len(),
            prev_kv: self.prev_kv_watchers,
            pending_events: self.pending_events,
        }
    }

    /// Opens a stream. Up to a tenth is added to its interval between timed progress notices,
    /// as `random`, which is any number, decides: not all streams are due at once.
    pub fn open(&mut self, random: u64) -> StreamId {
        let jitter_ns = random % (self.settings.progress_interval_ns / 10).max(1);
        self.last_serial = self.last_serial.wrapping_add(1);
        let id = StreamId::new(self.streams.vacant_key() as u32, self.last_serial);
        self.streams.insert(Stream::new(
            id,
            self.settings.progress_interval_ns + jitter_ns,
        ));
        id
    }

    /// Closes a stream with all its watchers and what is queued. Unknown ones are fine.
    pub fn close(&mut self, stream: StreamId) {
        let Some(slot) = self.stream_slot(stream) else {
            return;
        };
        for watcher in self
            .stream(slot)
            .watchers
            .values()
            .copied()
            .collect::<Vec<_>>()
        {
            self.remove_watcher(watcher);
        }
        let closed = self.streams.remove(slot as usize);
        self.pending_events -= closed.queued_events();
    }

    /// Creates a watcher on a stream and queues `created`, or a refusal with etcd's reason.
    /// `settled` is the store's settled revision now: a watcher without a start revision gets
    /// what comes after it. Returns the watcher's id, -1 if it was refused.
    pub fn create(&mut self, stream: StreamId, request: &CreateRequest, settled: i64) -> i64 {
        let Some(slot) = self.stream_slot(stream) else {
            return NO_WATCHER;
        };
        self.settled = self.settled.max(settled);
        if request.start_revision < 0 {
            self.refuse(stream, Error::Compacted.to_string());
            return NO_WATCHER;
        }
        if request.range.is_empty() {
            self.refuse(stream, EMPTY_RANGE);
            return NO_WATCHER;
        }
        let Some(id) = self.streams[slot as usize].assign_id(request.watch_id) else {
            self.refuse(stream, DUPLICATE_ID);
            return NO_WATCHER;
        };
        let header_revision = self.settled;
        self.push(
            slot,
            Response {
                watch_id: id,
                header_revision,
                kind: Kind::Created,
            },
        );
        let watcher = self.add_watcher(slot, id, request);
        let start = request.start_revision;
        if start != 0 && start < self.compact_revision {
            self.retire(watcher);
        } else if start != 0 && start <= self.delivered {
            let ticket = self.queue.ticket();
            self.place(watcher, start, State::Waiting { ticket });
        }
        id
    }

    /// Queues a refused create: for checks made outside (permissions, tokens), so that their
    /// answer keeps its place on the stream.
    pub fn refuse(&mut self, stream: StreamId, reason: impl Into<Cow<'static, str>>) {
        let Some(slot) = self.stream_slot(stream) else {
            return;
        };
        let (watch_id, header_revision) = (NO_WATCHER, self.settled);
        let kind = Kind::Refused {
            reason: reason.into(),
        };
        self.push(
            slot,
            Response {
                watch_id,
                header_revision,
                kind,
            },
        );
    }

    /// Cancels a watcher on its client's wish and queues `canceled`. An unknown id is answered
    /// with silence, as in etcd. Returns whether it was there.
    pub fn cancel(&mut self, stream: StreamId, watch_id: i64, settled: i64) -> bool {
        self.settled = self.settled.max(settled);
        let Some(slot) = self.stream_slot(stream) else {
            return false;
        };
        match self.stream(slot).watchers.get(&watch_id).copied() {
            Some(watcher) => self.remove_watcher(watcher),
            None if self.streams[slot as usize].release(watch_id) => {}
            None => return false,
        }
        let header_revision = self.settled;
        let kind = Kind::Canceled {
            compact_revision: 0,
        };
        self.push(
            slot,
            Response {
                watch_id,
                header_revision,
                kind,
            },
        );
        true
    }

    /// Streams whose queue has gone from empty to not empty since the last call, each once.
    /// Whoever takes them drains each until it is empty.
    pub fn take_ready(&mut self) -> Vec<StreamId> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.retain(|&stream| match self.stream_slot(stream) {
            Some(slot) => {
                self.streams[slot as usize].announced = false;
                self.stream(slot).queued_bytes() > 0
            }
            None => false,
        });
        ready
    }

    /// Whether something is queued on the stream.
    pub fn has_output(&self, stream: StreamId) -> bool {
        self.stream_slot(stream)
            .is_some_and(|slot| self.stream(slot).queued_bytes() > 0)
    }

    /// Whether the stream has so much queued that no more requests should be read from it, so
    /// that a client which asks and never reads cannot fill the memory.
    pub fn is_full(&self, stream: StreamId) -> bool {
        self.stream_slot(stream)
            .is_some_and(|slot| self.stream(slot).queued_bytes() >= self.settings.stream_bytes)
    }

    /// Takes the next response of a stream.
    pub fn pop(&mut self, stream: StreamId) -> Option<Response> {
        let slot = self.stream_slot(stream)?;
        let queue = &mut self.streams[slot as usize];
        let response = queue.pop()?;
        self.pending_events -= response.event_count();
        if queue.queued_bytes() <= self.settings.stream_bytes / 2 {
            for watcher in std::mem::take(&mut queue.blocked) {
                let ticket = self.queue.ticket();
                self.place(
                    watcher,
                    self.watcher(watcher).next,
                    State::Waiting { ticket },
                );
            }
        }
        Some(response)
    }

    /// Takes the next responses of a stream, at most `max`.
    pub fn drain(&mut self, stream: StreamId, max: usize) -> Vec<Response> {
        std::iter::from_fn(|| self.pop(stream)).take(max).collect()
    }

    /// Queues a response and announces the stream if it had nothing queued.
    pub(super) fn push(&mut self, slot: u32, response: Response) {
        self.pending_events += response.event_count();
        let stream = &mut self.streams[slot as usize];
        if stream.push(response) && !stream.announced {
            stream.announced = true;
            self.ready.push(stream.id);
        }
    }

    /// Moves a watcher to `state`, with `next` the first revision it has not got.
    pub(super) fn place(&mut self, watcher: u32, next: i64, state: State) {
        let it = &mut self.watchers[watcher as usize];
        let stream = &mut self.streams[it.stream as usize];
        let slot = it.place.slot;
        self.queue.leave(
            Seat {
                watcher,
                slot,
                next: it.next,
            },
            it.state,
        );
        self.queue.enter(
            Seat {
                watcher,
                slot,
                next,
            },
            state,
        );
        stream.behind -= usize::from(it.state != State::Live);
        stream.behind += usize::from(state != State::Live);
        if state == State::Blocked {
            stream.blocked.insert(watcher);
        } else if it.state == State::Blocked {
            stream.blocked.remove(&watcher);
        }
        it.next = next;
        it.state = state;
    }

    /// Cancels a watcher because what it needs was compacted: `compact_revision` is set and the
    /// header's revision is 0, by which etcd's clients tell.
    pub(super) fn retire(&mut self, watcher: u32) {
        let kind = Kind::Canceled {
            compact_revision: self.compact_revision,
        };
        let Watcher { id, stream, .. } = *self.watcher(watcher);
        self.end(watcher, 0, kind);
        self.streams[stream as usize].retire(id);
    }

    /// Ends a watcher with a last response.
    pub(super) fn end(&mut self, watcher: u32, header_revision: i64, kind: Kind) {
        let Watcher { id, stream, .. } = *self.watcher(watcher);
        self.remove_watcher(watcher);
        self.push(
            stream,
            Response {
                watch_id: id,
                header_revision,
                kind,
            },
        );
    }

    pub(super) fn watcher(&self, watcher: u32) -> &Watcher {
        &self.watchers[watcher as usize]
    }

    pub(super) fn stream(&self, slot: u32) -> &Stream {
        &self.streams[slot as usize]
    }

    /// The slot of a stream that is still open.
    pub(super) fn stream_slot(&self, stream: StreamId) -> Option<u32> {
        let found = self.streams.get(stream.slot() as usize)?;
        (found.id == stream).then_some(stream.slot())
    }

    /// Enters a live watcher.
    fn add_watcher(&mut self, slot: u32, id: i64, request: &CreateRequest) -> u32 {
        let key = self.watchers.vacant_key() as u32;
        let now = self.settled;
        // Without a start revision, progress at the revision its `created` tells is no news but
        // true; with one, nothing below it may be told (etcd 20221).
        let (next, floor) = match request.start_revision {
            0 => (now + 1, now),
            start => (start, start),
        };
        let place = self.ranges.add(&request.range, key);
        self.watchers.insert(Watcher {
            id,
            stream: slot,
            place,
            next,
            floor,
            unseen: self.skipped,
            state: State::Live,
            filters: request.filters,
            prev_kv: request.prev_kv,
            fragment: request.fragment,
            notify: request.progress_notify,
            quiet: true,
        });
        self.prev_kv_watchers += usize::from(request.prev_kv);
        let stream = &mut self.streams[slot as usize];
        stream.watchers.insert(id, key);
        stream.floor_max = stream.floor_max.max(floor);
        if request.progress_notify {
            self.start_notices(slot, key);
        }
        key
    }

    fn remove_watcher(&mut self, watcher: u32) {
        self.place(watcher, self.watcher(watcher).next, State::Live);
        let gone = self.watchers.remove(watcher as usize);
        if let Some(moved) = self.ranges.remove(gone.place) {
            self.watchers[moved as usize].place.at = gone.place.at;
        }
        self.prev_kv_watchers -= usize::from(gone.prev_kv);
        self.streams[gone.stream as usize].watchers.remove(&gone.id);
        if gone.notify {
            self.stop_notices(gone.stream, watcher);
        }
    }
}
