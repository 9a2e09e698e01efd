//! Checkpoints: each shard writes its index as of one settled revision, core 0 puts the manifest
//! in force, then every shard forgets what it covers (rule 10 of the design).

use std::rc::Rc;

use crate::env::Env;
use crate::error::{Class, Error};
use crate::format::checkpoint::{GroupImage, IndexHead, LogEnd, LogPosition, ShardImage};
use crate::group::codec;
use crate::group::types::{LogId, log_id};
use crate::limits::STEP_KEYS;
use crate::mvcc::Key;
use crate::mvcc::checkpoint::{CheckpointError, IndexWriter};
use crate::mvcc::pages::PageError;
use crate::shard::message::Answer;
use crate::shard::shard_state::Shard;
use crate::shard::turn::yield_now;

/// A shard's part of a checkpoint, for the manifest.
#[derive(Clone, Debug)]
pub struct ShardPart {
    /// Its index file.
    pub shard: ShardImage,
    /// Its group's position.
    pub group: GroupImage,
    /// Where its lane ended; the shards of a core share it.
    pub end: LogEnd,
}

impl<E: Env> Shard<E> {
    /// Writes this shard's index as of `settled`.
    ///
    /// # Errors
    /// The disk is full (the former checkpoint stays) or failed (the node stops).
    pub(super) async fn checkpoint(
        self: &Rc<Self>,
        generation: u64,
        settled: i64,
    ) -> Result<Answer, Error> {
        self.upkeep.begun.set(generation);
        let group = self.group().ok_or(Error::Stopped)?;
        let lane = group.log().lane().clone();
        let last = self.upkeep.covered(settled);
        let membership = codec::put_membership(group.membership().membership()).to_vec();
        if let Err(error) = self.seal_all(settled).await {
            return Err(self.page_error(&error));
        }
        let shard = self
            .write_index(generation, settled)
            .await
            .map_err(|error| match error.class() {
                Class::Fatal => Error::from(error),
                _ => Error::NoSpace,
            })?;
        let position = |at: LogId| LogPosition {
            term: at.committed_leader_id().term,
            node: 0,
            index: at.index(),
        };
        let group = GroupImage {
            last: last.map(position),
            membership,
        };
        let end = lane.end();
        Ok(Answer::Checkpoint(Box::new(ShardPart {
            shard,
            group,
            end,
        })))
    }

    async fn write_index(
        &self,
        generation: u64,
        settled: i64,
    ) -> Result<ShardImage, CheckpointError> {
        let pages = self.store.borrow().pages.clone();
        let head = IndexHead {
            identity: self.identity,
            shard: self.id,
            generation,
            settled,
        };
        let mut writer = IndexWriter::create(&self.disk, head).await?;
        let mut after: Option<Key> = None;
        loop {
            let mut failed = Ok(());
            after = {
                let store = self.store.borrow();
                store
                    .index
                    .dump_step(after.as_ref(), settled, STEP_KEYS, &mut |key, versions| {
                        if failed.is_ok() {
                            failed = writer.push(key, versions);
                        }
                    })
            };
            failed?;
            writer.write_out().await?;
            if after.is_none() {
                break;
            }
            yield_now::<E>().await;
        }
        let summary = writer.finish(&pages.files()).await?;
        Ok(ShardImage {
            index_bytes: summary.bytes,
            index_checksum: summary.checksum,
            next_file: pages.next_file(),
        })
    }

    /// The checkpoint `generation` is durable: purges the log up to it, lets go of the segments
    /// and page files that nothing names any more.
    ///
    /// # Errors
    /// The group or the disk failed.
    pub(super) async fn release(self: &Rc<Self>, generation: u64) -> Result<Answer, Error> {
        let group = self.group().ok_or(Error::Stopped)?;
        let storage = |error: String| Error::Storage(error);
        if let Some(at) = self.upkeep.checkpointed() {
            let membership = group.membership();
            group
                .checkpointed(at, membership)
                .await
                .map_err(|e| storage(e.to_string()))?;
        }
        let lane = group.log().lane().clone();
        let before = lane.next();
        match group.log().restate() {
            Ok(()) => lane.flush().await.map_err(|e| storage(e.to_string()))?,
            // A full log: nothing is released this time.
            Err(error) if error.class() == Class::Retry => return Ok(Answer::Done),
            Err(error) => return Err(storage(error.to_string())),
        }
        let needed = group.log().oldest_needed().map(|lsn| lsn.min(before));
        self.needed.set(needed);
        let pages = self.store.borrow().pages.clone();
        if let Err(error) = pages.remove_retired(generation).await {
            return Err(self.page_error(&error));
        }
        self.account();
        Ok(Answer::Done)
    }

    /// A full disk is survived; anything else stops the node.
    fn page_error(&self, error: &PageError) -> Error {
        if error.class() == Class::Fatal {
            self.fail(error);
            return Error::from(error.clone());
        }
        Error::NoSpace
    }
}

/// openraft's log id of a manifest's position.
pub fn position(at: &LogPosition) -> LogId {
    log_id(at.term, at.index)
}
