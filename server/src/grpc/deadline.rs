//! Deadlines of all calls of one connection on one timer. `call` waits on a [`Deadline`]; `conn`
//! keeps the timer.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

/// The deadlines that some call of the connection is waiting for. Times are monotonic nanoseconds.
#[derive(Debug, Default)]
pub struct Deadlines {
    now: Cell<u64>,
    seq: Cell<u64>,
    waiting: RefCell<BTreeMap<(u64, u64), Waker>>,
}

impl Deadlines {
    /// The time of the present turn.
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// The earliest deadline waited for.
    pub fn next(&self) -> Option<u64> {
        self.waiting.borrow().keys().next().map(|(at, _)| *at)
    }

    /// Sets the time and wakes every call whose deadline has come.
    pub fn set_now(&self, now: u64) {
        self.now.set(now);
        while self.next().is_some_and(|at| at <= now) {
            let first = self.waiting.borrow_mut().pop_first();
            if let Some((_, waker)) = first {
                waker.wake();
            }
        }
    }
}

/// One call's deadline.
#[derive(Debug)]
pub struct Deadline<'a> {
    all: &'a Deadlines,
    at: Option<u64>,
    key: Option<(u64, u64)>,
}

impl<'a> Deadline<'a> {
    /// A deadline at `at`, or none.
    pub fn new(all: &'a Deadlines, at: Option<u64>) -> Self {
        Self { all, at, key: None }
    }

    /// Ready when it has come.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        if at <= self.all.now() {
            return Poll::Ready(());
        }
        let key = *self.key.get_or_insert_with(|| {
            let seq = self.all.seq.get();
            self.all.seq.set(seq + 1);
            (at, seq)
        });
        self.all
            .waiting
            .borrow_mut()
            .insert(key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Deadline<'_> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.all.waiting.borrow_mut().remove(key);
        }
    }
}
