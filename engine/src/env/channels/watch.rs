//! The last value of something, for many readers that wait for it to change.

use std::cell::{Cell, Ref, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use openraft_rt::watch::{self, RecvError, SendError};

use super::turns::keep_waker;

/// The watched value as openraft names it.
pub struct LocalWatch;

/// Sets the value; clones share it.
pub struct WatchSender<T>(Rc<Watched<T>>);

/// Reads the value and waits for changes; a clone has seen what its original has seen.
pub struct WatchReceiver<T> {
    watched: Rc<Watched<T>>,
    seen: u64,
    id: u64,
}

struct Watched<T> {
    value: RefCell<T>,
    version: Cell<u64>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    next_id: Cell<u64>,
    /// Waiting receivers, in the order they began to wait.
    waiting: RefCell<Vec<(u64, Option<Waker>)>>,
}

impl watch::Watch for LocalWatch {
    type Sender<T> = WatchSender<T>;
    type Receiver<T> = WatchReceiver<T>;
    type Ref<'a, T: 'a> = Ref<'a, T>;

    fn channel<T>(init: T) -> (WatchSender<T>, WatchReceiver<T>) {
        let watched = Rc::new(Watched {
            value: RefCell::new(init),
            version: Cell::new(0),
            senders: Cell::new(1),
            receivers: Cell::new(0),
            next_id: Cell::new(0),
            waiting: RefCell::new(Vec::new()),
        });
        let receiver = Watched::receiver(&watched, 0);
        (WatchSender(watched), receiver)
    }
}

impl<T> Watched<T> {
    fn receiver(watched: &Rc<Self>, seen: u64) -> WatchReceiver<T> {
        watched.receivers.set(watched.receivers.get() + 1);
        let id = watched.next_id.get();
        watched.next_id.set(id + 1);
        WatchReceiver {
            watched: watched.clone(),
            seen,
            id,
        }
    }

    fn changed(&self) {
        self.version.set(self.version.get() + 1);
        self.wake_all();
    }

    fn wake_all(&self) {
        for (_, waker) in self.waiting.take() {
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> watch::WatchSender<LocalWatch, T> for WatchSender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.0.receivers.get() == 0 {
            return Err(SendError(value));
        }
        let before = self.0.value.replace(value);
        self.0.changed();
        drop(before);
        Ok(())
    }

    fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        let modified = modify(&mut self.0.value.borrow_mut());
        if modified {
            self.0.changed();
        }
        modified
    }

    fn borrow_watched(&self) -> Ref<'_, T> {
        self.0.value.borrow()
    }

    fn subscribe(&self) -> WatchReceiver<T> {
        Watched::receiver(&self.0, self.0.version.get())
    }
}

impl<T> Clone for WatchSender<T> {
    fn clone(&self) -> Self {
        self.0.senders.set(self.0.senders.get() + 1);
        Self(self.0.clone())
    }
}

impl<T> Drop for WatchSender<T> {
    fn drop(&mut self) {
        let left = self.0.senders.get() - 1;
        self.0.senders.set(left);
        if left == 0 {
            self.0.wake_all();
        }
    }
}

impl<T> watch::WatchReceiver<LocalWatch, T> for WatchReceiver<T> {
    fn changed(&mut self) -> impl Future<Output = Result<(), RecvError>> {
        poll_fn(|cx| {
            let version = self.watched.version.get();
            if version != self.seen {
                self.seen = version;
                return Poll::Ready(Ok(()));
            }
            if self.watched.senders.get() == 0 {
                return Poll::Ready(Err(RecvError(())));
            }
            let mut waiting = self.watched.waiting.borrow_mut();
            match waiting.iter_mut().find(|(id, _)| *id == self.id) {
                Some((_, waker)) => keep_waker(waker, cx),
                None => waiting.push((self.id, Some(cx.waker().clone()))),
            }
            Poll::Pending
        })
    }

    fn borrow_watched(&self) -> Ref<'_, T> {
        self.watched.value.borrow()
    }

    fn borrow_and_update(&mut self) -> Ref<'_, T> {
        self.seen = self.watched.version.get();
        self.watched.value.borrow()
    }
}

impl<T> Clone for WatchReceiver<T> {
    fn clone(&self) -> Self {
        Watched::receiver(&self.watched, self.seen)
    }
}

impl<T> Drop for WatchReceiver<T> {
    fn drop(&mut self) {
        self.watched.receivers.set(self.watched.receivers.get() - 1);
        self.watched
            .waiting
            .borrow_mut()
            .retain(|(id, _)| *id != self.id);
    }
}
