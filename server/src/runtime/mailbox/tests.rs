//! Order, completeness and liveness of the mailboxes, with timers running on every core.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::time::Duration;

use super::*;
use crate::runtime::executor::{Ending, ExecutorConfig, start, yield_now};
use crate::runtime::timer::Sleep;

type Note = (CoreId, u64);

/// Runs `body` on every core of a node with mailboxes; fails if a core panicked.
fn on_cores<F, B>(cores: u16, body: B)
where
    F: Future<Output = ()> + 'static,
    B: Fn(CoreId, Post<Note>, Letters<Note>) -> F + Send + Sync + 'static,
{
    let mailboxes = Mailboxes::new::<Note>(cores);
    // The body runs inside the executor's task, where a mailbox can be opened.
    let body = Arc::new(body);
    let executors = start(
        &ExecutorConfig::new(cores),
        mailboxes,
        move |core, mailbox| {
            let body = body.clone();
            async move {
                let (post, letters) = mailbox.open();
                body(core, post, letters).await;
            }
        },
    )
    .unwrap();
    for exit in executors.join() {
        assert_eq!(exit.ending, Ending::Returned, "core {}", exit.core);
    }
}

#[test]
fn everything_arrives_once_and_in_order_from_every_core_to_every_core() {
    const EACH: u64 = 5000;
    const CORES: u16 = 3;
    on_cores(CORES, |core, post, mut letters| async move {
        spawn_scheduled(async move {
            for number in 0..EACH {
                for to in 0..CORES {
                    post.send(CoreId(to), (core, number));
                }
                if number % (7 + u64::from(core.0)) == 0 {
                    yield_now().await;
                }
            }
        });
        let mut next = [0; CORES as usize];
        let mut batch = Vec::new();
        while next.iter().any(|n| *n < EACH) {
            letters.receive(&mut batch).await;
            for (from, number) in batch.drain(..) {
                assert_eq!(number, next[usize::from(from.0)], "from core {from}");
                next[usize::from(from.0)] += 1;
            }
        }
    });
}

#[test]
fn what_is_sent_in_one_turn_arrives_as_one_batch() {
    on_cores(2, |core, post, mut letters| async move {
        let mut batch = Vec::new();
        if core == CoreId(0) {
            for number in 0..100 {
                post.send(CoreId(1), (core, number));
            }
            letters.receive(&mut batch).await;
        } else {
            letters.receive(&mut batch).await;
            assert_eq!(batch.len(), 100);
            post.send(CoreId(0), (core, 0));
        }
    });
}

#[test]
fn what_was_sent_before_the_last_handle_went_still_arrives() {
    on_cores(2, |core, post, mut letters| async move {
        if core == CoreId(0) {
            post.send(CoreId(1), (core, 42));
        } else {
            let mut batch = Vec::new();
            letters.receive(&mut batch).await;
            assert_eq!(batch, [(CoreId(0), 42)]);
        }
    });
}

#[test]
fn sending_never_runs_the_receiver() {
    on_cores(1, |core, post, mut letters| async move {
        let seen = Rc::new(Cell::new(0));
        let count = seen.clone();
        let receiver = spawn_scheduled(async move {
            let mut batch = Vec::new();
            letters.receive(&mut batch).await;
            count.set(batch.len());
        });
        yield_now().await;
        post.send(core, (core, 1));
        post.send(core, (core, 2));
        assert_eq!(seen.get(), 0);
        receiver.await.unwrap();
        assert_eq!(seen.get(), 2);
    });
}

/// Round trips between two cores with timers firing on both: an executor that parks with work
/// waiting shows here. `STOA_ROUND_TRIPS` sets another number; millions take minutes.
#[test]
fn round_trips_go_on_while_timers_fire() {
    let trips = std::env::var("STOA_ROUND_TRIPS")
        .ok()
        .and_then(|n| n.parse().ok());
    let trips: u64 = trips.unwrap_or(50_000);
    on_cores(2, move |core, post, mut letters| async move {
        for period_us in [50, 130, 1000] {
            spawn_scheduled(async move {
                loop {
                    Sleep::new(Duration::from_micros(period_us)).await;
                }
            });
        }
        let other = CoreId(1 - core.0);
        // Several balls in the air, so that cores meet each other busy, parked and in between.
        if core == CoreId(0) {
            for ball in 0..4 {
                post.send(other, (core, ball));
            }
        }
        let mut batch = Vec::new();
        let mut seen = 0;
        while seen < trips {
            letters.receive(&mut batch).await;
            for note in batch.drain(..) {
                seen += 1;
                post.send(other, note);
            }
        }
        // The other core may still need the balls to reach its own number.
        yield_now().await;
    });
}

#[test]
fn a_lingering_receiver_lets_other_tasks_run_and_still_waits_afterwards() {
    on_cores(2, |core, post, mut letters| async move {
        letters.linger(Duration::from_micros(20));
        let mut batch = Vec::new();
        if core == CoreId(0) {
            // Long after the other has stopped lingering.
            Sleep::new(Duration::from_millis(30)).await;
            post.send(CoreId(1), (core, 1));
            letters.receive(&mut batch).await;
            assert_eq!(batch, [(CoreId(1), 2)]);
        } else {
            letters.receive(&mut batch).await;
            assert_eq!(batch, [(CoreId(0), 1)]);
            spawn_scheduled(async move { post.send(CoreId(0), (core, 2)) })
                .await
                .unwrap();
        }
    });
}
