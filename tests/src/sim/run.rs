//! Whole runs from one seed: lives that end in crashes, one after the other, on one disk. The
//! cases and the program `sim` call [`run`]; `count` finds how many points of a crash there are.

use crate::sim::faults::SyncClass;
use crate::sim::node::Shape;
use crate::sim::world::{End, Service, World};

/// What to run. The same plan gives the same run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Lives with clients before the last audit.
    pub lives: u64,
    /// Crash in the first life at the disk operation of this number; `None` for the seed's choice.
    pub crash_at: Option<u64>,
    /// Kill the process there, and leave the disk its power.
    pub kill: bool,
    /// Crash while the second life boots, at its disk operation of this number.
    pub crash_boot_at: Option<u64>,
    /// A promise of durability to break.
    pub broken: Option<SyncClass>,
    /// What each life serves.
    pub service: Service,
}

impl Plan {
    /// A plan with several lives, all else from the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            lives: 4,
            crash_at: None,
            kill: false,
            crash_boot_at: None,
            broken: None,
            service: Service {
                clients: 4,
                requests: 30,
                value_bytes: 300,
            },
        }
    }
}

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// A hash over all that happened.
    pub trace: u64,
    /// Steps of the executor.
    pub steps: u64,
    /// Crashes.
    pub crashes: u64,
    /// Crashes while booting.
    pub boot_crashes: u64,
    /// Times the process was killed while the disk kept its power.
    pub kills: u64,
    /// Answers that clients got.
    pub answers: u64,
    /// The last settled revision.
    pub revision: i64,
    /// Operations of the disk that a crash could hit.
    pub operations: u64,
    /// Those of the first life.
    pub first_life: u64,
}

/// How a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The life it failed in, from 1.
    pub life: u64,
    /// How.
    pub what: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "in life {}: {}", self.life, self.what)
    }
}

/// Crashes in a row while booting, at most; then a boot is let through.
const BOOT_CRASHES_MAX: u64 = 4;

/// The node of a seed: most sizes are as small as the engine allows, so that everything that
/// happens seldom happens often.
pub fn shape(world: &World) -> Shape {
    let mut shape = world.fate(|fate| Shape {
        shards: [Some(3), Some(1), Some(4), None][fate.below(4) as usize],
        cores: fate.between(1, 3) as u16,
        lanes: u16::MAX,
        segment_bytes: [4, 8, 32][fate.below(3) as usize] * 4096,
        durable_writes: !fate.one_in(3),
        checkpoint_bytes: [16, 64, 256][fate.below(3) as usize] << 10,
        seal_bytes: [0, 2 << 10, 1 << 30][fate.below(3) as usize],
        staged_bytes_max: u64::MAX,
        page_cache_bytes: [0, 24 << 10, 3 << 20][fate.below(3) as usize],
    });
    // Where a few KiB are sealed soon, a few more have those who write wait.
    if shape.seal_bytes == 2 << 10 {
        shape.staged_bytes_max = 16 << 10;
    }
    shape
}

/// Runs the first life of a plan with a crash at every `stride`-th operation of the disk.
///
/// # Errors
/// The plan that failed, and how.
pub fn crash_everywhere(plan: &Plan, stride: usize) -> Result<u64, (Plan, Failure)> {
    let whole = Plan {
        crash_at: Some(u64::MAX),
        ..*plan
    };
    let summary = run(&whole).map_err(|failure| (whole, failure))?;
    let mut runs = 0;
    for operation in (1..=summary.first_life).step_by(stride) {
        let plan = Plan {
            crash_at: Some(operation),
            ..*plan
        };
        run(&plan).map_err(|failure| (plan, failure))?;
        runs += 1;
    }
    Ok(runs)
}

/// Runs a plan with a crash at every operation of the disk while the second life boots.
///
/// # Errors
/// The plan that failed, and how.
pub fn crash_every_boot(plan: &Plan) -> Result<u64, (Plan, Failure)> {
    for operation in 1.. {
        let plan = Plan {
            crash_boot_at: Some(operation),
            ..*plan
        };
        let summary = run(&plan).map_err(|failure| (plan, failure))?;
        if summary.boot_crashes == 0 {
            return Ok(operation - 1);
        }
    }
    Ok(0)
}

