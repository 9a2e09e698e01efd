//! The executor of one thread: runs its tasks, and enters the kernel when there is nothing left to
//! run, or now and then. `executor` starts one on each core's thread.
//!
//! A turn runs what was ready when it began. Tasks that wake each other go on in the next turn, so
//! that one which always wakes itself keeps nobody from running; after eight such turns at the
//! latest the ring is looked at, too. Entering the kernel once submits all operations that gathered
//! and fetches all results.
//!
//! Wakers may be used by any thread. One that belongs to this executor costs a push to its queue; a
//! foreign one goes through a queue of its own, and wakes the thread only if it sleeps: executors
//! send each other a message through their rings, other threads write to an eventfd.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst, fence};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use async_task::{FallibleTask, Runnable};
use crossbeam::queue::SegQueue;
use io_uring::opcode;
use io_uring::types::Fd;
use rustix::event::{EventfdFlags, eventfd};
use slab::Slab;

use super::helper::Helper;
use super::ring::{Op, Ring};
use super::timer::Timers;

/// Turns between two looks at the ring while tasks are ready.
const TURNS: u32 = 8;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

/// What other threads see of an executor.
struct Gate {
    /// Tasks woken by other threads.
    woken: SegQueue<Runnable>,
    /// The thread sleeps, or is about to: whoever clears this wakes it.
    asleep: AtomicBool,
    /// Woken tasks have nobody left to run them.
    closed: AtomicBool,
    bell: OwnedFd,
    /// Where the ring takes messages, if it does.
    ring: Option<RawFd>,
}

impl Gate {
    fn schedule(self: &Arc<Self>, runnable: Runnable) {
        let foreign = CURRENT.try_with(|current| match &*current.borrow() {
            Some(local) if Arc::ptr_eq(&local.gate, self) => {
                local.ready.borrow_mut().push_back(runnable);
                None
            }
            _ => Some(runnable),
        });
        // A thread whose locals are gone has no executor: what it woke was dropped with them.
        let Ok(Some(runnable)) = foreign else { return };
        if self.closed.load(SeqCst) {
            // Its thread is ending, and only that thread could drop the task.
            std::mem::forget(runnable);
            return;
        }
        self.woken.push(runnable);
        self.wake();
    }

    /// Wakes the thread, if it sleeps. Call it after what it is to see was stored.
    fn wake(&self) {
        fence(SeqCst);
        if self.asleep.load(SeqCst) && self.asleep.swap(false, SeqCst) {
            self.ring_the_bell();
        }
    }

    fn ring_the_bell(&self) {
        let sent = CURRENT.try_with(|current| match (&*current.borrow(), self.ring) {
            (Some(local), Some(address)) if local.ring.address().is_some() => {
                local.ring.message(address);
                local.look_soon();
                true
            }
            _ => false,
        });
        if sent != Ok(true) {
            // It fails only when it is already rung many times over.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }
}

/// The waker of the future that an executor was started with.
struct Main {
    gate: Arc<Gate>,
    woken: AtomicBool,
}

impl Wake for Main {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, SeqCst);
        self.gate.wake();
    }
}

/// The executor of the calling thread, as its tasks see it.
pub(super) struct Local {
    pub(super) ring: Rc<Ring>,
    pub(super) timers: Timers,
    ready: RefCell<VecDeque<Runnable>>,
    /// Every task that has not ended, so that all can be dropped with the executor.
    tasks: RefCell<Slab<Waker>>,
    gate: Arc<Gate>,
    /// The ring is to be looked at after this turn.
    look: Cell<bool>,
    helper: OnceCell<Helper>,
    spin: Duration,
}

/// The executor of the calling thread.
///
/// # Panics
/// Outside of [`Executor::block_on`].
pub(super) fn current() -> Rc<Local> {
    try_current().expect("only tasks of an executor use its ring and timers")
}

