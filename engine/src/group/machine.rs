//! openraft's state machine of one group: hands committed batches to the shard. What is durable
//! of the state is written by checkpoints of all groups together; to openraft a durable checkpoint
//! is a snapshot without content, which lets it purge the log up to there.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, RaftSnapshotBuilder};

use crate::env::Env;
use crate::error::Error;
use crate::group::log_store::LogStore;
use crate::group::types::{Applied, CommittedLeaderId, LogId, Peer, StoredMembership, Types};

/// Who is told of committed batches, in order.
pub trait Apply: 'static {
    /// A batch is committed.
    ///
    /// # Errors
    /// It does not decode, or is not what was proposed: the node must stop.
    fn apply(&self, log_id: LogId, batch: Bytes) -> Result<(), Error>;
    /// An entry without a batch is committed.
    fn passed(&self, log_id: LogId);
}

/// What the machine knows, shared with the group's handle.
#[derive(Default)]
pub struct State {
    /// The last applied entry.
    pub applied: Option<LogId>,
    /// The membership in force.
    pub membership: StoredMembership,
    /// Where the last durable checkpoint stands, with the membership there.
    pub checkpoint: Option<(LogId, StoredMembership)>,
}

impl State {
    fn snapshot(&self) -> Option<Snapshot> {
        let (last, membership) = self.checkpoint.clone()?;
        let meta = openraft::SnapshotMeta {
            last_log_id: Some(last),
            last_membership: membership,
        };
        Some(Snapshot { meta, snapshot: () })
    }
}

/// A durable checkpoint, as openraft sees it.
pub type Snapshot = openraft::Snapshot<CommittedLeaderId, u64, Peer, ()>;

/// The state machine.
pub struct Machine<E: Env> {
    state: Rc<RefCell<State>>,
    apply: Rc<dyn Apply>,
    log: LogStore<E>,
}

impl<E: Env> Machine<E> {
    /// A machine that stands where the checkpoint does.
    pub fn new(state: Rc<RefCell<State>>, apply: Rc<dyn Apply>, log: LogStore<E>) -> Self {
        Self { state, apply, log }
    }
}

impl<E: Env> RaftStateMachine<Types<E>> for Machine<E> {
    type SnapshotData = ();
    type SnapshotBuilder = Checkpointed;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let state = self.state.borrow();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<Types<E>>>> + Unpin,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let log_id = entry.log_id;
            match entry.payload {
                EntryPayload::Normal(batch) => {
                    self.apply
                        .apply(log_id, batch.0)
                        .map_err(io::Error::other)?;
                }
                EntryPayload::Membership(membership) => {
                    let stored = StoredMembership::new(Some(log_id), membership);
                    self.state.borrow_mut().membership = stored;
                    self.apply.passed(log_id);
                }
                EntryPayload::Blank => self.apply.passed(log_id),
            }
            self.state.borrow_mut().applied = Some(log_id);
            self.log.applied(log_id.index());
            if let Some(responder) = responder {
                responder.send(Applied(log_id.index()));
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Checkpointed {
        Checkpointed(self.state.clone())
    }

    async fn install_snapshot(
        &mut self,
        _meta: &openraft::SnapshotMeta<CommittedLeaderId, u64, Peer>,
        _snapshot: (),
    ) -> io::Result<()> {
        let what = "a group of one voter is sent no snapshot";
        Err(io::Error::new(io::ErrorKind::Unsupported, what))
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.state.borrow().snapshot())
    }
}

/// "Builds" a snapshot by naming the last durable checkpoint.
pub struct Checkpointed(Rc<RefCell<State>>);

impl<E: Env> RaftSnapshotBuilder<Types<E>> for Checkpointed {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let none = || io::Error::other("there is no checkpoint yet");
        self.0.borrow().snapshot().ok_or_else(none)
    }
}
