//! Queues between the cores of one node: each core can send to every core, and takes what came in
//! batches. The engine sends through `env::Mail`; the core loop receives.
//!
//! What a core sends gathers in a local outbox per destination and leaves as one batch at the end
//! of the executor's turn: the flusher is a task of its own, woken by the first message, so it
//! runs after everything that was runnable before it. A lone message waits for no timer.
//!
//! Waking a parked executor is the dear part, so it happens once per batch, and only if the
//! receiver waits. The executor's own wake already does nothing unless it is parked; a second flag
//! beside it gains nothing.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crossbeam::queue::SegQueue;
use crossbeam::utils::CachePadded;
use engine::env::Mail;
use engine::ids::CoreId;
use futures::task::AtomicWaker;

use super::executor::{spawn_scheduled, yield_now};

/// Where messages for one core arrive. Unbounded: what is outstanding is bounded by the senders
/// (`limits::CORE_REQUESTS_MAX`).
struct Inbox<M> {
    batches: SegQueue<Batch<M>>,
    receiver: AtomicWaker,
}

/// What one core sent to another in one turn.
enum Batch<M> {
    One(M),
    Many(Vec<M>),
}

/// The mailboxes of a node before its executors run.
pub struct Mailboxes;

/// One core's end of the mailboxes, to be carried to its executor and opened there.
pub struct Mailbox<M> {
    core: CoreId,
    inboxes: Arc<[CachePadded<Inbox<M>>]>,
}

/// Sends from one core to every core, in order. Clones share the outboxes.
pub struct Post<M>(Rc<Outboxes<M>>);

/// Receives what was sent to one core.
pub struct Letters<M> {
    outboxes: Rc<Outboxes<M>>,
    linger: Duration,
}

struct Outboxes<M> {
    core: CoreId,
    inboxes: Arc<[CachePadded<Inbox<M>>]>,
    /// Per destination, what the flusher will send.
    waiting: RefCell<Vec<Vec<M>>>,
    /// Destinations with something waiting, in the order they got their first message.
    dirty: RefCell<Vec<u16>>,
    flusher: Cell<Option<Waker>>,
    /// Messages to the core itself: no thread is crossed.
    own: RefCell<VecDeque<M>>,
    own_receiver: Cell<Option<Waker>>,
}

impl Mailboxes {
    /// One mailbox per core, for `cores` cores.
    #[expect(
        clippy::new_ret_no_self,
        reason = "the whole set exists only as its parts"
    )]
    pub fn new<M: Send + 'static>(cores: u16) -> Vec<Mailbox<M>> {
        let inbox = || {
            let inbox = Inbox {
                batches: SegQueue::new(),
                receiver: AtomicWaker::new(),
            };
            CachePadded::new(inbox)
        };
        let inboxes: Arc<[_]> = (0..cores).map(|_| inbox()).collect();
        (0..cores)
            .map(|core| Mailbox {
                core: CoreId(core),
                inboxes: inboxes.clone(),
            })
            .collect()
    }
}

impl<M: Send + 'static> Mailbox<M> {
    /// The core this mailbox belongs to.
    pub fn core(&self) -> CoreId {
        self.core
    }

    /// Opens the mailbox on its executor. Must run inside a task of it: it spawns the flusher.
    pub fn open(self) -> (Post<M>, Letters<M>) {
        let destinations = self.inboxes.len();
        let outboxes = Rc::new(Outboxes {
            core: self.core,
            inboxes: self.inboxes,
            waiting: RefCell::new((0..destinations).map(|_| Vec::new()).collect()),
            dirty: RefCell::new(Vec::new()),
            flusher: Cell::new(None),
            own: RefCell::new(VecDeque::new()),
            own_receiver: Cell::new(None),
        });
        // The flusher must not keep the outboxes alive: it ends with the last handle.
        let weak = Rc::downgrade(&outboxes);
        spawn_scheduled(poll_fn(move |cx| match weak.upgrade() {
            None => Poll::Ready(()),
            Some(outboxes) => {
                outboxes.flusher.set(Some(cx.waker().clone()));
                outboxes.flush();
                Poll::Pending
            }
        }));
        (
            Post(outboxes.clone()),
            Letters {
                outboxes,
                linger: Duration::ZERO,
            },
        )
    }
}

