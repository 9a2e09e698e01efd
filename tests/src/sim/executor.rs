//! One thread's tasks and timers: which task runs next is the seed's choice, time is virtual and
//! goes on by itself. Tasks belong to a life of the node, so that a crash drops exactly those.
//!
//! The executor lives in a thread-local, because openraft's runtime spawns and sleeps without a
//! handle. `raft_rt` and `clock` reach it there; `world` steps it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

use engine::env::MemoryDisk;

use crate::sim::random::{Random, Stream, mix};

/// Virtual nanoseconds at the start: far enough from zero that times before it exist.
const START_NS: u64 = 1_000_000_000_000;

/// Most nanoseconds that one step takes.
const STEP_NS: u64 = 4_000;

type Job = Pin<Box<dyn Future<Output = ()>>>;

/// Tasks that are ready to run.
type Ready = Arc<Mutex<Vec<u64>>>;

struct Task {
    life: u64,
    /// Taken out while it runs.
    job: Option<Job>,
    waker: Arc<TaskWaker>,
}

struct TaskWaker {
    id: u64,
    queued: AtomicBool,
    ready: Ready,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            ready.push(self.id);
        }
    }
}

/// What an executor holds.
pub struct Inner {
    ready: Ready,
    tasks: RefCell<BTreeMap<u64, Task>>,
    next_task: Cell<u64>,
    life: Cell<u64>,
    now_ns: Cell<u64>,
    timers: RefCell<BTreeMap<(u64, u64), Waker>>,
    next_timer: Cell<u64>,
    scheduling: RefCell<Random>,
    entropy: RefCell<Random>,
    trace: Cell<u64>,
    steps: Cell<u64>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Inner>>> = const { RefCell::new(None) };
}

/// The executor of this thread.
///
/// # Panics
/// There is none.
pub fn current() -> Rc<Inner> {
    let current = CURRENT.with(|current| current.borrow().clone());
    current.expect("an Executor lives in this thread")
}

/// The owner of this thread's executor; dropped, all tasks are.
pub struct Executor(Rc<Inner>);

impl Executor {
    /// Makes this thread's executor, in place of a former one.
    pub fn new(seed: u64) -> Self {
        let inner = Rc::new(Inner {
            ready: Ready::default(),
            tasks: RefCell::default(),
            next_task: Cell::new(0),
            life: Cell::new(0),
            now_ns: Cell::new(START_NS),
            timers: RefCell::default(),
            next_timer: Cell::new(0),
            scheduling: RefCell::new(Random::new(seed, Stream::Scheduling)),
            entropy: RefCell::new(Random::new(seed, Stream::Entropy)),
            trace: Cell::new(0),
            steps: Cell::new(0),
        });
        CURRENT.with(|current| *current.borrow_mut() = Some(inner.clone()));
        Self(inner)
    }
}

impl std::ops::Deref for Executor {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.0.drop_tasks(|_| true);
        let former = CURRENT.with(|current| {
            let mut current = current.borrow_mut();
            let own = current.as_ref().is_some_and(|it| Rc::ptr_eq(it, &self.0));
            if own { current.take() } else { None }
        });
        drop(former);
    }
}

impl Inner {
    /// Virtual time, nanoseconds.
    pub fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    /// A random number for the engine or openraft.
    pub fn entropy(&self) -> u64 {
        self.entropy.borrow_mut().bits()
    }

