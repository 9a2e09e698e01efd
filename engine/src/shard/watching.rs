//! The watchers of one core: events come in from all shards before they settle and go to the hub
//! in revision order once they have; tasks that serve watch streams wait here for output.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::event::Event;
use crate::ids::CoreId;
use crate::shard::order::Order;
use crate::watch::{CatchUp, CreateRequest, Hub, Response, Settings, StreamId};

/// A core's hub with its inbox.
pub struct Watching {
    hub: RefCell<Hub>,
    /// Events not yet settled, by revision.
    inbox: RefCell<BTreeMap<i64, Vec<Event>>>,
    /// Events come from all shards, so deliveries mean something.
    open: Cell<bool>,
    /// Watchers about to be created: events must go on coming.
    coming: Cell<usize>,
    /// Letters with events taken in, by sender.
    letters: RefCell<Vec<u64>>,
    /// A settled revision that is not delivered yet: letters up to these numbers come first.
    due: RefCell<Option<(i64, Vec<u64>)>>,
    streams: RefCell<HashMap<StreamId, Option<Waker>, FixedState>>,
    catcher: RefCell<Option<Waker>>,
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
    /// No watchers yet, on a node of `cores` cores.
    pub fn new(settings: Settings, cores: u16) -> Self {
        Self {
            hub: RefCell::new(Hub::new(settings, 1, 0)),
            inbox: RefCell::default(),
            open: Cell::new(false),
            coming: Cell::new(0),
            letters: RefCell::new(vec![0; usize::from(cores)]),
            due: RefCell::default(),
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
            self.due.borrow_mut().take();
        }
        idle
    }

    /// Takes in events, in order within a shard.
    pub fn take_events(&self, events: Vec<Event>) {
        let mut inbox = self.inbox.borrow_mut();
        for event in events {
            inbox.entry(event.revision.main).or_default().push(event);
        }
    }

    /// Another core's letter was taken in.
    pub fn count_letter(&self, from: CoreId) {
        if let Some(count) = self.letters.borrow_mut().get_mut(from.0 as usize) {
            *count += 1;
        }
    }

    /// The lowest revision with events that waits to settle; none while what has settled waits
    /// for letters, whose coming delivers it.
    pub fn next_unsettled(&self) -> Option<i64> {
        // Before it is open nothing is delivered, so that waking would change nothing.
        if !self.open.get() || self.due.borrow().is_some() {
            return None;
        }
        self.inbox
            .borrow()
            .first_key_value()
            .map(|(revision, _)| *revision)
    }

    /// Delivers everything that has settled. A revision settles in the order that all cores see,
    /// while another core's events of it may still be in the mail: it is delivered when every
    /// letter has come that was sent before.
    pub fn deliver(&self, order: &Order, core: CoreId) {
        while self.open.get() {
            let due = self.due.borrow_mut().take();
            let (settled, letters) = match due {
                Some(due) => due,
                None => {
                    let settled = order.settled();
                    if order
                        .letters_to(core)
                        .eq(self.letters.borrow().iter().copied())
                    {
                        (settled, Vec::new())
                    } else {
                        (settled, order.letters_to(core).collect())
                    }
                }
            };
            let taken = self.letters.borrow();
            if letters
                .iter()
                .zip(taken.iter())
                .any(|(sent, taken)| taken < sent)
            {
                *self.due.borrow_mut() = Some((settled, letters));
                return;
            }
            drop(taken);
            self.deliver_through(settled);
            if order.settled() == settled {
                return;
            }
        }
    }

    fn deliver_through(&self, settled: i64) {
        {
            let mut hub = self.hub.borrow_mut();
            loop {
                let mut inbox = self.inbox.borrow_mut();
                let Some(first) = inbox.first_entry().filter(|first| *first.key() <= settled)
                else {
                    break;
                };
                let mut events = first.remove();
                events.sort_by_key(|event| event.revision);
                hub.deliver(events, settled);
            }
            hub.advance(settled);
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
    pub fn open_stream(&self, random: u64) -> StreamId {
        let stream = self.hub.borrow_mut().open(random);
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
