//! The runtime behind the seam: executors on io_uring, direct I/O, core-to-core mailboxes and
//! sockets.
//!
//! Nothing outside this module knows how tasks are run or how the kernel is asked, so that the
//! runtime can be exchanged and measured again (`benches/src/bin/seam.rs` prints what it costs).
//! `boot` starts it, `net` and the core loops run on it.

pub mod buffer;
pub mod clock;
pub mod disk;
pub mod executor;
mod helper;
pub mod listen;
pub mod local;
pub mod mailbox;
pub mod raft_rt;
mod ring;
pub mod tcp;
pub mod timer;
pub mod watchdog;

use engine::env::Env;

/// The outside world of the engine on a real node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeEnv;

impl Env for NodeEnv {
    type Runtime = raft_rt::CoreRuntime;
    type Disk = disk::DirectDisk;
}
