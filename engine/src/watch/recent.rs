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
    /// What was before this revision's changes is compacted.
    compacted: i64,
}

impl Recent {
    /// Nothing yet; the first revision that can come is `from`.
    pub(super) fn new(bytes_max: usize, from: i64) -> Self {
        Self {
            revisions: VecDeque::new(),
            bytes: 0,
            bytes_max,
            from,
            compacted: 0,
        }
    }

    /// The store was compacted at `revision`: nothing below it is asked for any more, and its own
    /// events lose their former states, as etcd has it.
    pub(super) fn compacted(&mut self, revision: i64) {
        self.compacted = self.compacted.max(revision);
        while self
            .revisions
            .front()
            .is_some_and(|(at, _)| *at < self.compacted)
        {
            self.pop();
        }
        self.from = self.from.max(self.compacted);
        let front = self.revisions.front_mut();
        if let Some((_, batch)) = front.filter(|(at, _)| *at == self.compacted) {
            self.bytes -= batch.held_bytes();
            *batch = Arc::new(batch.without_prev());
            self.bytes += batch.held_bytes();
        }
    }

    fn pop(&mut self) {
        if let Some((oldest, batch)) = self.revisions.pop_front() {
            self.bytes -= batch.held_bytes();
            self.from = oldest + 1;
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
        let batch = match revision <= self.compacted {
            true => Arc::new(batch.without_prev()),
            false => batch,
        };
        self.bytes += batch.held_bytes();
        self.revisions.push_back((revision, batch));
        while self.bytes > self.bytes_max && !self.revisions.is_empty() {
            self.pop();
        }
    }

    /// Forgets everything; the first revision that can come is `from`.
    pub(super) fn restart(&mut self, from: i64) {
        let compacted = self.compacted;
        *self = Self::new(self.bytes_max, from);
        self.compacted = compacted;
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
