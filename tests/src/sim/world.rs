//! One simulated machine: the executor, the disk, the model, and the lives of the node on it. A
//! life boots, is audited, serves clients, and ends in a crash or in peace. `run` strings lives
//! together.

use std::cell::{Cell, RefCell};
use std::fmt;

use std::rc::Rc;

use engine::env::MemoryDisk;
use engine::format::superblock;

use crate::sim::audit;
use crate::sim::client::{self, Book};
use crate::sim::executor::Executor;
use crate::sim::faults::{self, Phase, SyncClass};
use crate::sim::node::{self, Shape, SimCore};
use crate::sim::raft_rt::{JoinHandle, spawn};
use crate::sim::random::{Random, Stream};
use crate::sim::workload::Workload;

/// Virtual time that one stage of a life may take.
const STAGE_NS: u64 = 3_600_000_000_000;

/// Why a life is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The armed crash was reached.
    Crashed,
    /// The process was killed; the disk keeps its power.
    Killed,
    /// Something went against the model, or the node failed by itself.
    Failed(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crashed => f.write_str("the node crashed"),
            Self::Killed => f.write_str("the node was killed"),
            Self::Failed(what) => f.write_str(what),
        }
    }
}

/// A machine.
pub struct World {
    /// Its tasks and its time.
    pub executor: Executor,
    /// Its disk.
    pub disk: MemoryDisk,
    /// What clients know.
    pub book: Book,
    phase: Rc<Phase>,
    seed: u64,
    life: u64,
    requests: u64,
    fate: RefCell<Random>,
    /// The executor's step at which the process is killed.
    kill_at: Cell<u64>,
    /// The disk's operation at which it is.
    kill_at_operation: Cell<u64>,
}

/// What a life serves.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// Clients that ask.
    pub clients: u64,
    /// Requests of each.
    pub requests: u64,
    /// Largest length of an ordinary value, bytes.
    pub value_bytes: u64,
}

impl World {
    /// A new machine with an empty disk.
    pub fn new(seed: u64) -> Self {
        let executor = Executor::new(seed);
        let mut disk = Random::new(seed, Stream::Disk);
        Self {
            executor,
            disk: MemoryDisk::new(disk.bits()),
            book: Book::new(),
            phase: Rc::default(),
            seed,
            life: 0,
            requests: 0,
            fate: RefCell::new(Random::new(seed, Stream::Fate)),
            kill_at: Cell::new(u64::MAX),
            kill_at_operation: Cell::new(u64::MAX),
        }
    }

    /// Breaks one promise of durability from now on.
    pub fn break_sync(&self, class: SyncClass, durable_writes: bool) {
        let filter = faults::breaking(class, durable_writes, self.phase.clone());
        self.disk.ignore_sync(filter);
    }

