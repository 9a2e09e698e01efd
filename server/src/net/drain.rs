//! The signal that a core is to take leave of its clients. `shutdown` gives it; acceptors and
//! connections of the same core obey.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// One core's drain signal; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Drain(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    begun: Cell<bool>,
    next: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, Waker>>,
    guests: Cell<usize>,
    host: RefCell<Option<Waker>>,
}

impl Drain {
    /// A signal not yet given.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the signal. Once given it stays.
    pub fn begin(&self) {
        self.0.begun.set(true);
        let waiting = self.0.waiting.take();
        waiting.into_values().for_each(Waker::wake);
    }

    /// Whether it was given.
    pub fn begun(&self) -> bool {
        self.0.begun.get()
    }

    /// Counts one that has to leave, for as long as the handle lives.
    pub fn guest(&self) -> Guest {
        self.0.guests.set(self.0.guests.get() + 1);
        Guest(self.clone())
    }

    /// Waits until every [`Guest`] has left. One may wait.
    pub async fn left(&self) {
        poll_fn(|cx| {
            if self.0.guests.get() == 0 {
                return Poll::Ready(());
            }
            self.0.host.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// A handle that waits for it.
    pub fn watch(&self) -> Watch {
        let id = self.0.next.get();
        self.0.next.set(id + 1);
        Watch {
            drain: self.clone(),
            id,
        }
    }
}

/// One that has to leave.
#[derive(Debug)]
pub struct Guest(Drain);

impl Drop for Guest {
    fn drop(&mut self) {
        let inner = &self.0.0;
        inner.guests.set(inner.guests.get() - 1);
        if inner.guests.get() == 0
            && let Some(host) = inner.host.take()
        {
            host.wake();
        }
    }
}

/// Waits for one [`Drain`]; many may wait.
#[derive(Debug)]
pub struct Watch {
    drain: Drain,
    id: u64,
}

impl Watch {
    /// Ready when the signal was given.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.drain.begun() {
            return Poll::Ready(());
        }
        let mut waiting = self.drain.0.waiting.borrow_mut();
        match waiting.get(&self.id) {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => {
                waiting.insert(self.id, cx.waker().clone());
            }
        }
        Poll::Pending
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.drain.0.waiting.borrow_mut().remove(&self.id);
    }
}
