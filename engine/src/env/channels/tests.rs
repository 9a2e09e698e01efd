//! What the channels promise beyond openraft's own suite: order, hand-over and cancellation.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use openraft_rt::{
    Mpsc, MpscReceiver as _, MpscSender as _, MpscWeakSender as _, Mutex, Oneshot,
    OneshotSender as _, Watch, WatchReceiver as _, WatchSender as _,
};

use super::*;

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn now<F: Future>(future: F) -> F::Output {
    match poll(&mut pin!(future)) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("expected to be ready at once"),
    }
}

#[test]
fn waiting_senders_get_their_places_in_the_order_they_came() {
    let (tx, mut rx) = LocalMpsc::channel(1);
    now(tx.send(0)).unwrap();
    let mut first = pin!(tx.send(1));
    let mut second = pin!(tx.send(2));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    assert_eq!(rx.try_recv().unwrap(), 0);
    assert!(
        poll(&mut second).is_pending(),
        "the place belongs to the first"
    );
    assert!(
        poll(&mut pin!(tx.send(3))).is_pending(),
        "a newcomer does not jump the queue"
    );
    assert!(poll(&mut first).is_ready());
    assert_eq!(rx.try_recv().unwrap(), 1);
    assert!(poll(&mut second).is_ready());
    assert_eq!(rx.try_recv().unwrap(), 2);
}

#[test]
fn a_cancelled_sender_passes_its_place_on() {
    let (tx, mut rx) = LocalMpsc::channel(1);
    now(tx.send(0)).unwrap();
    let mut first = Box::pin(tx.send(1));
    let mut second = pin!(tx.send(2));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    assert_eq!(rx.try_recv().unwrap(), 0);
    drop(first);
    assert!(poll(&mut second).is_ready());
    assert_eq!(rx.try_recv().unwrap(), 2);
}

#[test]
fn dropping_the_receiver_drops_what_is_queued_and_fails_waiting_sends() {
    let (tx, rx) = LocalMpsc::channel(1);
    let (answer, mut waits) = LocalOneshot::channel::<u8>();
    now(tx.send(Some(answer))).ok().unwrap();
    let mut late = pin!(tx.send(None));
    assert!(poll(&mut late).is_pending());
    drop(rx);
    assert_eq!(poll(&mut waits), Poll::Ready(Err(SenderDropped)));
    assert!(matches!(poll(&mut late), Poll::Ready(Err(_))));
    assert!(tx.downgrade().upgrade().is_none());
}

#[test]
fn a_lock_is_handed_on_in_order_and_past_those_who_gave_up() {
    let lock = LocalMutex::new(0);
    let guard = now(lock.lock());
    let mut first = Box::pin(lock.lock());
    let mut second = pin!(lock.lock());
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    drop(guard);
    assert!(poll(&mut second).is_pending());
    drop(first);
    let Poll::Ready(mut guard) = poll(&mut second) else {
        panic!("handed on")
    };
    *guard = 7;
    drop(guard);
    assert_eq!(*now(lock.lock()), 7);
}

#[test]
fn a_watched_value_reports_a_change_once_and_the_end_after_it() {
    let (tx, mut rx) = LocalWatch::channel(1);
    assert!(poll(&mut pin!(rx.changed())).is_pending());
    tx.send(2).unwrap();
    tx.send(3).unwrap();
    now(rx.changed()).unwrap();
    assert_eq!(*rx.borrow_watched(), 3);
    assert!(poll(&mut pin!(rx.changed())).is_pending());
    tx.send(4).unwrap();
    drop(tx);
    now(rx.changed()).unwrap();
    assert!(now(rx.changed()).is_err());
}

#[test]
fn an_unread_answer_is_dropped_with_its_receiver() {
    struct Dropped(Rc<Cell<bool>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let seen = Rc::new(Cell::new(false));
    let (tx, rx) = LocalOneshot::channel();
    assert!(tx.send(Dropped(seen.clone())).is_ok());
    drop(rx);
    assert!(seen.get());
    let (tx, rx) = LocalOneshot::channel();
    drop(rx);
    assert_eq!(tx.send(5), Err(5));
}
