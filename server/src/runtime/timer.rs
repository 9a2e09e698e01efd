//! Points in time that tasks of one executor wait for. `local` fires what is due each time it
//! looks at its ring, and sleeps no longer than until the next.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;

use super::local::{self, Local};

/// All timers of one executor.
#[derive(Default)]
pub(super) struct Timers {
    order: RefCell<BTreeSet<(Instant, usize)>>,
    /// Who waits; `None` once the time has come.
    waiting: RefCell<Slab<Option<Waker>>>,
}

impl Timers {
    /// When the next is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.borrow().first().map(|first| first.0)
    }

    /// Wakes all that are due.
    pub(super) fn fire(&self) {
        if self.order.borrow().is_empty() {
            return;
        }
        let now = Instant::now();
        loop {
            let key = match self.order.borrow_mut() {
                mut order if order.first().is_some_and(|first| first.0 <= now) => {
                    order.pop_first().map(|first| first.1)
                }
                _ => None,
            };
            let Some(key) = key else { return };
            let waker = self.waiting.borrow_mut()[key].take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn enter(&self, deadline: Instant, waker: &Waker) -> usize {
        let key = self.waiting.borrow_mut().insert(Some(waker.clone()));
        self.order.borrow_mut().insert((deadline, key));
        key
    }

    fn poll(&self, key: usize, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.waiting.borrow_mut()[key] {
            None => Poll::Ready(()),
            Some(waker) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
        }
    }

    fn leave(&self, deadline: Instant, key: usize) {
        self.order.borrow_mut().remove(&(deadline, key));
        let waker = self.waiting.borrow_mut().remove(key);
        // Dropping it may end a task that holds other timers.
        drop(waker);
    }
}

/// Waits until a point in time; at least until the executor has run what else was ready and has
/// looked at its ring, also if that point has passed.
pub struct Sleep {
    deadline: Instant,
    /// It is a pause for others, and over as soon as they had their turn.
    pause: bool,
    entered: Option<(Rc<Local>, usize)>,
}

impl Sleep {
    /// Until `duration` from now. Waited for on an executor of this module only.
    pub fn new(duration: Duration) -> Self {
        let now = Instant::now();
        // No clock gets there; and a sum that overflows is no time.
        let far = || now + Duration::from_secs(1 << 32);
        Self {
            deadline: now.checked_add(duration).unwrap_or_else(far),
            pause: duration.is_zero(),
            entered: None,
        }
    }

    /// Until `deadline`.
    pub fn until(deadline: Instant) -> Self {
        Self::new(deadline.saturating_duration_since(Instant::now()))
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        match &this.entered {
            Some((local, key)) => local.timers.poll(*key, cx),
            None => {
                let local = local::current();
                let key = local.timers.enter(this.deadline, cx.waker());
                if this.pause {
                    local.look_soon();
                }
                this.entered = Some((local, key));
                Poll::Pending
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((local, key)) = self.entered.take() {
            local.timers.leave(self.deadline, key);
        }
    }
}

impl std::fmt::Debug for Sleep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
