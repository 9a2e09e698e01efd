//! Waking from other threads, fairness, timers, and what is left when an executor ends.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use futures::channel::oneshot;

use super::*;
use crate::runtime::executor::yield_now;
use crate::runtime::tcp::CoalescedStream;
use crate::runtime::timer::Sleep;

fn executor() -> Executor {
    Executor::new(Duration::ZERO).unwrap()
}

/// Says when it is dropped.
struct Falling(Rc<Cell<u32>>);

impl Drop for Falling {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_sleeping_executor_is_woken_by_another_thread_every_time() {
    executor().block_on(async {
        let (ask, asked) = mpsc::channel::<oneshot::Sender<u32>>();
        let other = thread::spawn(move || {
            for (i, answer) in asked.iter().enumerate() {
                answer.send(i as u32).unwrap();
            }
        });
        for i in 0..5000 {
            let (answer, answered) = oneshot::channel();
            ask.send(answer).unwrap();
            assert_eq!(answered.await, Ok(i));
        }
        drop(ask);
        other.join().unwrap();
    });
}

#[test]
fn a_task_that_always_wakes_itself_holds_up_neither_tasks_nor_timers_nor_the_ring() {
    executor().block_on(async {
        let stop = Rc::new(Cell::new(false));
        let stopped = stop.clone();
        let busy = spawn(async move {
            while !stopped.get() {
                yield_now().await;
            }
        });
        spawn(async {}).await.unwrap();
        Sleep::new(Duration::from_millis(1)).await;
        current().helper().run(|| ()).await;
        stop.set(true);
        busy.await.unwrap();
    });
}

#[test]
fn timers_fire_in_order_and_a_dropped_one_does_not() {
    executor().block_on(async {
        let fired = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = [3u64, 1, 2, 0]
            .into_iter()
            .map(|number| {
                let fired = fired.clone();
                spawn(async move {
                    Sleep::new(Duration::from_millis(4 * number)).await;
                    fired.borrow_mut().push(number);
                })
            })
            .collect();
        let mut dropped = Box::pin(Sleep::new(Duration::from_millis(1)));
        assert!(futures::poll!(&mut dropped).is_pending());
        drop(dropped);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*fired.borrow(), [0, 1, 2, 3]);
        assert_eq!(current().timers.next(), None);
    });
}

#[test]
fn what_did_not_end_is_dropped_with_its_executor() {
    let fallen = Rc::new(Cell::new(0));
    let executor = executor();
    executor.block_on(async {
        for _ in 0..3 {
            let falling = Falling(fallen.clone());
            drop(spawn(async move {
                let _falling = falling;
                std::future::pending::<()>().await;
            }));
        }
        let falling = Falling(fallen.clone());
        drop(spawn(async move {
            let _falling = falling;
            Sleep::new(Duration::from_secs(3600)).await;
        }));
        yield_now().await;
    });
    assert_eq!(fallen.get(), 0);
    drop(executor);
    assert_eq!(fallen.get(), 4);
}

#[test]
fn a_waker_may_outlive_its_executor() {
    let (waker, wakers) = mpsc::channel();
    let executor = executor();
    executor.block_on(async {
        drop(spawn(std::future::poll_fn(move |cx| {
            waker.send(cx.waker().clone()).unwrap();
            Poll::<()>::Pending
        })));
        yield_now().await;
    });
    let left = wakers.recv().unwrap();
    drop(executor);
    thread::spawn(move || left.wake()).join().unwrap();
}

#[test]
fn a_dropped_stream_closes_its_socket_though_it_was_waited_for() {
    executor().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let mut ours = CoalescedStream::connect(addr).await.unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let mut byte = [0];
        let mut buf = tokio::io::ReadBuf::new(&mut byte);
        let poll = std::future::poll_fn(|cx| {
            let read = tokio::io::AsyncRead::poll_read(Pin::new(&mut ours), cx, &mut buf);
            Poll::Ready(read.is_pending())
        });
        assert!(poll.await, "there is nothing to read");
        yield_to_ring().await;
        drop(ours);
        let (seen, sees) = oneshot::channel();
        thread::spawn(move || seen.send(peer.read(&mut [0]).unwrap()).unwrap());
        assert_eq!(sees.await, Ok(0), "the end of the stream");
    });
}

async fn yield_to_ring() {
    crate::runtime::executor::yield_to_io().await;
}

#[test]
fn more_operations_than_the_ring_holds_all_complete() {
    executor().block_on(async {
        let (mut readers, mut writers) = (Vec::new(), Vec::new());
        for _ in 0..700 {
            let (reader, writer) = rustix::pipe::pipe().unwrap();
            readers.push(reader);
            writers.push(writer);
        }
        let ring = current().ring.clone();
        let waits: Vec<_> = readers
            .iter()
            .map(|fd| ring.ready(fd.as_raw_fd(), libc::POLLIN))
            .collect();
        yield_to_ring().await;
        for writer in &writers {
            rustix::io::write(writer, b"x").unwrap();
        }
        for (result, ()) in futures::future::join_all(waits).await {
            assert!(result.unwrap() & libc::POLLIN as u32 != 0);
        }
    });
}
