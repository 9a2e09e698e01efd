//! openraft's runtime on this executor: tasks, timers and the channels of one core. The engine
//! takes it as `Env::Runtime`; nothing else calls it.
//!
//! A spawned task is scheduled, not run inside `spawn`, and goes on when its handle is dropped. A
//! panic in a task ends its executor, and `executor` reports that to the process, so a join
//! error is seen only on the way down.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use engine::env::channels::{LocalMpsc, LocalMutex, LocalOneshot, LocalWatch};
use openraft::AsyncRuntime;
use rand::rngs::ThreadRng;

use super::local::{self, Executor, Handle};
pub use super::timer::Sleep;

/// The runtime type of the engine on a real node.
#[derive(Debug)]
pub struct CoreRuntime {
    /// For `block_on` in tests; the node's executors are started by `executor`.
    executor: Executor,
}

/// A task ended without a result: it panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task of this core panicked")]
pub struct TaskPanicked;

/// The time given for something is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

/// Waits for a spawned task; dropping it lets the task go on.
pub struct JoinHandle<T>(Handle<T>);

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinHandle")
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, TaskPanicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|output| output.ok_or(TaskPanicked))
    }
}

/// A future with a limit on its time.
#[derive(Debug)]
pub struct Timeout<F> {
    future: F,
    sleep: Sleep,
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: `future` is pinned with `self` and never moved; the type has no `Drop` of its
        // own and is `Unpin` only if `F` is.
        let future = unsafe { self.as_mut().map_unchecked_mut(|this| &mut this.future) };
        if let Poll::Ready(output) = future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        // SAFETY: `sleep` is `Unpin`; a plain reference to it moves nothing of `future`.
        let sleep = unsafe { &mut self.get_unchecked_mut().sleep };
        ready!(Pin::new(sleep).poll(cx));
        Poll::Ready(Err(Elapsed))
    }
}

impl AsyncRuntime for CoreRuntime {
    type JoinError = TaskPanicked;
    type JoinHandle<T: 'static> = JoinHandle<T>;
    type Sleep = Sleep;
    type Instant = Instant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R>> = Timeout<T>;
    type ThreadLocalRng = ThreadRng;
    type Mpsc = LocalMpsc;
    type Watch = LocalWatch;
    type Oneshot = LocalOneshot;
    type Mutex<T: 'static> = LocalMutex<T>;

    fn spawn<T>(future: T) -> JoinHandle<T::Output>
    where
        T: Future + 'static,
        T::Output: 'static,
    {
        JoinHandle(local::spawn(future))
    }

    /// A sleep of no time lets the executor look at its ring, as `executor::yield_to_io` does.
    fn sleep(duration: Duration) -> Sleep {
        Sleep::new(duration)
    }

    fn sleep_until(deadline: Instant) -> Sleep {
        Sleep::until(deadline)
    }

    fn timeout<R, F: Future<Output = R>>(duration: Duration, future: F) -> Timeout<F> {
        Timeout {
            future,
            sleep: Self::sleep(duration),
        }
    }

    fn timeout_at<R, F: Future<Output = R>>(deadline: Instant, future: F) -> Timeout<F> {
        Timeout {
            future,
            sleep: Self::sleep_until(deadline),
        }
    }

    fn is_panic(_: &TaskPanicked) -> bool {
        true
    }

    fn thread_rng() -> ThreadRng {
        rand::rng()
    }

    fn new(_threads: usize) -> Self {
        let executor = Executor::new(Duration::ZERO)
            .expect("an executor of this thread, after the probes of `executor` passed");
        Self { executor }
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.executor.block_on(future)
    }
}

#[cfg(test)]
mod tests;
