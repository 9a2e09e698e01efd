//! Whether processor time was in the way of measuring the disk: a write on a busy machine seems to
//! take until the next tick of the scheduler. What the measuring threads waited is counted, and on
//! request those that wait for each write are run as soon as it returns.

use std::fs;
use std::time::{Duration, Instant};

use super::case::{Case, Pattern};

/// The share of the time that threads may wait for a processor before it is said.
const WAITED_MOST: f64 = 0.05;

/// How a run stood with the scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Attention {
    /// Whether the threads ran before all ordinary ones.
    pub is_realtime: bool,
    /// The share of the time that was spent waiting for a processor; none if it is not known.
    pub waited: Option<f64>,
}

/// Lets this thread, and those that it starts from now on, run before ordinary ones, or with them
/// again. Whether it was allowed: root may, and who has `CAP_SYS_NICE`.
///
/// Only for measurements whose threads wait for each write: one with more under way would keep the
/// kernel's own threads, which complete them, from the processor.
pub fn set(is_realtime: bool) -> bool {
    let (policy, sched_priority) = match is_realtime {
        true => (libc::SCHED_FIFO, 1),
        false => (libc::SCHED_OTHER, 0),
    };
    let parameters = libc::sched_param { sched_priority };
    // SAFETY: the parameters are a valid structure; thread 0 is the caller.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) == 0 }
}

/// Whether the threads of a case wait for each write, so that they may run before others.
#[must_use]
pub fn may_run_first(case: &Case) -> bool {
    case.depth == 1 || case.pattern == Pattern::Etcd
}

/// Time that a thread waited for a processor while it could have run.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    began: Instant,
    waited: Option<Duration>,
}

impl Watch {
    /// Begins to watch the calling thread.
    #[must_use]
    pub fn begin() -> Watch {
        Watch {
            began: Instant::now(),
            waited: waited(),
        }
    }

    /// What it waited since then, and how long that is ago.
    #[must_use]
    pub fn end(self) -> Option<(Duration, Duration)> {
        let waited = waited()?.saturating_sub(self.waited?);
        Some((waited, self.began.elapsed()))
    }
}

/// The second number of `schedstat`: nanoseconds on a queue to run.
fn waited() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ')
        .nth(1)?
        .parse()
        .ok()
        .map(Duration::from_nanos)
}

impl Attention {
    /// What a reader should know of it.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let waited = self.waited.filter(|share| *share > WAITED_MOST)?;
        let advice = match self.is_realtime {
            true => "measure again when the machine is quiet",
            false => "measure again when the machine is quiet, or as root with --realtime",
        };
        Some(format!(
            "the processors were busy: the measuring threads waited {:.0}% of the time to be run, \
             which is counted as the disk's; {advice}",
            waited * 100.0
        ))
    }
}
