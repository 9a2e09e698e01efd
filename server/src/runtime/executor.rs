//! Starts one executor thread per core, checks beforehand that the machine allows it, and tells
//! the process when one of them ends. `boot` calls it, as do tests and benches.
//!
//! A panic in a task ends its executor; the other cores cannot go on without it, so
//! [`Executors::wait`] reports the first that ends and why.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use engine::ids::CoreId;
use rustix::process::{Resource, getrlimit};
use rustix::thread::CpuSet;

use super::local::{self, Executor, Handle};
use super::ring::Ring;

/// Locked memory that is enough for a ring of a kernel that charges rings to that limit, bytes.
const LOCKED_MEMORY_BYTES: u64 = 512 << 10;

/// Which CPUs the executors run on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pinning {
    /// One CPU each if the node has exactly as many cores as it may use CPUs, else none: several
    /// nodes of one machine must not meet on its first CPUs.
    #[default]
    Auto,
    /// The scheduler decides.
    Unbound,
    /// These CPUs, one per core.
    Cpus(Vec<usize>),
}

/// How to run the executors.
#[derive(Clone, Debug)]
pub struct ExecutorConfig {
    /// Number of cores, at least 1.
    pub cores: u16,
    /// Where they run.
    pub pinning: Pinning,
    /// How long an idle executor looks for work before it sleeps. 0 saves CPU; 100 us brings the
    /// round trip between busy cores from about 80 us to 15 us, for a CPU that never rests.
    pub spin_before_park: Duration,
}

impl ExecutorConfig {
    /// `cores` executors that do not spin, pinned where that is safe.
    pub fn new(cores: u16) -> Self {
        Self {
            cores,
            pinning: Pinning::Auto,
            spin_before_park: Duration::ZERO,
        }
    }
}

/// Why the executors cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// `RLIMIT_MEMLOCK` is too low for io_uring.
    #[error(
        "only {have} bytes of memory may be locked and io_uring needs {need}: raise it with \
         `ulimit -l`, LimitMEMLOCK= in the systemd unit, or the container's memlock ulimit"
    )]
    LockedMemory {
        /// The soft limit, bytes.
        have: u64,
        /// The least that works, bytes.
        need: u64,
    },
    /// The kernel or a sandbox refuses io_uring.
    #[error("io_uring cannot be used here: {0}")]
    IoUringForbidden(String),
    /// The CPU list does not fit.
    #[error("{0}")]
    Cpus(String),
    /// An executor did not start.
    #[error("the executor of core {core} did not start: {why}")]
    Start {
        /// The core.
        core: CoreId,
        /// What the runtime said.
        why: String,
    },
}

/// How an executor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its body returned.
    Returned,
    /// A task panicked, with this message.
    Panicked(String),
}

/// One executor has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreExit {
    /// Which.
    pub core: CoreId,
    /// Why.
    pub ending: Ending,
}

impl fmt::Display for CoreExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ending {
            Ending::Returned => write!(f, "core {} ended", self.core),
            Ending::Panicked(why) => write!(f, "core {} panicked: {why}", self.core),
        }
    }
}

/// The running executors.
#[derive(Debug)]
pub struct Executors {
    exits: Receiver<CoreExit>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// Checks that executors can run here, before anything is opened or bound.
///
/// # Errors
/// [`RuntimeError::LockedMemory`] or [`RuntimeError::IoUringForbidden`], with what to change.
pub fn probe() -> Result<(), RuntimeError> {
    Ring::new()
        .map(drop)
        .map_err(|e| no_ring(&e, locked_memory_bytes()))
}

/// Why there is no ring. Kernels before 5.12 charge a ring's memory to the limit on locked memory.
fn no_ring(error: &io::Error, locked: u64) -> RuntimeError {
    if error.raw_os_error() == Some(libc::ENOMEM) && locked < LOCKED_MEMORY_BYTES {
        return RuntimeError::LockedMemory {
            have: locked,
            need: LOCKED_MEMORY_BYTES,
        };
    }
    RuntimeError::IoUringForbidden(why_no_ring(error, &ring_switch()))
}

/// Starts `config.cores` executors. Executor i runs `body(core i, inputs[i])` and ends with it.
///
/// # Errors
/// What [`probe`] finds, a CPU list that does not fit, or an executor that does not start.
///
/// # Panics
/// When the number of inputs is not the number of cores.
pub fn start<I, F, Fut>(
    config: &ExecutorConfig,
    inputs: Vec<I>,
    body: F,
) -> Result<Executors, RuntimeError>
where
    I: Send + 'static,
    F: Fn(CoreId, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    assert_eq!(
        inputs.len(),
        usize::from(config.cores),
        "one input per core"
    );
    probe()?;
    let cpus = cpus(config)?;
    let body = Arc::new(body);
    let (exit, exits) = channel();
    let (started, starts) = channel();
    let mut threads = Vec::with_capacity(inputs.len());
    for ((i, input), cpu) in inputs.into_iter().enumerate().zip(cpus) {
        let core = CoreId(i as u16);
        let (body, exit, started) = (body.clone(), exit.clone(), started.clone());
        let spin = config.spin_before_park;
        let thread = thread::Builder::new()
            .name(format!("stoa-core-{i}"))
            .spawn(move || {
                let made = || executor_on(cpu, spin);
                run_core(core, made, &started, &exit, move || body(core, input));
            })
            .map_err(|e| RuntimeError::Start {
                core,
                why: e.to_string(),
            })?;
        threads.push(thread);
    }
    drop(started);
    // Each executor reports once, and keeps its end of the channel while it runs.
    for result in starts.iter().take(threads.len()) {
        result?;
    }
    Ok(Executors { exits, threads })
}

impl Executors {
    /// Blocks until an executor ends; `None` when all have. A panic, or an end nobody asked for,
    /// means that the process has to stop.
    pub fn wait(&self) -> Option<CoreExit> {
        self.exits.recv().ok()
    }

