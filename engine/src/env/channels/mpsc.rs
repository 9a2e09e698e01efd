//! A bounded queue with many senders and one receiver. Dropping the receiver drops what is
//! queued, so that answers waiting inside are seen as lost by those who wait for them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use openraft_rt::mpsc::{self, SendError, TryRecvError};

use super::turns::{Ticket, Turns, keep_waker};

/// The queue as openraft names it.
pub struct LocalMpsc;

/// Sends; clones share the queue.
pub struct MpscSender<T>(Rc<Queue<T>>);

/// Sends while some [`MpscSender`] lives.
pub struct MpscWeakSender<T>(Weak<Queue<T>>);

/// Receives.
pub struct MpscReceiver<T>(Rc<Queue<T>>);

struct Queue<T> {
    items: RefCell<VecDeque<T>>,
    capacity: usize,
    /// Places granted to waiting senders and not yet filled.
    reserved: Cell<usize>,
    senders: Cell<usize>,
    open: Cell<bool>,
    turns: Turns,
    receiver: Cell<Option<Waker>>,
}

impl mpsc::Mpsc for LocalMpsc {
    type Sender<T> = MpscSender<T>;
    type Receiver<T> = MpscReceiver<T>;
    type WeakSender<T> = MpscWeakSender<T>;

    fn channel<T>(buffer: usize) -> (MpscSender<T>, MpscReceiver<T>) {
        let queue = Rc::new(Queue {
            items: RefCell::new(VecDeque::new()),
            capacity: buffer.max(1),
            reserved: Cell::new(0),
            senders: Cell::new(1),
            open: Cell::new(true),
            turns: Turns::default(),
            receiver: Cell::new(None),
        });
        (MpscSender(queue.clone()), MpscReceiver(queue))
    }
}

impl<T> Queue<T> {
    fn has_room(&self) -> bool {
        self.items.borrow().len() + self.reserved.get() < self.capacity
    }

    fn push(&self, item: T) {
        self.items.borrow_mut().push_back(item);
        self.wake_receiver();
    }

    fn pop(&self) -> Option<T> {
        let item = self.items.borrow_mut().pop_front()?;
        self.pass_room_on();
        Some(item)
    }

    /// A place became free: the first waiting sender gets it.
    fn pass_room_on(&self) {
        if self.turns.grant() {
            self.reserved.set(self.reserved.get() + 1);
        }
    }

    fn wake_receiver(&self) {
        if let Some(waker) = self.receiver.take() {
            waker.wake();
        }
    }
}

/// One send in progress.
struct Sending<'a, T> {
    queue: &'a Queue<T>,
    item: Option<T>,
    ticket: Option<Ticket>,
}

// Nothing in it is pinned: the item is only moved.
impl<T> Unpin for Sending<'_, T> {}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let queue = self.queue;
        if let Some(ticket) = &self.ticket {
            match ticket.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(true) => queue.reserved.set(queue.reserved.get() - 1),
                Poll::Ready(false) => {}
            }
            self.ticket = None;
        } else if queue.open.get() && !(queue.turns.is_empty() && queue.has_room()) {
            let ticket = queue.turns.join();
            let pending = ticket.poll(cx);
            debug_assert!(pending.is_pending());
            self.ticket = Some(ticket);
            return Poll::Pending;
        }
        let item = self
            .item
            .take()
            .expect("a send is not polled after it ended");
        if !queue.open.get() {
            return Poll::Ready(Err(SendError(item)));
        }
        queue.push(item);
        Poll::Ready(Ok(()))
    }
}

impl<T> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take()
            && self.queue.turns.leave(ticket)
        {
            self.queue.reserved.set(self.queue.reserved.get() - 1);
            self.queue.pass_room_on();
        }
    }
}

impl<T> mpsc::MpscSender<LocalMpsc, T> for MpscSender<T> {
    fn send(&self, item: T) -> impl Future<Output = Result<(), SendError<T>>> {
        Sending {
            queue: &self.0,
            item: Some(item),
            ticket: None,
        }
    }

    fn downgrade(&self) -> MpscWeakSender<T> {
        MpscWeakSender(Rc::downgrade(&self.0))
    }
}

impl<T> Clone for MpscSender<T> {
    fn clone(&self) -> Self {
        self.0.senders.set(self.0.senders.get() + 1);
        Self(self.0.clone())
    }
}

impl<T> Drop for MpscSender<T> {
    fn drop(&mut self) {
        let left = self.0.senders.get() - 1;
        self.0.senders.set(left);
        if left == 0 {
            self.0.wake_receiver();
        }
    }
}

impl<T> mpsc::MpscWeakSender<LocalMpsc, T> for MpscWeakSender<T> {
    fn upgrade(&self) -> Option<MpscSender<T>> {
        let queue = self.0.upgrade()?;
        if queue.senders.get() == 0 || !queue.open.get() {
            return None;
        }
        queue.senders.set(queue.senders.get() + 1);
        Some(MpscSender(queue))
    }
}

impl<T> Clone for MpscWeakSender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> mpsc::MpscReceiver<T> for MpscReceiver<T> {
    fn recv(&mut self) -> impl Future<Output = Option<T>> {
        poll_fn(|cx| {
            if let Some(item) = self.0.pop() {
                return Poll::Ready(Some(item));
            }
            if self.0.senders.get() == 0 {
                return Poll::Ready(None);
            }
            let mut waker = self.0.receiver.take();
            keep_waker(&mut waker, cx);
            self.0.receiver.set(waker);
            Poll::Pending
        })
    }

    fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.0.pop() {
            Some(item) => Ok(item),
            None if self.0.senders.get() == 0 => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }
}

impl<T> Drop for MpscReceiver<T> {
    fn drop(&mut self) {
        self.0.open.set(false);
        self.0.receiver.take();
        self.0.turns.close();
        let queued = self.0.items.take();
        drop(queued);
    }
}
