//! Round trips between two cores over the mailboxes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use engine::env::Mail;
use engine::ids::CoreId;
use server::runtime::executor::{ExecutorConfig, spawn_scheduled, start};
use server::runtime::mailbox::Mailboxes;
use server::runtime::timer::Sleep;

use super::{Row, cpu, histogram};

/// How the balls fly.
#[derive(Clone, Copy, Debug)]
pub struct Play {
    /// Balls in the air.
    pub balls: u64,
    /// Rest before each throw, so that both cores are parked; zero for none.
    pub rest: Duration,
    /// How long to play.
    pub length: Duration,
    /// `spin_before_park` of the executors.
    pub spin: Duration,
    /// How long a receiver lingers before its executor may park.
    pub linger: Duration,
}

/// The same game over `flume`, to compare: one channel per direction, a wake-up per message.
///
/// # Panics
/// When the executors do not start.
pub fn flume_round_trips(name: &str, play: Play) -> Row {
    let mut config = ExecutorConfig::new(2);
    config.spin_before_park = play.spin;
    let (result, results) = channel();
    let (there, thrown) = flume::bounded::<(u64, Instant)>(play.balls as usize + 1);
    let (back, returned) = flume::bounded(play.balls as usize + 1);
    let inputs = vec![(there, returned), (back, thrown)];
    let executors = start(&config, inputs, move |core, (tx, rx)| {
        let result = result.clone();
        async move {
            if core == CoreId(1) {
                while let Ok(ball) = rx.recv_async().await {
                    let _ = tx.send(ball);
                }
                return;
            }
            let mut latency = histogram();
            let (begin, cpu_before) = (Instant::now(), cpu::threads_ns(&["stoa-core"]));
            for ball in 0..play.balls {
                let _ = tx.send((ball, Instant::now()));
            }
            while begin.elapsed() < play.length {
                let Ok((ball, thrown)) = rx.recv_async().await else {
                    break;
                };
                latency.saturating_record(thrown.elapsed().as_nanos() as u64);
                if !play.rest.is_zero() {
                    Sleep::new(play.rest).await;
                }
                let _ = tx.send((ball, Instant::now()));
            }
            let cpu_ns = cpu::threads_ns(&["stoa-core"]) - cpu_before;
            result
                .send((begin.elapsed(), latency, cpu_ns))
                .expect("the bench waits");
        }
    })
    .expect("two executors");
    executors.join();
    let (elapsed, latency, cpu_ns) = results.recv().expect("core 0 measured");
    Row::new(name, elapsed, &latency, cpu_ns)
}

/// Plays and gives latency per round trip and CPU of both cores per round trip.
///
/// # Panics
/// When the executors do not start.
pub fn round_trips(name: &str, play: Play) -> Row {
    let mut config = ExecutorConfig::new(2);
    config.spin_before_park = play.spin;
    let (result, results) = channel();
    let mailboxes = Mailboxes::new::<(u64, Instant)>(2);
    let executors = start(&config, mailboxes, move |core, mailbox| {
        let result = result.clone();
        async move {
            let (post, mut letters) = mailbox.open();
            letters.linger(play.linger);
            let mut batch = Vec::new();
            if core == CoreId(1) {
                loop {
                    letters.receive(&mut batch).await;
                    for ball in batch.drain(..) {
                        if ball.0 == u64::MAX {
                            return;
                        }
                        post.send(CoreId(0), ball);
                    }
                }
            }
            let latency = Rc::new(RefCell::new(histogram()));
            let (begin, cpu_before) = (Instant::now(), cpu::threads_ns(&["stoa-core"]));
            for ball in 0..play.balls {
                post.send(CoreId(1), (ball, Instant::now()));
            }
            while begin.elapsed() < play.length {
                letters.receive(&mut batch).await;
                for (ball, thrown) in batch.drain(..) {
                    latency
                        .borrow_mut()
                        .saturating_record(thrown.elapsed().as_nanos() as u64);
                    let post = post.clone();
                    if play.rest.is_zero() {
                        post.send(CoreId(1), (ball, Instant::now()));
                    } else {
                        spawn_scheduled(async move {
                            Sleep::new(play.rest).await;
                            post.send(CoreId(1), (ball, Instant::now()));
                        });
                    }
                }
            }
            let cpu_ns = cpu::threads_ns(&["stoa-core"]) - cpu_before;
            let elapsed = begin.elapsed();
            post.send(CoreId(1), (u64::MAX, begin));
            result
                .send((elapsed, latency.replace(histogram()), cpu_ns))
                .expect("the bench waits");
        }
    })
    .expect("two executors");
    executors.join();
    let (elapsed, latency, cpu_ns) = results.recv().expect("core 0 measured");
    Row::new(name, elapsed, &latency, cpu_ns)
}