    /// As [`Executors::wait`], for at most `limit`.
    pub fn wait_timeout(&self, limit: Duration) -> Option<CoreExit> {
        self.exits.recv_timeout(limit).ok()
    }

    /// Waits for all and says how those ended that were not reported before.
    pub fn join(self) -> Vec<CoreExit> {
        let exits = self.exits.iter().collect();
        for thread in self.threads {
            // Its ending came over the channel; nothing else can have gone wrong.
            let _ = thread.join();
        }
        exits
    }
}

/// Spawns a task of this core that is scheduled, not polled inside the call, and that goes on when
/// the handle is dropped.
pub fn spawn_scheduled<T: 'static>(future: impl Future<Output = T> + 'static) -> Handle<T> {
    local::spawn(future)
}

/// Lets every other runnable task of this core go first.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Lets every other runnable task go first, and then has the executor look at its ring: what
/// sockets and files have to say comes through. For the steps of background work. After
/// [`yield_now`] alone the ring is looked at only now and then while tasks are ready.
pub async fn yield_to_io() {
    local::current().look_soon();
    yield_now().await;
}

/// The executor of this thread, on its CPU.
fn executor_on(cpu: Option<usize>, spin: Duration) -> io::Result<Executor> {
    if let Some(cpu) = cpu {
        let mut only = CpuSet::new();
        only.set(cpu);
        rustix::thread::sched_setaffinity(None, &only)?;
    }
    Executor::new(spin)
}

fn run_core<Fut: Future<Output = ()> + 'static>(
    core: CoreId,
    executor: impl FnOnce() -> io::Result<Executor>,
    started: &Sender<Result<(), RuntimeError>>,
    exit: &Sender<CoreExit>,
    body: impl FnOnce() -> Fut,
) {
    let executor = match executor() {
        Ok(executor) => executor,
        Err(e) => {
            let why = e.to_string();
            let _ = started.send(Err(RuntimeError::Start { core, why }));
            return;
        }
    };
    let _ = started.send(Ok(()));
    let ending = run_body(executor, body);
    // Nobody listening means that the process is already ending.
    let _ = exit.send(CoreExit { core, ending });
}

fn run_body<Fut: Future<Output = ()> + 'static>(
    executor: Executor,
    body: impl FnOnce() -> Fut,
) -> Ending {
    let run = AssertUnwindSafe(|| executor.block_on(async { body().await }));
    match catch_unwind(run) {
        Ok(()) => Ending::Returned,
        Err(panic) => {
            // Its tasks are in an unknown state: dropping them could panic again and abort the
            // process before the first reason is told.
            std::mem::forget(executor);
            Ending::Panicked(panic_text(panic.as_ref()))
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return (*text).to_string();
    }
    panic
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_else(|| "no message".to_string())
}

/// A CPU for each core, or none.
fn cpus(config: &ExecutorConfig) -> Result<Vec<Option<usize>>, RuntimeError> {
    let cores = usize::from(config.cores);
    if cores == 0 {
        return Err(RuntimeError::Cpus(
            "a node needs at least one core".to_string(),
        ));
    }
    let allowed = allowed_cpus();
    let cpus = match &config.pinning {
        Pinning::Cpus(cpus) => cpus.clone(),
        Pinning::Auto if allowed.len() == cores => allowed.clone(),
        Pinning::Auto | Pinning::Unbound => return Ok(vec![None; cores]),
    };
    if cpus.len() != cores {
        let given = cpus.len();
        return Err(RuntimeError::Cpus(format!(
            "{given} CPUs are listed for {cores} cores"
        )));
    }
    if let Some(cpu) = cpus.iter().find(|cpu| !allowed.contains(cpu)) {
        let text = format!("CPU {cpu} is listed, but this process may use only {allowed:?}");
        return Err(RuntimeError::Cpus(text));
    }
    Ok(cpus.into_iter().map(Some).collect())
}

/// CPUs that this process may run on; empty if the kernel does not say.
fn allowed_cpus() -> Vec<usize> {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU)
            .filter(|cpu| set.is_set(*cpu))
            .collect(),
        Err(_) => Vec::new(),
    }
}

fn locked_memory_bytes() -> u64 {
    getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX)
}

/// The sysctl that switches io_uring off, or nothing where the kernel has none.
fn ring_switch() -> String {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default()
}

fn why_no_ring(error: &io::Error, switch: &str) -> String {
    let switch = switch.trim();
    match error.raw_os_error() {
        Some(libc::EPERM) if matches!(switch, "1" | "2") => format!(
            "the sysctl kernel.io_uring_disabled is {switch}; set it to 0, or to 1 with \
             kernel.io_uring_group naming a group of this process"
        ),
        Some(libc::EPERM) => "a sandbox forbids it (EPERM); allow io_uring_setup, \
             io_uring_enter and io_uring_register in the container's seccomp profile"
            .to_string(),
        Some(libc::ENOSYS) => {
            "this kernel has none (ENOSYS); 5.11 is the oldest that will do, and \
             a sandbox may answer the same"
                .to_string()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
