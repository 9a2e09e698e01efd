//! Compaction by itself, as `--auto-compaction-mode` and `--auto-compaction-retention` ask for it:
//! by time or by number of revisions (`server/etcdserver/api/v3compactor`). The decision alone is
//! a plain value fed with time and revision; core 0 drives it.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use openraft::type_config::TypeConfigExt;

use crate::env::Env;
use crate::error::Error;
use crate::group::types::Types;
use crate::shard::core::Core;

/// What history is dropped by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoCompaction {
    /// Nothing.
    #[default]
    Off,
    /// What is older than this; positive.
    Periodic(Duration),
    /// All but this many revisions; positive.
    Revision(i64),
}

const HOUR: Duration = Duration::from_secs(3600);

/// How often the revisions are counted.
const REVISION_EVERY: Duration = Duration::from_secs(5 * 60);

/// Looks are at least this far apart, however short the retention is.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Revisions noted per retention (or per hour, where that is longer).
const SAMPLES: u32 = 10;

/// When to compact at what revision.
#[derive(Debug)]
pub(super) struct Compactor {
    mode: AutoCompaction,
    /// Newest revision at each look, oldest first; periodic mode only.
    seen: VecDeque<i64>,
    /// The revision last compacted at by this.
    last: i64,
    /// When that was, nanoseconds; at first, when this began.
    since_ns: u64,
    /// The first full retention is over.
    is_running: bool,
}

impl Compactor {
    /// Begins at `now_ns`, when the newest revision is `revision`.
    pub fn new(mode: AutoCompaction, revision: i64, now_ns: u64) -> Self {
        Self {
            mode,
            seen: VecDeque::from([revision]),
            last: 0,
            since_ns: now_ns,
            is_running: false,
        }
    }

    /// Time between two looks; `None` if nothing is ever to be done.
    pub fn interval(&self) -> Option<Duration> {
        match self.mode {
            AutoCompaction::Off => None,
            AutoCompaction::Periodic(retention) => {
                Some((retention.min(HOUR) / SAMPLES).max(INTERVAL_MIN))
            }
            AutoCompaction::Revision(_) => Some(REVISION_EVERY),
        }
    }

    /// A look, one interval after the last: the revision to compact at, if it is time.
    pub fn look(&mut self, revision: i64, now_ns: u64) -> Option<i64> {
        let at = match self.mode {
            AutoCompaction::Off => return None,
            AutoCompaction::Revision(kept) => revision - kept,
            AutoCompaction::Periodic(retention) => {
                let oldest = self.seen.front().copied()?;
                let wait = if self.is_running {
                    retention.min(HOUR)
                } else {
                    retention
                };
                let waited = Duration::from_nanos(now_ns.saturating_sub(self.since_ns));
                if waited < wait { 0 } else { oldest }
            }
        };
        (at > 0 && at != self.last).then_some(at)
    }

    /// Ends the look: notes the newest revision for later ones.
    pub fn note(&mut self, revision: i64) {
        let AutoCompaction::Periodic(retention) = self.mode else {
            return;
        };
        let interval = self.interval().unwrap_or(INTERVAL_MIN);
        let kept = (retention.as_nanos() / interval.as_nanos()) as usize + 1;
        self.seen.push_back(revision);
        while self.seen.len() > kept {
            self.seen.pop_front();
        }
    }

    /// The compaction at `at` is done, or somebody else was faster.
    pub fn done(&mut self, at: i64, now_ns: u64) {
        self.last = at;
        self.since_ns = now_ns;
        self.is_running = true;
    }
}

impl<E: Env> Core<E> {
    /// Core 0's task: compacts by itself. Returns at once if that is off.
    pub(super) async fn compact_when_due(self: Rc<Self>) {
        let now = || self.desk.clock.now_ns();
        let mode = self.limits.auto_compaction;
        while mode != AutoCompaction::Off && !self.desk.order.is_open() {
            if self.desk.stopped().is_some() {
                return;
            }
            Types::<E>::sleep(INTERVAL_MIN).await;
        }
        let mut compactor = Compactor::new(mode, self.desk.order.settled(), now());
        while let Some(interval) = compactor.interval() {
            Types::<E>::sleep(interval).await;
            if self.desk.stopped().is_some() {
                return;
            }
            if let Some(at) = compactor.look(self.desk.order.settled(), now()) {
                match self.compact(at, false).await {
                    Ok(_) | Err(Error::Compacted) => {
                        tracing::info!(revision = at, "compacted by --auto-compaction-retention");
                        compactor.done(at, now());
                    }
                    Err(error) => tracing::warn!(revision = at, %error, "auto compaction failed"),
                }
            }
            compactor.note(self.desk.order.settled());
        }
    }
}

#[cfg(test)]
mod tests;
