//! Sees a core that stopped turning: a plain thread beside the executors. `boot` starts it, spawns
//! a [`Pulse`] on every core and gives the handler that ends the node; metrics read the counters.
//!
//! Every core bumps a counter of its own from a timer. That timer alone bounds how long an executor
//! can sleep over runnable work, a known fault of the runtime, to one period. A core whose counter
//! stands still for [`WatchdogConfig::stall_checks`] checks is woken from outside and counted; one
//! that stays still for [`WatchdogConfig::give_up_checks`] is handed to the handler. Checks are
//! counted, not time, so that a machine that was suspended does not look like stalled cores.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crossbeam::utils::CachePadded;
use engine::ids::CoreId;
use futures::FutureExt;
use futures::task::AtomicWaker;

use super::timer::Sleep;

/// How patient the watchdog is.
#[derive(Clone, Copy, Debug)]
pub struct WatchdogConfig {
    /// How often every core bumps its counter.
    pub pulse: Duration,
    /// How often the watchdog looks.
    pub check: Duration,
    /// Checks without a pulse after which a core counts as stalled and is woken. At least 1.
    pub stall_checks: u32,
    /// Checks without a pulse after which the handler is called.
    pub give_up_checks: u32,
}

impl Default for WatchdogConfig {
    /// Stalled after 1 s, given up after 60 s.
    fn default() -> Self {
        Self {
            pulse: Duration::from_millis(100),
            check: Duration::from_millis(500),
            stall_checks: 2,
            give_up_checks: 120,
        }
    }
}

/// One core's counters.
#[derive(Default)]
struct Heart {
    beats: AtomicU64,
    stalls: AtomicU64,
    task: AtomicWaker,
}

/// The core's part: a task that shows that the core is turning.
pub struct Pulse {
    hearts: Arc<[CachePadded<Heart>]>,
    core: CoreId,
    period: Duration,
}

/// The watching thread; it ends when this is dropped.
#[derive(Debug)]
pub struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Reads the counters, for metrics. Clones share them.
#[derive(Clone)]
pub struct StallCounts(Arc<[CachePadded<Heart>]>);

impl StallCounts {
    /// How often the core was found stalled since the start.
    pub fn stalls(&self, core: CoreId) -> u64 {
        self.0
            .get(usize::from(core.0))
            .map_or(0, |heart| heart.stalls.load(Ordering::Relaxed))
    }

    /// How often the core has bumped its counter.
    pub fn beats(&self, core: CoreId) -> u64 {
        self.0
            .get(usize::from(core.0))
            .map_or(0, |heart| heart.beats.load(Ordering::Relaxed))
    }
}

/// Starts watching `cores` cores. A core is watched from the first beat of its [`Pulse`] on.
/// `give_up` is called once per core, on the watching thread, with the core and how often it
/// was checked in vain.
///
/// # Errors
/// When the thread cannot be started.
pub fn watch(
    config: WatchdogConfig,
    cores: u16,
    give_up: impl FnMut(CoreId, u32) + Send + 'static,
) -> std::io::Result<(Watchdog, Vec<Pulse>, StallCounts)> {
    let hearts: Arc<[CachePadded<Heart>]> = (0..cores).map(|_| CachePadded::default()).collect();
    let (stop, stopped) = channel::<()>();
    let watched = hearts.clone();
    let thread = thread::Builder::new()
        .name("stoa-watchdog".to_string())
        .spawn(move || {
            let mut round = Round::new(config, watched, give_up);
            while stopped.recv_timeout(config.check) == Err(RecvTimeoutError::Timeout) {
                round.check();
            }
        })?;
    let pulse = |core| Pulse {
        hearts: hearts.clone(),
        core: CoreId(core),
        period: config.pulse,
    };
    let pulses = (0..cores).map(pulse).collect();
    let watchdog = Watchdog {
        stop: Some(stop),
        thread: Some(thread),
    };
    Ok((watchdog, pulses, StallCounts(hearts)))
}

impl Pulse {
    /// Beats for ever. Spawn it on its core; dropping the task unwatches nothing, so let it live
    /// as long as the watchdog.
    pub async fn run(self) {
        let heart = &self.hearts[usize::from(self.core.0)];
        loop {
            heart.beats.fetch_add(1, Ordering::Relaxed);
            let mut timer = Sleep::new(self.period);
            poll_fn(|cx| {
                heart.task.register(cx.waker());
                timer.poll_unpin(cx).map(|_| ())
            })
            .await;
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        // A waker belongs to its executor: no other thread may be left with the last one.
        self.hearts[usize::from(self.core.0)].task.take();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It panics only if the handler did, and then that was already told.
            let _ = thread.join();
        }
    }
}

/// What the watching thread knows between two looks.
struct Round<F> {
    config: WatchdogConfig,
    hearts: Arc<[CachePadded<Heart>]>,
    /// Per core: the last count seen, and how many looks it has been standing.
    seen: Vec<(u64, u32)>,
    give_up: F,
}

impl<F: FnMut(CoreId, u32)> Round<F> {
    fn new(config: WatchdogConfig, hearts: Arc<[CachePadded<Heart>]>, give_up: F) -> Self {
        let seen = vec![(0, 0); hearts.len()];
        Self {
            config,
            hearts,
            seen,
            give_up,
        }
    }

    fn check(&mut self) {
        for (i, heart) in self.hearts.iter().enumerate() {
            let beats = heart.beats.load(Ordering::Relaxed);
            let (last, standing) = &mut self.seen[i];
            if beats != *last || beats == 0 {
                (*last, *standing) = (beats, 0);
                continue;
            }
            *standing += 1;
            if *standing == self.config.stall_checks {
                heart.stalls.fetch_add(1, Ordering::Relaxed);
            }
            if *standing >= self.config.stall_checks {
                heart.task.wake();
            }
            if *standing == self.config.give_up_checks {
                (self.give_up)(CoreId(i as u16), *standing);
            }
        }
    }
}

impl std::fmt::Debug for Pulse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pulse")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for StallCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(
                self.0
                    .iter()
                    .map(|heart| heart.stalls.load(Ordering::Relaxed)),
            )
            .finish()
    }
}

#[cfg(test)]
mod tests;
