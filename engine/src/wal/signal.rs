//! Waiting, inside one task or between tasks of one core, until something holds. Called by the
//! lane, its writer and its keeper.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Who waits for a change.
#[derive(Default)]
pub(super) struct Signal(RefCell<Vec<Waker>>);

impl Signal {
    /// Wakes everybody, who then look again.
    pub(super) fn notify(&self) {
        let wakers = std::mem::take(&mut *self.0.borrow_mut());
        for waker in wakers {
            waker.wake();
        }
    }

    /// Waits until `look` finds something; looks at once and after each `notify`.
    pub(super) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        poll_fn(|context| {
            if let Some(found) = look() {
                return Poll::Ready(found);
            }
            let mut wakers = self.0.borrow_mut();
            if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}
