//! Channels between tasks of one core, in the shapes openraft asks of a runtime: bounded queue,
//! watched value, one-shot and lock. Plain `Rc` and `Cell`: they need no runtime, so the real and
//! the simulated one share them. Both name them in their `AsyncRuntime`.
//!
//! Waiters are woken in the order they came, so that the same run gives the same trace. A wake
//! only marks a task as runnable, it never runs one, so no state is borrowed while it happens.

mod mpsc;
mod mutex;
mod oneshot;
mod turns;
mod watch;

pub use mpsc::{LocalMpsc, MpscReceiver, MpscSender, MpscWeakSender};
pub use mutex::{LocalMutex, MutexGuard};
pub use oneshot::{LocalOneshot, OneshotReceiver, OneshotSender, SenderDropped};
pub use watch::{LocalWatch, WatchReceiver, WatchSender};

#[cfg(test)]
mod tests;
