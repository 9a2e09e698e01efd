//! Whether processor time was in the way of measuring the disk: the measuring threads ask to be
//! run at once when their writes return, and what they waited all the same is counted.
//!
//! Without that a write on a busy machine seems to take until the next tick of the scheduler.

use std::fs;
use std::time::{Duration, Instant};

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

/// Lets this thread, and those that it starts from now on, run before ordinary ones. They wait for
/// the disk most of the time, so nobody starves. Whether it was allowed: root may, and who has
/// `CAP_SYS_NICE`.
#[must_use]
pub fn raise() -> bool {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters are a valid structure; thread 0 is the caller.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const lowest) == 0 }
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
            false => "measure again when the machine is quiet, or as root",
        };
        Some(format!(
            "the processors were busy: the measuring threads waited {:.0}% of the time to be run, \
             which is counted as the disk's; {advice}",
            waited * 100.0
        ))
    }
}