    /// Draws from the stream of crashes and restarts.
    pub fn fate<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.fate.borrow_mut())
    }

    /// Boots a node and audits it.
    ///
    /// # Errors
    /// It crashed on the way, did not boot, or does not hold what it should.
    pub fn boot(&mut self, shape: Shape) -> Result<Rc<Vec<SimCore>>, End> {
        self.life += 1;
        let files = self.disk.contents();
        let has_superblock = files.iter().any(|(path, _)| path == superblock::NAME);
        self.phase.begin_life(has_superblock);
        self.executor.set_life(self.life);
        let booting = spawn(node::boot(self.disk.clone(), shape));
        let booted = self.drive("booting", &[], booting)?;
        let cores =
            booted.map_err(|error| End::Failed(format!("the node did not boot: {error}")))?;
        let cores = Rc::new(cores);
        let observer = cores[cores.len() - 1].clone();
        drop(spawn(client::observe(observer, self.book.clone())));
        self.audit(&cores)?;
        Ok(cores)
    }

    /// Compares the node with the model.
    ///
    /// # Errors
    /// It crashed on the way, or does not hold what it should.
    pub fn audit(&self, cores: &Rc<Vec<SimCore>>) -> Result<(), End> {
        let random = Random::new(self.seed, Stream::Audit(self.life));
        let auditing = spawn(audit::audit(cores.clone(), self.book.clone(), random));
        self.drive("the audit", cores, auditing)?
            .map_err(End::Failed)
    }

    /// Serves clients until all have their answers.
    ///
    /// # Errors
    /// The node crashed on the way, or failed.
    pub fn serve(&mut self, cores: &Rc<Vec<SimCore>>, service: Service) -> Result<(), End> {
        let leases = self.book.with(|model| model.leases());
        let mut tasks: Vec<JoinHandle<()>> = Vec::new();
        for client in 0..service.clients {
            let random = Random::new(self.seed, Stream::Workload(self.life, client));
            let (first, leases) = (self.requests, leases.clone());
            let work = Workload::new(random, client, first, leases, service.value_bytes);
            let at = client as usize % cores.len();
            let asking =
                client::ask_all(cores.clone(), at, work, self.book.clone(), service.requests);
            tasks.push(spawn(asking));
            let random = Random::new(self.seed, Stream::Workload(self.life, client + 1000));
            let core = cores[(at + 1) % cores.len()].clone();
            tasks.push(spawn(client::watch_some(core, random, self.book.clone())));
        }
        self.requests += service.requests;
        let all = spawn(async move {
            for task in tasks {
                // It ends with this one if the node crashes.
                let _ = task.await;
            }
        });
        self.drive("serving", cores, all)
    }

    /// The power goes and comes back; no task of this life lives on.
    pub fn crash(&self) {
        self.executor.kill(self.life);
        self.disk.crash();
    }

    /// Has the process killed after so many steps; the power stays.
    pub fn kill_after(&self, steps: u64) {
        self.kill_at.set(self.executor.steps() + steps);
    }

    /// Has the process killed when this operation of the disk was asked for.
    pub fn kill_at_operation(&self, operation: u64) {
        self.kill_at_operation.set(operation);
    }

    /// Disarms what was armed and not reached: a boot that is let through meets no crash and no
    /// kill that was meant for one before.
    pub fn spare(&self) {
        self.kill_at.set(u64::MAX);
        self.kill_at_operation.set(u64::MAX);
        self.disk.crash_at(u64::MAX);
    }

    /// The process is gone: what it asked of the disk is still done, as a kernel does.
    pub fn kill(&self) {
        self.kill_at.set(u64::MAX);
        self.kill_at_operation.set(u64::MAX);
        self.executor.kill(self.life);
        while self.disk.step() {}
    }

    fn drive<T>(&self, what: &str, cores: &[SimCore], task: JoinHandle<T>) -> Result<T, End> {
        let began = self.executor.now_ns();
        loop {
            if self.disk.is_frozen() {
                self.last_breath();
                return Err(self.book.failure().map_or(End::Crashed, End::Failed));
            }
            if self.executor.steps() >= self.kill_at.get()
                || self.disk.operations() >= self.kill_at_operation.get()
            {
                return Err(self.book.failure().map_or(End::Killed, End::Failed));
            }
            if let Some(output) = task.take() {
                let failed = self.book.failure().or_else(|| stopped(cores));
                return failed.map_or(Ok(output), |error| Err(End::Failed(error)));
            }
            if let Some(failure) = self.book.failure().or_else(|| stopped(cores)) {
                return Err(End::Failed(failure));
            }
            if !self.executor.step(Some(&self.disk)) {
                return Err(End::Failed(format!("{what}: nothing will happen any more")));
            }
            if self.executor.now_ns() - began > STAGE_NS {
                return Err(End::Failed(format!("{what}: no end in an hour")));
            }
        }
    }

    /// The disk has stopped: what was done may or may not still be told before the rest stops.
    fn last_breath(&self) {
        let steps = self.fate(|fate| if fate.one_in(2) { 0 } else { fate.below(300) });
        for _ in 0..steps {
            self.executor.step(Some(&self.disk));
        }
    }
}

/// Why a core gave up, if one did.
fn stopped(cores: &[SimCore]) -> Option<String> {
    let stopped = cores.iter().find_map(|core| core.desk().stopped());
    stopped.map(|error| format!("the node stopped: {error}"))
}
