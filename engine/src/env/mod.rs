//! The outside world as small traits, one per resource, so that the same engine runs on real
//! executors and in the simulator.

pub mod channels;
pub mod disk;
pub mod entropy;
pub mod memory;
pub mod suite;

use openraft::AsyncRuntime;
use std::fmt::Debug;

pub use disk::{Disk, DiskFile, OpenMode};
pub use entropy::Entropy;
pub use memory::MemoryDisk;

use crate::ids::CoreId;

/// Everything the engine takes from outside, as one parameter.
pub trait Env: Clone + Debug + Default + Copy + Ord + Send + Sync + 'static {
    /// Spawning, sleeping and channels, as openraft wants them.
    type Runtime: AsyncRuntime;
    /// Files.
    type Disk: Disk;
}

/// A monotonic clock. Below the rim nothing reads it: times are input.
pub trait Clock: 'static {
    /// Nanoseconds since some fixed point in the past; never goes back.
    fn now_ns(&self) -> u64;
}

/// The queues between the cores of one node.
///
/// Messages from one core to another arrive in the order they were sent. Sending never blocks
/// and never runs the receiver. Bounded by what the sender may have outstanding
/// ([`crate::limits::CORE_REQUESTS_MAX`]), not by the queue.
pub trait Mail<M>: 'static {
    /// Sends `message` to core `to`, which may be the sender itself.
    fn send(&self, to: CoreId, message: M);
}
