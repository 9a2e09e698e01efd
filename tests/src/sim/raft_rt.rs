//! openraft's runtime on the simulated executor. The engine takes it as `Env::Runtime`.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use engine::env::channels::{LocalMpsc, LocalMutex, LocalOneshot, LocalWatch};
use openraft::AsyncRuntime;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::sim::executor::{self, Executor, Inner};

/// The runtime type of the engine in the simulator.
pub struct SimRuntime {
    executor: Executor,
}

impl fmt::Debug for SimRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimRuntime")
    }
}

/// A task ended without a result: its node crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskGone;

impl fmt::Display for TaskGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task's node crashed")
    }
}

/// The time given for something is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

/// Virtual time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SimInstant(u64);

impl fmt::Debug for SimInstant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ns", self.0)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

impl Add<Duration> for SimInstant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(nanos(rhs)))
    }
}

impl AddAssign<Duration> for SimInstant {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub<Duration> for SimInstant {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(rhs)))
    }
}

impl Sub for SimInstant {
    type Output = Duration;

    fn sub(self, rhs: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(rhs.0))
    }
}

impl SubAssign<Duration> for SimInstant {
    fn sub_assign(&mut self, rhs: Duration) {
        *self = *self - rhs;
    }
}

impl openraft_rt::Instant for SimInstant {
    fn now() -> Self {
        Self(executor::current().now_ns())
    }
}

/// Waits for a point in virtual time.
pub struct Sleep {
    deadline_ns: u64,
    timer: Option<(u64, u64)>,
    executor: Weak<Inner>,
}

impl Sleep {
    fn until(deadline_ns: u64) -> Self {
        Self {
            deadline_ns,
            timer: None,
            executor: Rc::downgrade(&executor::current()),
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(executor) = self.executor.upgrade() else {
            return Poll::Pending;
        };
        if let Some(timer) = self.timer.take() {
            executor.cancel_timer(timer);
        }
        if executor.now_ns() >= self.deadline_ns {
            return Poll::Ready(());
        }
        self.timer = Some(executor.add_timer(self.deadline_ns, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((timer, executor)) = self.timer.take().zip(self.executor.upgrade()) {
            executor.cancel_timer(timer);
        }
    }
}

/// A future with a limit on its time.
pub struct Timeout<F> {
    future: Pin<Box<F>>,
    sleep: Sleep,
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        pin!(&mut self.sleep).poll(cx).map(|()| Err(Elapsed))
    }
}

/// What a task leaves for whoever waits for it.
struct Left<T> {
    output: Option<T>,
    over: bool,
    waker: Option<Waker>,
}

/// Waits for a spawned task; dropping it lets the task go on.
pub struct JoinHandle<T>(Rc<RefCell<Left<T>>>);

impl<T> JoinHandle<T> {
    /// The task's result, if it is over.
    pub fn take(&self) -> Option<T> {
        self.0.borrow_mut().output.take()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, TaskGone>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut left = self.0.borrow_mut();
        if let Some(output) = left.output.take() {
            return Poll::Ready(Ok(output));
        }
        if left.over {
            return Poll::Ready(Err(TaskGone));
        }
        left.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Tells the waiting task when this one ends, whichever way.
struct Ending<T>(Rc<RefCell<Left<T>>>);

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        let waker = {
            let mut left = self.0.borrow_mut();
            left.over = true;
            left.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Starts a task of the present life.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let left = Rc::new(RefCell::new(Left {
        output: None,
        over: false,
        waker: None,
    }));
    let ending = Ending(left.clone());
    executor::current().spawn(async move {
        let output = future.await;
        ending.0.borrow_mut().output = Some(output);
    });
    JoinHandle(left)
}

/// Whether the future of `block_on` was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl AsyncRuntime for SimRuntime {
    type JoinError = TaskGone;
    type JoinHandle<T: 'static> = JoinHandle<T>;
    type Sleep = Sleep;
    type Instant = SimInstant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R>> = Timeout<T>;
    type ThreadLocalRng = SmallRng;
    type Mpsc = LocalMpsc;
    type Watch = LocalWatch;
    type Oneshot = LocalOneshot;
    type Mutex<T: 'static> = LocalMutex<T>;

    fn spawn<T>(future: T) -> JoinHandle<T::Output>
    where
        T: Future + 'static,
        T::Output: 'static,
    {
        spawn(future)
    }

    fn sleep(duration: Duration) -> Sleep {
        Sleep::until(executor::current().now_ns().saturating_add(nanos(duration)))
    }

    fn sleep_until(deadline: SimInstant) -> Sleep {
        Sleep::until(deadline.0)
    }

    fn timeout<R, F: Future<Output = R>>(duration: Duration, future: F) -> Timeout<F> {
        Timeout {
            future: Box::pin(future),
            sleep: Self::sleep(duration),
        }
    }

    fn timeout_at<R, F: Future<Output = R>>(deadline: SimInstant, future: F) -> Timeout<F> {
        Timeout {
            future: Box::pin(future),
            sleep: Self::sleep_until(deadline),
        }
    }

    fn is_panic(_: &TaskGone) -> bool {
        false
    }

    fn thread_rng() -> SmallRng {
        SmallRng::seed_from_u64(executor::current().entropy())
    }

    fn new(_threads: usize) -> Self {
        Self {
            executor: Executor::new(0),
        }
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        let mut future = pin!(future);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(woken.clone());
        loop {
            if woken.0.swap(false, Ordering::Relaxed)
                && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return output;
            }
            if !self.executor.step(None) {
                // Only another thread can wake anything now.
                std::thread::yield_now();
            }
        }
    }
}

#[cfg(test)]
mod tests;
