//! A fair queue of tasks waiting for a limited thing: whoever came first is granted the next free
//! one. The bounded queue (`mpsc`) and the lock (`mutex`) wait with it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What a waiter sees.
enum Wait {
    Waiting(Option<Waker>),
    /// One thing is reserved for this waiter and not yet taken.
    Granted,
    /// There will be no more.
    Closed,
}

/// A place in the queue, held by the waiting future.
pub(super) struct Ticket(Rc<RefCell<Wait>>);

/// The queue.
#[derive(Default)]
pub(super) struct Turns {
    waiting: RefCell<VecDeque<Rc<RefCell<Wait>>>>,
}

impl Turns {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    /// Queues up at the end.
    pub(super) fn join(&self) -> Ticket {
        let wait = Rc::new(RefCell::new(Wait::Waiting(None)));
        self.waiting.borrow_mut().push_back(wait.clone());
        Ticket(wait)
    }

    /// Reserves one for the first waiter; false if nobody waits.
    pub(super) fn grant(&self) -> bool {
        let Some(first) = self.waiting.borrow_mut().pop_front() else {
            return false;
        };
        wake(first.replace(Wait::Granted));
        true
    }

    /// Tells every waiter that there will be no more.
    pub(super) fn close(&self) {
        for wait in self.waiting.take() {
            wake(wait.replace(Wait::Closed));
        }
    }

    /// Gives a place up; true if something had been granted to it, which the caller passes on.
    pub(super) fn leave(&self, ticket: Ticket) -> bool {
        self.waiting
            .borrow_mut()
            .retain(|wait| !Rc::ptr_eq(wait, &ticket.0));
        let granted = matches!(*ticket.0.borrow(), Wait::Granted);
        granted
    }
}

impl Ticket {
    /// Ready with true when granted, with false when closed.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut *self.0.borrow_mut() {
            Wait::Granted => Poll::Ready(true),
            Wait::Closed => Poll::Ready(false),
            Wait::Waiting(waker) => {
                keep_waker(waker, cx);
                Poll::Pending
            }
        }
    }
}

/// Keeps the waker of the task that polls.
pub(super) fn keep_waker(slot: &mut Option<Waker>, cx: &mut Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

fn wake(before: Wait) {
    if let Wait::Waiting(Some(waker)) = before {
        waker.wake();
    }
}
