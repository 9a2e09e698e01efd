//! One Raft group: openraft joined to the WAL below and the shard above.

pub mod codec;
pub mod log_store;
pub mod machine;
pub mod network;
pub mod types;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::{Config, Raft, SnapshotPolicy};
use thiserror::Error as ThisError;

use crate::env::Env;
use crate::group::log_store::LogStore;
use crate::group::machine::{Apply, Machine, State};
use crate::group::network::NoPeers;
use crate::group::types::{Batch, LogId, Peer, StoredMembership, Types};
use crate::ids::GroupId;

/// A group did not do what was asked.
#[derive(Clone, Debug, ThisError, PartialEq, Eq)]
#[error("group {group}: {what}")]
pub struct GroupError {
    /// The group.
    pub group: GroupId,
    /// openraft's words.
    pub what: String,
}

/// Timing of elections.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// `--heartbeat-interval`, milliseconds.
    pub heartbeat_ms: u64,
    /// `--election-timeout`, milliseconds.
    pub election_ms: u64,
}

/// A running group. Clones share it.
pub struct Group<E: Env> {
    id: GroupId,
    raft: Raft<Types<E>, Machine<E>>,
    log: LogStore<E>,
    state: Rc<RefCell<State>>,
}

impl<E: Env> Clone for Group<E> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            raft: self.raft.clone(),
            log: self.log.clone(),
            state: self.state.clone(),
        }
    }
}

/// What a group starts from.
pub struct Start<E: Env> {
    /// The group.
    pub id: GroupId,
    /// This node.
    pub member: u64,
    /// How others reach it.
    pub peer: Peer,
    /// Its log.
    pub log: LogStore<E>,
    /// The checkpoint's position and membership.
    pub applied: Option<LogId>,
    /// See `applied`.
    pub membership: StoredMembership,
    /// Who applies.
    pub apply: Rc<dyn Apply>,
    /// Timing.
    pub timing: Timing,
}

impl<E: Env> Group<E> {
    /// Starts the group, makes it a cluster of one if it is new, and leads it.
    ///
    /// # Errors
    /// The log is not readable, or the election failed.
    pub async fn start(start: Start<E>) -> Result<Self, GroupError> {
        let id = start.id;
        let error = |what: String| GroupError { group: id, what };
        let config = config(id, start.timing).map_err(error)?;
        let checkpoint = start.applied.map(|at| (at, start.membership.clone()));
        let state = State {
            applied: start.applied,
            membership: start.membership,
            checkpoint,
        };
        let state = Rc::new(RefCell::new(state));
        let machine = Machine::new(state.clone(), start.apply, start.log.clone());
        let raft = Raft::new(
            start.member,
            Arc::new(config),
            NoPeers,
            start.log.clone(),
            machine,
        )
        .await
        .map_err(|e| error(e.to_string()))?;
        let group = Self {
            id,
            raft,
            log: start.log,
            state,
        };
        let fresh = !group
            .raft
            .is_initialized()
            .await
            .map_err(|e| error(e.to_string()))?;
        if fresh {
            let members = BTreeMap::from([(start.member, start.peer)]);
            group
                .raft
                .initialize(members)
                .await
                .map_err(|e| error(e.to_string()))?;
        } else {
            let elected = group.raft.trigger().elect(true).await;
            elected.map_err(|e| error(e.to_string()))?;
        }
        let wait = group.raft.wait(Some(Duration::from_secs(30)));
        let led = wait.current_leader(start.member, "this node leads").await;
        led.map_err(|e| error(e.to_string()))?;
        Ok(group)
    }

    /// Proposes a batch; returns its index once it is committed and applied here.
    ///
    /// # Errors
    /// It ended other than committed: whether it will be is unknown.
    pub async fn write(&self, batch: Bytes) -> Result<u64, GroupError> {
        let written = self.raft.client_write(Batch(batch)).await;
        let written = written.map_err(|e| GroupError {
            group: self.id,
            what: e.to_string(),
        })?;
        Ok(written.response().0)
    }

    /// The log below.
    pub fn log(&self) -> &LogStore<E> {
        &self.log
    }

    /// The membership in force.
    pub fn membership(&self) -> StoredMembership {
        self.state.borrow().membership.clone()
    }

    /// (leader, term, last log index, applied index), zeros where unknown.
    pub fn status(&self) -> (u64, u64, u64, u64) {
        use openraft::async_runtime::watch::WatchReceiver;
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let applied = self.state.borrow().applied.map_or(0, |at| at.index());
        (
            metrics.current_leader.unwrap_or(0),
            metrics.current_term,
            metrics.last_log_index.unwrap_or(0),
            applied,
        )
    }

    /// Whether this node is the only voter, so that nobody can depose it.
    pub fn is_alone(&self) -> bool {
        self.state.borrow().membership.voter_ids().count() == 1
    }

    /// Confirms leadership with a quorum.
    ///
    /// # Errors
    /// This node does not lead, or cannot reach a quorum.
    pub async fn confirm(&self) -> Result<(), GroupError> {
        if self.is_alone() {
            return Ok(());
        }
        let policy = openraft::ReadPolicy::ReadIndex;
        let confirmed = self.raft.ensure_linearizable(policy).await;
        confirmed.map(|_| ()).map_err(|e| GroupError {
            group: self.id,
            what: e.to_string(),
        })
    }

    /// A durable checkpoint covers everything up to `at`: forgets those entries. Resolves when
    /// they are purged.
    ///
    /// # Errors
    /// The group has stopped.
    pub async fn checkpointed(
        &self,
        at: LogId,
        membership: StoredMembership,
    ) -> Result<(), GroupError> {
        let error = |what: String| GroupError {
            group: self.id,
            what,
        };
        self.state.borrow_mut().checkpoint = Some((at, membership));
        self.raft
            .trigger()
            .snapshot()
            .await
            .map_err(|e| error(e.to_string()))?;
        let wait = self.raft.wait(Some(Duration::from_secs(30)));
        let purged = wait.purged(Some(at), "a checkpoint was purged").await;
        purged.map(|_| ()).map_err(|e| error(e.to_string()))
    }

    /// Stops it.
    pub async fn stop(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(group = self.id.0, %error, "a group did not stop cleanly");
        }
    }
}

fn config(id: GroupId, timing: Timing) -> Result<Config, String> {
    let config = Config {
        cluster_name: format!("stoa-group-{id}"),
        heartbeat_interval: timing.heartbeat_ms,
        election_timeout_min: timing.election_ms,
        election_timeout_max: timing.election_ms * 2,
        // Checkpoints of all groups together take the place of openraft's own policy.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 0,
        purge_batch_size: 1,
        ..Config::default()
    };
    config.validate().map_err(|e| e.to_string())
}
