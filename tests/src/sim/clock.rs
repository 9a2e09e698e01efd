//! The engine's outside in the simulator: virtual time, seeded chance, the memory disk. Given to
//! every core by `node`.

use engine::env::{Clock, Entropy, Env, MemoryDisk};

use crate::sim::executor;
use crate::sim::raft_rt::SimRuntime;

/// The simulated environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SimEnv;

impl Env for SimEnv {
    type Runtime = SimRuntime;
    type Disk = MemoryDisk;
}

/// Virtual time.
#[derive(Clone, Copy, Debug)]
pub struct SimClock;

impl Clock for SimClock {
    fn now_ns(&self) -> u64 {
        executor::current().now_ns()
    }
}

/// Chance from the seed.
#[derive(Clone, Copy, Debug)]
pub struct SimEntropy;

impl Entropy for SimEntropy {
    fn next_u64(&self) -> u64 {
        executor::current().entropy()
    }
}