/// The executor of the calling thread, if it runs one.
pub(super) fn try_current() -> Option<Rc<Local>> {
    CURRENT
        .try_with(|current| current.borrow().clone())
        .ok()
        .flatten()
}

impl Local {
    /// Has the ring looked at after this turn, whatever else is ready.
    pub(super) fn look_soon(&self) {
        self.look.set(true);
    }

    /// The thread for calls that block.
    pub(super) fn helper(&self) -> &Helper {
        self.helper.get_or_init(Helper::new)
    }

    fn spawn<T: 'static>(self: &Rc<Self>, future: impl Future<Output = T> + 'static) -> Handle<T> {
        let mut tasks = self.tasks.borrow_mut();
        let entry = tasks.vacant_entry();
        let listed = Listed {
            local: self.clone(),
            key: entry.key(),
        };
        let future = async move {
            let _listed = listed;
            future.await
        };
        let gate = self.gate.clone();
        let (runnable, task) = async_task::spawn_local(future, move |run| gate.schedule(run));
        entry.insert(runnable.waker());
        drop(tasks);
        runnable.schedule();
        Handle(Some(task.fallible()))
    }

    /// Runs tasks until `main`, whose waker is `waker`, is ready.
    fn run<T>(&self, mut main: Pin<&mut impl Future<Output = T>>, main_waker: &Arc<Main>) -> T {
        let waker = Waker::from(main_waker.clone());
        let mut cx = Context::from_waker(&waker);
        let mut bell = Bell::default();
        let mut turns = 0;
        loop {
            if main_waker.woken.swap(false, SeqCst)
                && let Poll::Ready(result) = main.as_mut().poll(&mut cx)
            {
                return result;
            }
            self.turn();
            turns += 1;
            let idle = || self.ready.borrow().is_empty() && !main_waker.woken.load(SeqCst);
            if turns < TURNS && !self.look.get() && !idle() {
                continue;
            }
            turns = 0;
            self.look.set(false);
            if idle() && self.gate.woken.is_empty() {
                self.park(&mut bell, main_waker);
            } else if self.ring.has_work() {
                self.ring.submit();
            }
            self.ring.reap();
            self.timers.fire();
        }
    }

    /// Runs what is ready now.
    fn turn(&self) {
        while let Some(runnable) = self.gate.woken.pop() {
            self.ready.borrow_mut().push_back(runnable);
        }
        let count = self.ready.borrow().len();
        for _ in 0..count {
            let next = self.ready.borrow_mut().pop_front();
            let Some(runnable) = next else { return };
            runnable.run();
        }
    }

    /// Sleeps until a completion, a wake-up or the next timer.
    fn park(&self, bell: &mut Bell, main: &Main) {
        let woken = || !self.gate.woken.is_empty() || main.woken.load(SeqCst);
        if !self.spin.is_zero() && self.spin_for(self.spin, woken) {
            return;
        }
        bell.arm(&self.ring, &self.gate.bell);
        self.gate.asleep.store(true, SeqCst);
        fence(SeqCst);
        if woken() {
            self.gate.asleep.store(false, SeqCst);
            return;
        }
        let timeout = self
            .timers
            .next()
            .map(|next| next.saturating_duration_since(Instant::now()));
        self.ring.wait(timeout);
        self.gate.asleep.store(false, SeqCst);
    }

    /// Looks for work for a while without sleeping; whether there is any.
    fn spin_for(&self, limit: Duration, woken: impl Fn() -> bool) -> bool {
        let begin = Instant::now();
        self.ring.submit();
        loop {
            if woken() || self.ring.has_results() {
                return true;
            }
            if self.ring.has_work() {
                self.ring.submit();
            }
            let now = Instant::now();
            let due = self.timers.next().is_some_and(|next| next <= now);
            if due || now.duration_since(begin) >= limit {
                return due;
            }
            std::hint::spin_loop();
        }
    }
}

/// The eventfd's read, which is renewed each time it was rung.
#[derive(Default)]
struct Bell {
    reading: Option<Op<Box<[u8; 8]>>>,
}

