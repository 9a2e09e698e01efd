//! What a load came to.

use std::rc::Rc;
use std::time::Duration;

use super::record::Record;
use crate::server_process::Usage;

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Things that were compared.
    pub compared: u64,
    /// Things that are wrong.
    pub faults: u64,
    /// The first of them in words.
    pub told: Vec<String>,
}

/// What a run gave.
pub struct Outcome {
    /// Latencies, errors, the course.
    pub record: Rc<Record>,
    /// What was measured, shorter than asked for if the run was ended.
    pub measured: Duration,
    /// Processor time of this process in it, microseconds.
    pub client_cpu_us: u64,
    /// The servers' processor time in it and the most memory they had, if they are on this
    /// machine.
    pub server: Option<Usage>,
    /// Clients at the end: more than asked for where an open loop needed them.
    pub clients: usize,
    /// Whether it was given up because the answers fell ever further behind.
    pub is_overrun: bool,
    /// What the check found, if one was wanted.
    pub check: Option<Checked>,
}

impl Outcome {
    /// Operations that ended well.
    #[must_use]
    pub fn operations(&self) -> u64 {
        let latencies = self.record.latencies.borrow();
        latencies.values().map(hdrhistogram::Histogram::len).sum()
    }

    /// Of these so many in a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.operations() as f64 / self.measured.as_secs_f64().max(1e-9)
    }

    /// Microseconds spread over the operations.
    #[must_use]
    pub fn each(&self, us: u64) -> f64 {
        us as f64 / self.operations().max(1) as f64
    }
}
