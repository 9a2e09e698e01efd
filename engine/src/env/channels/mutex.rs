//! A lock that may be held over an await, handed on in the order it was asked for.

use std::cell::{Cell, RefCell, RefMut};
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use openraft_rt::mutex;

use super::turns::{Ticket, Turns};

/// The lock as openraft names it.
pub struct LocalMutex<T> {
    value: RefCell<T>,
    locked: Cell<bool>,
    turns: Turns,
}

/// The lock held; dropping it hands the lock on.
pub struct MutexGuard<'a, T> {
    mutex: &'a LocalMutex<T>,
    /// Present until the drop.
    value: Option<RefMut<'a, T>>,
}

impl<T> LocalMutex<T> {
    fn hand_on(&self) {
        if !self.turns.grant() {
            self.locked.set(false);
        }
    }

    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            mutex: self,
            value: Some(self.value.borrow_mut()),
        }
    }
}

impl<T: 'static> mutex::Mutex<T> for LocalMutex<T> {
    type Guard<'a> = MutexGuard<'a, T>;

    fn new(value: T) -> Self {
        Self {
            value: RefCell::new(value),
            locked: Cell::new(false),
            turns: Turns::default(),
        }
    }

    fn lock(&self) -> impl Future<Output = MutexGuard<'_, T>> {
        Locking {
            mutex: self,
            ticket: None,
        }
    }
}

struct Locking<'a, T> {
    mutex: &'a LocalMutex<T>,
    ticket: Option<Ticket>,
}

impl<'a, T> Future for Locking<'a, T> {
    type Output = MutexGuard<'a, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mutex = self.mutex;
        let ticket = match self.ticket.take() {
            Some(ticket) => ticket,
            None if !mutex.locked.replace(true) => return Poll::Ready(mutex.guard()),
            None => mutex.turns.join(),
        };
        if ticket.poll(cx).is_ready() {
            return Poll::Ready(mutex.guard());
        }
        self.ticket = Some(ticket);
        Poll::Pending
    }
}

impl<T> Drop for Locking<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take()
            && self.mutex.turns.leave(ticket)
        {
            self.mutex.hand_on();
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
            .as_ref()
            .expect("a guard holds its value until it is dropped")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value
            .as_mut()
            .expect("a guard holds its value until it is dropped")
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // The borrow ends before anybody else may take the lock.
        self.value = None;
        self.mutex.hand_on();
    }
}
