//! What was measured on: host, kernel, processors, memory, versions. What a result needs so that
//! it can be repeated and compared.

pub mod device;

use serde::Serialize;

/// The machine that this process runs on.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The kernel's release, as `uname -r` says.
    pub kernel: String,
    /// Processors that this process may use.
    pub cpus: usize,
}

impl Machine {
    /// Reads it.
    #[must_use]
    pub fn read() -> Machine {
        let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
        let kernel = rustix::system::uname().release().to_string_lossy().into();
        Machine { kernel, cpus }
    }
}