impl<M> Outboxes<M> {
    /// Sends what gathered in this turn, one batch and at most one wake-up per destination.
    fn flush(&self) {
        let mut dirty = self.dirty.borrow_mut();
        for to in dirty.drain(..) {
            let mut messages = std::mem::take(&mut self.waiting.borrow_mut()[usize::from(to)]);
            let batch = match (messages.len(), messages.pop()) {
                (1, Some(message)) => {
                    // A lone message travels without its vector, which is used again.
                    self.waiting.borrow_mut()[usize::from(to)] = messages;
                    Batch::One(message)
                }
                (_, Some(last)) => {
                    messages.push(last);
                    Batch::Many(messages)
                }
                (_, None) => continue,
            };
            let inbox = &self.inboxes[usize::from(to)];
            inbox.batches.push(batch);
            inbox.receiver.wake();
        }
    }

    fn send_to_self(&self, message: M) {
        self.own.borrow_mut().push_back(message);
        wake(&self.own_receiver);
    }

    fn take(&self, into: &mut Vec<M>) {
        into.extend(self.own.borrow_mut().drain(..));
        let inbox = &self.inboxes[usize::from(self.core.0)];
        while let Some(batch) = inbox.batches.pop() {
            match batch {
                Batch::One(message) => into.push(message),
                Batch::Many(messages) => into.extend(messages),
            }
        }
    }

    fn poll_take(&self, cx: &mut Context<'_>, into: &mut Vec<M>) -> Poll<()> {
        self.take(into);
        if into.is_empty() {
            // What comes between the look above and the registration is found by a second look.
            self.inboxes[usize::from(self.core.0)]
                .receiver
                .register(cx.waker());
            self.own_receiver.set(Some(cx.waker().clone()));
            self.take(into);
        }
        if into.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

fn wake(slot: &Cell<Option<Waker>>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}

impl<M: 'static> Mail<M> for Post<M> {
    /// # Panics
    /// When there is no core `to`.
    fn send(&self, to: CoreId, message: M) {
        let outboxes = &*self.0;
        if to == outboxes.core {
            return outboxes.send_to_self(message);
        }
        let mut waiting = outboxes.waiting.borrow_mut();
        let outbox = &mut waiting[usize::from(to.0)];
        outbox.push(message);
        if outbox.len() == 1 {
            outboxes.dirty.borrow_mut().push(to.0);
            wake(&outboxes.flusher);
        }
    }
}

impl<M> Clone for Post<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> Letters<M> {
    /// How long [`Letters::receive`] keeps looking before it lets its executor park; zero, as it
    /// is at first, for not at all. Other tasks run meanwhile, rings are not looked at: keep
    /// it under 50 us. It pays where answers come that fast and a CPU belongs to this core alone.
    pub fn linger(&mut self, at_most: Duration) {
        self.linger = at_most;
    }

    async fn look_again(&mut self, into: &mut Vec<M>) {
        let begin = Instant::now();
        loop {
            self.outboxes.take(into);
            if !into.is_empty() || begin.elapsed() >= self.linger {
                return;
            }
            for _ in 0..16 {
                std::hint::spin_loop();
            }
            yield_now().await;
        }
    }

    /// Waits until something came and appends all of it to `into`, which should be empty: what is
    /// in it already makes this return at once. Call it from a task that lives as long as its core:
    /// other threads hold its waker for a moment, and the runtime frees a task where that ends.
    pub async fn receive(&mut self, into: &mut Vec<M>) {
        if !self.linger.is_zero() {
            self.look_again(into).await;
        }
        poll_fn(|cx| self.outboxes.poll_take(cx, into)).await;
    }
}

impl<M> Drop for Letters<M> {
    fn drop(&mut self) {
        // A waker belongs to its executor: no other thread may be left with the last one.
        self.outboxes.inboxes[usize::from(self.outboxes.core.0)]
            .receiver
            .take();
        self.outboxes.own_receiver.take();
    }
}

impl<M> Drop for Outboxes<M> {
    fn drop(&mut self) {
        self.flush();
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}

impl<M> fmt::Debug for Post<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post")
            .field("core", &self.0.core)
            .finish_non_exhaustive()
    }
}

impl<M> fmt::Debug for Letters<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letters")
            .field("core", &self.outboxes.core)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
