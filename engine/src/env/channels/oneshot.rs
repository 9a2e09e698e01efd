//! One value from one task to another, once.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use openraft_rt::oneshot;

use super::turns::keep_waker;

/// The one-shot as openraft names it.
pub struct LocalOneshot;

/// Sends the value.
pub struct OneshotSender<T>(Rc<Slot<T>>);

/// Waits for the value.
pub struct OneshotReceiver<T>(Rc<Slot<T>>);

/// The sender was dropped without sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sender of a one-shot was dropped without sending")]
pub struct SenderDropped;

struct Slot<T> {
    value: RefCell<Option<T>>,
    sender_gone: Cell<bool>,
    receiver_gone: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl oneshot::Oneshot for LocalOneshot {
    type Sender<T> = OneshotSender<T>;
    type Receiver<T> = OneshotReceiver<T>;
    type ReceiverError = SenderDropped;

    fn channel<T>() -> (OneshotSender<T>, OneshotReceiver<T>) {
        let slot = Rc::new(Slot {
            value: RefCell::new(None),
            sender_gone: Cell::new(false),
            receiver_gone: Cell::new(false),
            waker: Cell::new(None),
        });
        (OneshotSender(slot.clone()), OneshotReceiver(slot))
    }
}

impl<T> oneshot::OneshotSender<T> for OneshotSender<T> {
    fn send(self, value: T) -> Result<(), T> {
        if self.0.receiver_gone.get() {
            return Err(value);
        }
        *self.0.value.borrow_mut() = Some(value);
        Ok(())
    }
}

impl<T> Drop for OneshotSender<T> {
    /// Wakes the receiver, whether or not a value was sent.
    fn drop(&mut self) {
        self.0.sender_gone.set(true);
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }
}

impl<T> Future for OneshotReceiver<T> {
    type Output = Result<T, SenderDropped>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(value) = self.0.value.take() {
            return Poll::Ready(Ok(value));
        }
        if self.0.sender_gone.get() {
            return Poll::Ready(Err(SenderDropped));
        }
        let mut waker = self.0.waker.take();
        keep_waker(&mut waker, cx);
        self.0.waker.set(waker);
        Poll::Pending
    }
}

impl<T> Drop for OneshotReceiver<T> {
    fn drop(&mut self) {
        self.0.receiver_gone.set(true);
        self.0.waker.take();
        let unread = self.0.value.take();
        drop(unread);
    }
}
