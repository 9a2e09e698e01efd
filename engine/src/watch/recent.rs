//! The last revisions delivered, so that a watcher can step from history to live without a gap.
//! Kept by the hub.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::watch::batch::EventBatch;

/// Recent revisions with all their events, oldest first, up to a number of bytes.
#[derive(Debug, Default)]
pub(super) struct Recent {
    revisions: VecDeque<(i64, Arc<EventBatch>)>,
    bytes: usize,
    bytes_max: usize,
    /// Every revision from here on is present, but for those nobody wanted.
    from: i64,
}

impl Recent {
    /// Nothing yet; the first revision that can come is `from`.
    pub(super) fn new(bytes_max: usize, from: i64) -> Self {
        Self {
            revisions: VecDeque::new(),
            bytes: 0,
            bytes_max,
            from,
        }
    }

    /// Adds a revision above all others and drops the oldest that do not fit any more. A
    /// revision too large for the whole is not kept.
    pub(super) fn push(&mut self, revision: i64, batch: Arc<EventBatch>) {
        debug_assert!(
            self.revisions
                .back()
                .is_none_or(|(last, _)| *last < revision)
        );
        self.bytes += batch.held_bytes();
        self.revisions.push_back((revision, batch));
        while self.bytes > self.bytes_max {
            let Some((oldest, batch)) = self.revisions.pop_front() else {
                break;
            };
            self.bytes -= batch.held_bytes();
            self.from = oldest + 1;
        }
    }

    /// Forgets everything; the first revision that can come is `from`.
    pub(super) fn restart(&mut self, from: i64) {
        *self = Self::new(self.bytes_max, from);
    }

    /// The lowest revision from which on nothing is missing.
    pub(super) fn from(&self) -> i64 {
        self.from
    }

    /// The revisions from `revision` on.
    pub(super) fn since(&self, revision: i64) -> impl Iterator<Item = &(i64, Arc<EventBatch>)> {
        let begin = self.revisions.partition_point(|(at, _)| *at < revision);
        self.revisions.range(begin..)
    }
}