/// Runs a plan to its end.
///
/// # Errors
/// What went wrong; the plan shows it again.
pub fn run(plan: &Plan) -> Result<Summary, Failure> {
    let mut world = World::new(plan.seed);
    let mut shape = shape(&world);
    if let Some(class) = plan.broken {
        world.break_sync(class, shape.durable_writes);
    }
    let mut summary = Summary::default();
    for life in 1..=plan.lives + 1 {
        let is_last = life > plan.lives;
        let at = Arming { life, is_last };
        let failed = |what| Failure { life, what };
        // Some nodes have one log in every other life, and one for each core in those between.
        let one_log = plan.seed % 8 == 6 && life % 2 == 0;
        shape.lanes = if one_log { 1 } else { u16::MAX };
        let ended = live(&mut world, shape, plan, at, &mut summary);
        match ended {
            Ok(()) if is_last => {}
            Ok(()) | Err(End::Crashed) => {
                summary.crashes += 1;
                world.crash();
            }
            Err(End::Killed) => {
                summary.kills += 1;
                world.kill();
            }
            Err(End::Failed(what)) => return Err(failed(what)),
        }
        if life == 1 {
            summary.first_life = world.disk.operations();
        }
        if world.fate(|fate| fate.one_in(3)) {
            // A data directory opens with any number of cores.
            shape.cores = world.fate(|fate| fate.between(1, 4) as u16);
        }
    }
    summary.trace = world.executor.trace() ^ world.disk.trace();
    summary.steps = world.executor.steps();
    summary.operations = world.disk.operations();
    summary.answers = world.book.with(|model| model.answers());
    summary.revision = world.book.with(|model| model.shown_through());
    Ok(summary)
}

#[derive(Clone, Copy)]
struct Arming {
    life: u64,
    is_last: bool,
}

/// One life: boots, with crashes on the way if the plan or the seed says so, and serves.
fn live(
    world: &mut World,
    shape: Shape,
    plan: &Plan,
    at: Arming,
    summary: &mut Summary,
) -> Result<(), End> {
    let mut cores = None;
    for attempt in 0..=BOOT_CRASHES_MAX {
        arm_boot(world, plan, at, attempt);
        match world.boot(shape) {
            Ok(booted) => {
                cores = Some(booted);
                break;
            }
            Err(end @ (End::Crashed | End::Killed)) if at.life == 1 && plan.crash_at.is_some() => {
                return Err(end);
            }
            Err(End::Crashed) => {
                summary.boot_crashes += 1;
                world.crash();
            }
            Err(End::Killed) => {
                summary.kills += 1;
                world.kill();
            }
            Err(failed) => return Err(failed),
        }
    }
    let Some(cores) = cores else {
        return Err(End::Failed(
            "the boot that was let through crashed".to_owned(),
        ));
    };
    if at.is_last {
        world.serve(
            &cores,
            Service {
                requests: plan.service.requests / 4,
                ..plan.service
            },
        )?;
        return world.audit(&cores);
    }
    if plan.crash_at.is_none() {
        // Somewhere in what this life will do, or behind it.
        match world.fate(|fate| fate.below(8)) {
            0 => {}
            1 | 2 => world.kill_after(world.fate(|fate| fate.below(4000))),
            _ => {
                let soon = world.fate(|fate| fate.between(1, 40 + plan.service.requests * 16));
                world.disk.crash_at(world.disk.operations() + soon);
            }
        }
    }
    world.serve(&cores, plan.service)?;
    world.audit(&cores)
}

fn arm_boot(world: &World, plan: &Plan, at: Arming, attempt: u64) {
    let now = world.disk.operations();
    if at.life == 1 {
        match plan.crash_at {
            Some(operation) if plan.kill => world.kill_at_operation(operation),
            Some(operation) => world.disk.crash_at(operation),
            None => {}
        }
        return;
    }
    if let Some(operation) = plan.crash_boot_at {
        if at.life == 2 && attempt == 0 {
            world.disk.crash_at(now + operation);
        }
        return;
    }
    let tries = attempt < BOOT_CRASHES_MAX && plan.crash_at.is_none();
    if tries && world.fate(|fate| fate.one_in(3)) {
        let soon = world.fate(|fate| fate.between(1, 30));
        world.disk.crash_at(now + soon);
    } else if tries && world.fate(|fate| fate.one_in(6)) {
        world.kill_after(world.fate(|fate| fate.below(600)));
    } else {
        world.spare();
    }
}
