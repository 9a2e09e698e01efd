//! Counts answer bytes that are queued and not yet written, so that a client that does not read
//! costs bounded memory. Ropes report to it as `h2` consumes or drops them; `stream` and `conn`
//! wait on it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Bytes queued, with a mark above which writers wait; reports to a parent, too.
#[derive(Debug)]
pub struct Meter {
    bytes: Cell<usize>,
    mark: usize,
    parent: Option<Rc<Meter>>,
    /// By stream, so that a stream that polls twice waits once.
    waiting: RefCell<BTreeMap<u32, Waker>>,
}

impl Meter {
    /// A meter whose writers wait while more than `mark` bytes are queued.
    pub fn new(mark: usize, parent: Option<Rc<Meter>>) -> Rc<Self> {
        Rc::new(Self {
            bytes: Cell::new(0),
            mark,
            parent,
            waiting: RefCell::default(),
        })
    }

    /// Bytes queued now.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Whether this meter and its parents are at or below their marks.
    pub fn has_room(&self) -> bool {
        self.bytes.get() <= self.mark && self.parent.as_ref().is_none_or(|p| p.has_room())
    }

    /// Ready when there is room. `stream` names the waiter.
    pub fn poll_room(&self, stream: u32, cx: &mut Context<'_>) -> Poll<()> {
        if self.bytes.get() > self.mark {
            self.waiting.borrow_mut().insert(stream, cx.waker().clone());
            return Poll::Pending;
        }
        self.parent
            .as_ref()
            .map_or(Poll::Ready(()), |p| p.poll_room(stream, cx))
    }

    /// Forgets a waiter that went away.
    pub fn forget(&self, stream: u32) {
        self.waiting.borrow_mut().remove(&stream);
        if let Some(parent) = &self.parent {
            parent.forget(stream);
        }
    }

    pub(super) fn add(&self, n: usize) {
        self.bytes.set(self.bytes.get() + n);
        if let Some(parent) = &self.parent {
            parent.add(n);
        }
    }

    pub(super) fn sub(&self, n: usize) {
        let before = self.bytes.get();
        debug_assert!(before >= n);
        self.bytes.set(before - n);
        if before > self.mark && before - n <= self.mark {
            // Taken out first: waking may run code that waits again.
            let waiting = self.waiting.take();
            waiting.into_values().for_each(Waker::wake);
        }
        if let Some(parent) = &self.parent {
            parent.sub(n);
        }
    }
}
