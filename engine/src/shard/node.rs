//! The node as a whole, from core 0: checkpoints of all shards together.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use openraft::type_config::TypeConfigExt;

use crate::env::Env;
use crate::error::{Class, Error};
use crate::format::checkpoint::{LogEnd, Manifest};
use crate::group::types::Types;
use crate::ids::{LaneId, ShardId};
use crate::limits::CHECKPOINT_WAL_BYTES;
use crate::mvcc::checkpoint;
use crate::shard::checkpoint::ShardPart;
use crate::shard::core::{Core, unexpected};
use crate::shard::counts;
use crate::shard::message::{Answer, Ask};
use crate::wal::{self, Lane};

/// How often it is looked whether a checkpoint is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Segments of a lane whose disk space is not looked at, however little is used of them.
const SEGMENTS_SPARED: u64 = 3;

/// What core 0 remembers of checkpoints.
#[derive(Clone, Debug, Default)]
pub struct Checkpoints {
    /// Number of the last one begun.
    pub generation: u64,
    /// The settled revision when this principalship began, and the epoch of that revision.
    pub began: (i64, u64),
    /// The epoch of this principalship.
    pub epoch: u64,
    /// Lanes of a former configuration, to be removed once nothing in them is needed.
    pub foreign: Vec<LaneId>,
}

impl<E: Env> Core<E> {
    /// Core 0's task: checkpoints when enough was logged.
    pub async fn checkpoint_when_due(self: Rc<Self>) {
        loop {
            Types::<E>::sleep(LOOK_EVERY).await;
            if self.desk.stopped().is_some() {
                return;
            }
            if self.desk.order.log_bytes() as u64 > self.limits.checkpoint_bytes
                && let Err(error) = self.checkpoint_now().await
            {
                tracing::warn!(%error, "a checkpoint was not made; the former one stays");
            }
        }
    }

    /// Makes a checkpoint.
    ///
    /// # Errors
    /// The disk is full (the former one stays) or failed (the node stops).
    pub async fn checkpoint_now(&self) -> Result<(), Error> {
        let mut state = self.checkpoints.lock().await;
        state.generation += 1;
        let generation = state.generation;
        let settled = self.desk.order.settled();
        let ask = || Ask::Checkpoint {
            generation,
            settled,
        };
        let shards = self.all_shards().map(|shard| self.ask(shard, ask()));
        let mut parts: BTreeMap<ShardId, ShardPart> = BTreeMap::new();
        for (shard, part) in self.all_shards().zip(join_all(shards).await) {
            match part? {
                Answer::Checkpoint(part) => drop(parts.insert(shard, *part)),
                other => return Err(unexpected(&other)),
            }
        }
        let epoch = if settled > state.began.0 {
            state.epoch
        } else {
            state.began.1
        };
        let mut lanes: BTreeMap<u16, LogEnd> = BTreeMap::new();
        for part in parts.values() {
            let last = lanes.entry(part.end.lane).or_default();
            *last = part.end.max(*last);
        }
        let meta = self.keeper()?.borrow().encode();
        let manifest = Manifest {
            cluster: self.about.cluster,
            member: self.about.member,
            generation,
            settled,
            epoch,
            compacted: self.desk.order.compacted().max(0),
            shards: parts.values().map(|part| part.shard).collect(),
            groups: parts.into_values().map(|part| part.group).collect(),
            lanes: lanes.into_values().collect(),
            meta,
        };
        if let Err(error) = checkpoint::commit(&self.disk, &manifest).await {
            if error.class() != Class::Fatal {
                return Err(Error::NoSpace);
            }
            let error = Error::Storage(error.to_string());
            self.desk.stop(&error);
            return Err(error);
        }
        counts::add(&self.desk.counts.checkpoints, 1);
        self.release(generation, &mut state.foreign).await
    }

    /// The checkpoint is durable: lets go of what it covers.
    async fn release(&self, generation: u64, foreign: &mut Vec<LaneId>) -> Result<(), Error> {
        let ask = || Ask::Release { generation };
        let shards = self.all_shards().map(|shard| self.ask(shard, ask()));
        join_all(shards)
            .await
            .into_iter()
            .try_for_each(|answer| answer.map(drop))?;
        let cores = self
            .desk
            .all_cores()
            .map(|core| self.ask_core(core, Ask::ReleaseLog));
        let mut all = true;
        for answer in join_all(cores).await {
            all &= matches!(answer?, Answer::Flag(true));
        }
        if all {
            for lane in foreign.drain(..) {
                let removed = wal::remove_lane(&self.disk, super::boot::WAL_DIR, lane).await;
                removed.map_err(|error| Error::Storage(error.to_string()))?;
            }
        }
        Ok(())
    }

    /// Lets go of this core's log below what its shards need. Whether they all know what they
    /// need: entries of an earlier opening are needed until the next checkpoint.
    pub(super) fn release_log(&self) -> bool {
        let Some(lane) = &self.lane else { return true };
        let mut needed = lane.next();
        for shard in self.owned() {
            match shard.needed.get() {
                Some(lsn) => needed = needed.min(lsn),
                None => return false,
            }
        }
        lane.release(needed);
        self.released.set(needed);
        self.note_log();
        true
    }

    /// Tells the order how much was logged since the last checkpoint, or how much disk that holds,
    /// if that is much more: each start begins a segment, so a node that is started again and again
    /// would otherwise fill the disk with segments that are almost empty.
    pub(super) fn note_log(&self) {
        let Some(lane) = &self.lane else { return };
        let spared = SEGMENTS_SPARED * lane.segment_bytes();
        let held = lane.held_bytes().saturating_sub(spared);
        let bytes = lane.bytes_since(self.released.get()).max(held);
        self.desk.order.set_log_bytes(self.desk.core, bytes as i64);
    }

    /// Every core's task: keeps the order informed, and stops the node when the log fails.
    pub async fn watch_log(self: Rc<Self>) {
        loop {
            Types::<E>::sleep(LOOK_EVERY).await;
            if self.desk.stopped().is_some() {
                return;
            }
            self.note_log();
        }
    }
}

/// Runs a lane until it is stopped or fails; a failed log stops the node.
pub async fn run_lane<E: Env>(lane: Lane<E::Disk>, desk: Rc<super::desk::Desk>) {
    match lane.run().await {
        Ok(()) | Err(wal::WalError::Stopped) => {}
        Err(error) => desk.stop(&Error::Storage(error.to_string())),
    }
}

const _: () = assert!(CHECKPOINT_WAL_BYTES > 0);