    /// A hash over every step so far: same seed, same trace.
    pub fn trace(&self) -> u64 {
        self.trace.get()
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// Tasks spawned from now on, by no task, belong to this life.
    pub fn set_life(&self, life: u64) {
        self.life.set(life);
    }

    /// Starts a task; it belongs to the life of the one that spawns it.
    pub fn spawn(&self, job: impl Future<Output = ()> + 'static) {
        let id = self.next_task.get();
        self.next_task.set(id + 1);
        let waker = Arc::new(TaskWaker {
            id,
            queued: AtomicBool::new(false),
            ready: self.ready.clone(),
        });
        let task = Task {
            life: self.life.get(),
            job: Some(Box::pin(job)),
            waker: waker.clone(),
        };
        self.tasks.borrow_mut().insert(id, task);
        waker.wake();
    }

    /// Drops all tasks of a life, as a crash does.
    pub fn kill(&self, life: u64) {
        self.drop_tasks(|of| of == life);
    }

    fn drop_tasks(&self, doomed: impl Fn(u64) -> bool) {
        let ids: Vec<u64> = {
            let tasks = self.tasks.borrow();
            let ids = tasks.iter().filter(|(_, task)| doomed(task.life));
            ids.map(|(id, _)| *id).collect()
        };
        for id in ids {
            // Dropping a task may wake others, and frees whatever it holds.
            let task = self.tasks.borrow_mut().remove(&id);
            drop(task);
        }
    }

    /// One step: a task runs, or the disk completes something, or time passes. False if nothing
    /// will ever happen by itself.
    pub fn step(&self, disk: Option<&MemoryDisk>) -> bool {
        self.steps.set(self.steps.get() + 1);
        let (passed, disk_first, jump) = {
            let mut scheduling = self.scheduling.borrow_mut();
            let passed = scheduling.below(STEP_NS);
            (passed, scheduling.one_in(4), scheduling.one_in(16))
        };
        self.pass(self.now_ns() + passed);
        if disk_first && disk.is_some_and(MemoryDisk::step) {
            self.note(1);
            return true;
        }
        if let Some(id) = self.choose() {
            self.note(id << 2 | 2);
            self.run(id);
            return true;
        }
        if jump && self.jump() {
            return true;
        }
        if disk.is_some_and(MemoryDisk::step) {
            self.note(1);
            return true;
        }
        self.jump()
    }

    /// Passes the time until the next timer.
    fn jump(&self) -> bool {
        let next = self.timers.borrow().keys().next().copied();
        let Some((at, _)) = next else { return false };
        self.pass(at.max(self.now_ns()));
        self.note(3);
        true
    }

    fn pass(&self, now_ns: u64) {
        self.now_ns.set(now_ns);
        loop {
            let due = {
                let mut timers = self.timers.borrow_mut();
                let first = timers.first_entry();
                first
                    .filter(|first| first.key().0 <= now_ns)
                    .map(|first| first.remove())
            };
            match due {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }

    fn choose(&self) -> Option<u64> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.is_empty() {
            return None;
        }
        let chosen = self.scheduling.borrow_mut().below(ready.len() as u64);
        Some(ready.swap_remove(chosen as usize))
    }

    fn run(&self, id: u64) {
        let (mut job, waker, life) = {
            let mut tasks = self.tasks.borrow_mut();
            // A task that was dropped may have been woken on the way.
            let Some(task) = tasks.get_mut(&id) else {
                return;
            };
            let Some(job) = task.job.take() else { return };
            (job, task.waker.clone(), task.life)
        };
        waker.queued.store(false, Ordering::Relaxed);
        let outer = self.life.replace(life);
        let waker = Waker::from(waker);
        let done = job
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready();
        let ended = {
            let mut tasks = self.tasks.borrow_mut();
            match tasks.get_mut(&id) {
                Some(task) if !done => {
                    task.job = Some(job);
                    None
                }
                _ => Some((job, tasks.remove(&id))),
            }
        };
        drop(ended);
        self.life.set(outer);
    }

    fn note(&self, what: u64) {
        self.trace
            .set(mix(self.trace.get() ^ mix(what) ^ self.now_ns()));
    }

    /// Enters a timer; returns its name for [`Inner::cancel_timer`].
    pub fn add_timer(&self, at_ns: u64, waker: Waker) -> (u64, u64) {
        let number = self.next_timer.get();
        self.next_timer.set(number + 1);
        self.timers.borrow_mut().insert((at_ns, number), waker);
        (at_ns, number)
    }

    /// Takes a timer out; fine if it is over.
    pub fn cancel_timer(&self, timer: (u64, u64)) {
        let waker = self.timers.borrow_mut().remove(&timer);
        drop(waker);
    }
}