impl Bell {
    fn arm(&mut self, ring: &Rc<Ring>, fd: &OwnedFd) {
        if let Some(op) = &mut self.reading
            && Pin::new(op)
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        {
            return;
        }
        let mut heard = Box::new([0; 8]);
        let entry = opcode::Read::new(Fd(fd.as_raw_fd()), heard.as_mut_ptr(), 8).build();
        // SAFETY: the buffer is boxed and held by the operation; the descriptor belongs to the
        // gate, which the executor keeps, and with it this.
        self.reading = Some(unsafe { ring.start(entry, heard) });
    }
}

/// A task's place in the list of tasks, given back when the task ends.
struct Listed {
    local: Rc<Local>,
    key: usize,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let waker = self.local.tasks.borrow_mut().try_remove(self.key);
        drop(waker);
    }
}

/// Waits for a task; `None` if it was dropped with its executor. Dropping this lets it go on.
pub struct Handle<T>(Option<FallibleTask<T>>);

impl<T> Future for Handle<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match &mut self.0 {
            Some(task) => Pin::new(task).poll(cx),
            None => Poll::Ready(None),
        }
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}

impl<T> std::fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

/// Spawns a task on the calling thread's executor. It is scheduled, not polled inside the call,
/// and goes on when the handle is dropped.
pub(super) fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Handle<T> {
    current().spawn(future)
}

/// An executor, held by the thread that runs it.
pub struct Executor(Rc<Local>);

impl Executor {
    /// An executor for the calling thread, that looks for work for `spin` before it sleeps.
    ///
    /// # Errors
    /// When the kernel gives no ring or no descriptor.
    pub fn new(spin: Duration) -> io::Result<Self> {
        let ring = Rc::new(Ring::new()?);
        let bell = eventfd(0, EventfdFlags::CLOEXEC)?;
        let gate = Gate {
            woken: SegQueue::new(),
            asleep: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            bell,
            ring: ring.address(),
        };
        Ok(Self(Rc::new(Local {
            ring,
            timers: Timers::default(),
            ready: RefCell::default(),
            tasks: RefCell::default(),
            gate: Arc::new(gate),
            look: Cell::new(false),
            helper: OnceCell::new(),
            spin,
        })))
    }

    /// Runs `future` and all tasks spawned meanwhile, until `future` is ready.
    ///
    /// # Panics
    /// When a task does; the executor is of no use then. Inside of another executor.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let main = Arc::new(Main {
            gate: self.0.gate.clone(),
            woken: AtomicBool::new(true),
        });
        let _entered = Entered::new(self.0.clone());
        self.0.run(pin!(future), &main)
    }
}

impl Drop for Executor {
    /// Drops all tasks that are left.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let local = &self.0;
        let _entered = Entered::new(local.clone());
        while !local.tasks.borrow().is_empty() {
            let wakers: Vec<Waker> = local.tasks.borrow_mut().drain().collect();
            wakers.into_iter().for_each(Waker::wake);
            local.drop_ready();
        }
        local.gate.closed.store(true, SeqCst);
        local.drop_ready();
    }
}

impl Local {
    /// Drops woken tasks, and with each its future.
    fn drop_ready(&self) {
        loop {
            let foreign = self.gate.woken.pop();
            let next = foreign.or_else(|| self.ready.borrow_mut().pop_front());
            if next.is_none() {
                return;
            }
        }
    }
}

/// Makes an executor the thread's current one.
struct Entered;

impl Entered {
    fn new(local: Rc<Local>) -> Self {
        CURRENT.with(|current| {
            let before = current.borrow_mut().replace(local);
            assert!(before.is_none(), "a thread runs one executor at a time");
        });
        Self
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let local = CURRENT.with(|current| current.borrow_mut().take());
        // Outside of the borrow: its end may use the cell.
        drop(local);
    }
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Executor")
    }
}

#[cfg(test)]
mod tests;
