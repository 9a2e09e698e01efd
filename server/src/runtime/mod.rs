//! The runtime behind the seam: glommio executors, direct I/O, core-to-core mailboxes and sockets.
//!
//! Nothing outside this module names glommio, so that the runtime can be exchanged and measured
//! again (`benches/src/bin/seam.rs` prints what it costs). `boot` starts it, `net` and the core
//! loops run on it.

pub mod clock;
pub mod disk;
pub mod executor;
pub mod listen;
pub mod mailbox;
pub mod raft_rt;
pub mod tcp;
pub mod watchdog;

use engine::env::Env;

/// The outside world of the engine on a real node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeEnv;

impl Env for NodeEnv {
    type Runtime = raft_rt::GlommioRuntime;
    type Disk = disk::GlommioDisk;
}
