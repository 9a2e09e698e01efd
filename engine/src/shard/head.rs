//! What a shard has decided and not yet seen committed: batches on their way to Raft, and what
//! becomes visible when they arrive. Used by the shard alone.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use futures::channel::oneshot;

use crate::event::Event;
use crate::format::effects::{BatchWriter, Change, Meta, change_bytes};
use crate::ids::Revision;
use crate::limits::{BATCH_BYTES_MAX, BATCH_OPS_MAX};
use crate::shard::message::Staged;

/// The head of one shard.
#[derive(Default)]
pub struct Head {
    batches: VecDeque<BatchWriter>,
    staged: VecDeque<Staged>,
    proposer: Option<Waker>,
}

impl Head {
    /// Adds one part of a transaction.
    pub fn part(
        &mut self,
        revision: i64,
        part: u32,
        parts: u32,
        changes: &[Change],
        events: Vec<Event>,
    ) {
        let bytes = changes.iter().map(change_bytes).sum();
        self.batch(bytes)
            .changes(revision, part, parts, changes.iter());
        self.staged.push_back(Staged::Part {
            revision: Revision::new(revision, 0),
            events,
        });
        self.wake();
    }

    /// Adds a change without a revision; `done` is told when it is committed.
    pub fn meta(&mut self, after: i64, meta: Meta, done: Option<oneshot::Sender<()>>) {
        self.batch(64).meta(after, meta);
        self.staged.push_back(Staged::Meta { meta, done });
        self.wake();
    }

    /// The batch to write into: a new one when the last is full.
    fn batch(&mut self, bytes: usize) -> &mut BatchWriter {
        let full = |batch: &BatchWriter| {
            batch.len() + bytes > BATCH_BYTES_MAX || batch.records() >= BATCH_OPS_MAX
        };
        if self
            .batches
            .back()
            .is_none_or(|batch| !batch.is_empty() && full(batch))
        {
            self.batches.push_back(BatchWriter::new());
        }
        let last = self.batches.len() - 1;
        &mut self.batches[last]
    }

    /// Ready when there is a batch; whether it may still grow, because none follows it yet.
    pub fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.batches.is_empty() {
            self.proposer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(self.batches.len() == 1)
    }

    /// The next batch to propose.
    pub fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<BatchWriter> {
        match self.batches.pop_front() {
            Some(batch) => Poll::Ready(batch),
            None => {
                self.proposer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The oldest thing staged: what the next committed record is.
    pub fn next_committed(&mut self) -> Option<Staged> {
        self.staged.pop_front()
    }

    fn wake(&mut self) {
        if let Some(waker) = self.proposer.take() {
            waker.wake();
        }
    }
}

/// How many of the changes go into each part of their transaction, in order: as many as fit a
/// batch. Numbering the changes later does not change it.
pub fn cuts<'a>(changes: impl Iterator<Item = &'a Change>) -> Vec<usize> {
    let mut cuts = Vec::new();
    let (mut count, mut bytes) = (0, 0);
    for change in changes {
        let more = change_bytes(change);
        if count > 0 && (bytes + more > BATCH_BYTES_MAX || count >= BATCH_OPS_MAX) {
            cuts.push(count);
            (count, bytes) = (0, 0);
        }
        count += 1;
        bytes += more;
    }
    if count > 0 {
        cuts.push(count);
    }
    cuts
}

#[cfg(test)]
mod tests;
