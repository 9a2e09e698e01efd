//! The watchers of one core: events come in from all shards before they settle and go to the hub
//! in revision order once they have; tasks that serve watch streams wait here for output.
//!
//! That a revision has settled is seen at once on every core, its events come by mail: a revision
//! goes to the hub only when all its parts are here and it follows the one before. Every revision
//! has events, so one without any is one whose events are on their way.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::event::Event;
use crate::shard::message::Shown;
use crate::watch::{CatchUp, CreateRequest, Hub, Response, Settings, StreamId};

/// A core's hub with its inbox.
pub struct Watching {
    hub: RefCell<Hub>,
    /// Events not yet delivered, by revision.
    inbox: RefCell<BTreeMap<i64, Gathered>>,
    /// Events come from all shards, so deliveries mean something.
    open: Cell<bool>,
    /// Watchers about to be created: events must go on coming.
    coming: Cell<usize>,
    streams: RefCell<HashMap<StreamId, Option<Waker>, FixedState>>,
    catcher: RefCell<Option<Waker>>,
}

/// What is here of one revision.
#[derive(Default)]
struct Gathered {
    /// Parts that are not here yet.
    missing: Option<u32>,
    events: Vec<Event>,
}

/// A watcher about to be created. Events go on coming while it lives.
pub struct Coming<'a>(&'a Watching);

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.0.coming.set(self.0.coming.get() - 1);
    }
}

/// A hasher without a random seed.
type FixedState = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

impl Watching {
    /// No watchers yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            hub: RefCell::new(Hub::new(settings, 1, 0)),
            inbox: RefCell::default(),
            open: Cell::new(false),
            coming: Cell::new(0),
            streams: RefCell::default(),
            catcher: RefCell::default(),
        }
    }

    /// Begins: events after `delivered` come from all shards.
    pub fn open(&self, delivered: i64, compacted: i64) {
        self.hub.borrow_mut().advance(delivered);
        self.hub.borrow_mut().compacted(compacted);
        self.open.set(true);
    }

    /// Whether it has begun.
    pub fn is_open(&self) -> bool {
        self.open.get()
    }

    /// A watcher is about to be created.
    pub fn coming(&self) -> Coming<'_> {
        self.coming.set(self.coming.get() + 1);
        Coming(self)
    }

    /// Ends, if there is no watcher: events need not come any more. Returns whether it did.
    pub fn close_if_idle(&self) -> bool {
        let empty = self.coming.get() == 0 && self.hub.borrow().counts().watchers == 0;
        let idle = self.open.get() && empty;
        if idle {
            self.open.set(false);
            self.inbox.borrow_mut().clear();
        }
        idle
    }

    /// Takes in parts of revisions.
    pub fn take_events(&self, parts: Vec<Shown>) {
        let delivered = self.hub.borrow().delivered();
        let mut inbox = self.inbox.borrow_mut();
        for part in parts {
            // What is late was left out on purpose: it comes from history.
            if !self.open.get() || part.revision > delivered {
                let gathered = inbox.entry(part.revision).or_default();
                gathered.missing = Some(gathered.missing.unwrap_or(part.parts) - 1);
                gathered.events.extend(part.events);
            }
        }
    }

    /// The lowest revision above `settled` with events here.
    pub fn next_unsettled(&self, settled: i64) -> Option<i64> {
        let inbox = self.inbox.borrow();
        inbox
            .range(settled + 1..)
            .next()
            .map(|(revision, _)| *revision)
    }

    /// Delivers what is complete of everything through `settled`.
    pub fn deliver(&self, settled: i64) {
        if !self.open.get() {
            return;
        }
        {
            let mut hub = self.hub.borrow_mut();
            let mut inbox = self.inbox.borrow_mut();
            while let Some(first) = inbox.first_entry()
                && *first.key() <= settled.min(hub.delivered() + 1)
                && (first.get().missing == Some(0) || *first.key() <= hub.delivered())
            {
                let mut events = first.remove().events;
                events.sort_by_key(|event| event.revision);
                hub.deliver(events, settled);
            }
        }
        self.wake();
    }

    /// Works on the hub, then wakes whom that concerns.
    pub fn with<T>(&self, work: impl FnOnce(&mut Hub) -> T) -> T {
        let result = work(&mut self.hub.borrow_mut());
        self.wake();
        result
    }

    fn wake(&self) {
        let ready = self.hub.borrow_mut().take_ready();
        let mut streams = self.streams.borrow_mut();
        for stream in ready {
            if let Some(waker) = streams.get_mut(&stream).and_then(Option::take) {
                waker.wake();
            }
        }
        drop(streams);
        if self.hub.borrow().counts().slow > 0
            && let Some(waker) = self.catcher.borrow_mut().take()
        {
            waker.wake();
        }
    }

    /// Opens a stream.
    pub fn open_stream(&self, jitter_ns: u64) -> StreamId {
        let stream = self.hub.borrow_mut().open(jitter_ns);
        self.streams.borrow_mut().insert(stream, None);
        stream
    }

    /// Closes it with all its watchers.
    pub fn close_stream(&self, stream: StreamId) {
        self.with(|hub| hub.close(stream));
        self.streams.borrow_mut().remove(&stream);
    }

    /// Adds a watcher; the answer comes on the stream.
    pub fn create(&self, stream: StreamId, request: &CreateRequest, settled: i64) {
        self.with(|hub| hub.create(stream, request, settled));
    }

    /// Waits until the stream has output, and takes up to `max` responses.
    pub async fn next(&self, stream: StreamId, max: usize) -> Vec<Response> {
        poll_fn(|cx| {
            let responses = self.hub.borrow_mut().drain(stream, max);
            if responses.is_empty() {
                let mut streams = self.streams.borrow_mut();
                if let Some(waker) = streams.get_mut(&stream) {
                    *waker = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
            // Room on the stream may let watchers that were held back go on.
            self.wake();
            Poll::Ready(responses)
        })
        .await
    }

    /// Waits until a watcher lies behind, and says what to do for it.
    pub async fn next_catch_up(&self) -> CatchUp {
        poll_fn(|cx| match self.with(Hub::next_catch_up) {
            CatchUp::Idle => {
                *self.catcher.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
            step => Poll::Ready(step),
        })
        .await
    }
}
