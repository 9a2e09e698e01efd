//! One core of the node: the shards it owns, what is asked of them from here and from other
//! cores, and the requests of its connections. The server holds one in an `Rc` on each executor.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use futures::channel::oneshot;
use futures::lock::Mutex;

use crate::env::Env;
use crate::error::Error;
use crate::format::effects::Meta;
use crate::ids::{CoreId, ShardId};
use crate::keys::KeyRange;
use crate::limits;
use crate::shard::auto_compact::AutoCompaction;
use crate::shard::desk::Desk;
use crate::shard::keeper::{ALARM_NO_SPACE, THIS_MEMBER};
use crate::shard::message::{Answer, Ask, Keep, Message, Responder, Span};
use crate::shard::node::Checkpoints;
use crate::shard::request::{
    DeleteReply, DeleteRequest, PutReply, PutRequest, TxnReply, TxnRequest,
};
use crate::shard::route::shard_of;
use crate::shard::shard_state::Shard;
use crate::shard::status::About;
use crate::shard::store::Leases;
use crate::shard::turn::spawn;
use crate::shard::{check, counts, program};
use crate::wal::{Lane, Lsn};

/// What a core was started with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `--max-txn-ops`.
    pub txn_ops_max: usize,
    /// `--quota-backend-bytes`, 0 for none.
    pub quota_bytes: u64,
    /// What history is dropped by itself.
    pub auto_compaction: AutoCompaction,
    /// Bytes logged after which a checkpoint is made.
    pub checkpoint_bytes: u64,
    /// Value bytes staged on a shard after which they are sealed into pages.
    pub seal_bytes: u64,
    /// Staged value bytes on a shard from which on changes wait for pages to be written.
    pub staged_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            txn_ops_max: limits::TXN_OPS_DEFAULT,
            quota_bytes: limits::QUOTA_BYTES_DEFAULT,
            auto_compaction: AutoCompaction::Off,
            checkpoint_bytes: limits::CHECKPOINT_WAL_BYTES,
            seal_bytes: limits::SEAL_BYTES as u64,
            staged_bytes_max: limits::STAGED_BYTES_MAX as u64,
        }
    }
}

/// What a core is made of.
pub(super) struct CoreParts<E: Env> {
    pub desk: Rc<Desk>,
    pub limits: Limits,
    pub about: About,
    pub shards: Vec<Option<Rc<Shard<E>>>>,
    pub leases: Leases,
    pub lane: Option<Lane<E::Disk>>,
    pub disk: E::Disk,
    pub checkpoints: Checkpoints,
}

/// One core.
pub struct Core<E: Env> {
    pub(super) desk: Rc<Desk>,
    pub(super) limits: Limits,
    pub(super) about: About,
    pub(super) lane: Option<Lane<E::Disk>>,
    pub(super) released: Cell<Lsn>,
    pub(super) disk: E::Disk,
    pub(super) checkpoints: Mutex<Checkpoints>,
    shards: Vec<Option<Rc<Shard<E>>>>,
    leases: Leases,
    spans: RefCell<VecDeque<(Span, Responder)>>,
    spanning: RefCell<Option<std::task::Waker>>,
}

impl<E: Env> Core<E> {
    pub(super) fn new(parts: CoreParts<E>) -> Self {
        assert_eq!(
            parts.shards.len(),
            parts.desk.shards as usize,
            "every shard has a place"
        );
        Self {
            desk: parts.desk,
            limits: parts.limits,
            about: parts.about,
            released: Cell::new(parts.lane.as_ref().map_or(Lsn(0), Lane::next)),
            lane: parts.lane,
            disk: parts.disk,
            checkpoints: Mutex::new(parts.checkpoints),
            shards: parts.shards,
            leases: parts.leases,
            spans: RefCell::default(),
            spanning: RefCell::default(),
        }
    }

    /// The shards this core owns.
    pub fn owned(&self) -> impl Iterator<Item = &Rc<Shard<E>>> {
        self.shards.iter().flatten()
    }

    /// All shards of the cluster.
    pub fn all_shards(&self) -> impl Iterator<Item = ShardId> + use<E> {
        (0..self.desk.shards).map(ShardId)
    }

    /// This core's log, for its figures; `None` if it owns no shards.
    pub fn lane(&self) -> Option<&Lane<E::Disk>> {
        self.lane.as_ref()
    }

    /// What this core shares with its shards.
    pub fn desk(&self) -> &Rc<Desk> {
        &self.desk
    }

    /// The settled revision.
    pub fn revision(&self) -> i64 {
        self.desk.order.settled()
    }

    fn owner(&self, shard: ShardId) -> CoreId {
        shard.core(self.desk.lanes)
    }

    pub(super) fn shard(&self, shard: ShardId) -> Option<&Rc<Shard<E>>> {
        self.shards.get(shard.0 as usize)?.as_ref()
    }

    /// Asks a shard, here or on another core.
    ///
    /// # Errors
    /// The shard's own; too much is asked at once; the node is stopping.
    pub async fn ask(&self, shard: ShardId, ask: Ask) -> Result<Answer, Error> {
        let receiver = match self.shard(shard) {
            Some(own) => {
                self.desk.check_running()?;
                if self.desk.waiting() >= limits::CORE_REQUESTS_MAX {
                    return Err(Error::TooManyRequests);
                }
                let (sender, receiver) = oneshot::channel();
                own.submit(ask, Responder::Local(sender));
                receiver
            }
            None => self.desk.ask(self.owner(shard), Some(shard), ask)?,
        };
        receiver.await.map_err(|_| Error::Stopped)?
    }

    /// Asks a shard without waiting for an answer.
    pub(super) fn tell(&self, shard: ShardId, ask: Ask) {
        match self.shard(shard) {
            Some(own) => own.submit(ask, Responder::Nobody),
            None => drop(self.desk.ask(self.owner(shard), Some(shard), ask)),
        }
    }

    /// Asks a core.
    ///
    /// # Errors
    /// The core's own; the node is stopping.
    pub(super) async fn ask_core(&self, core: CoreId, ask: Ask) -> Result<Answer, Error> {
        let receiver = self.desk.ask(core, None, ask)?;
        receiver.await.map_err(|_| Error::Stopped)?
    }

    /// Asks core 0 about leases, alarms or compaction.
    pub(super) async fn keep(&self, keep: Keep) -> Result<Answer, Error> {
        self.ask_core(CoreId(0), Ask::Keep(keep)).await
    }

    /// Takes in a message from another core (or this one).
    pub fn receive(self: &Rc<Self>, message: Message) {
        match message {
            Message::Ask {
                from,
                token,
                shard,
                ask,
            } => {
                let responder = Responder::Remote { core: from, token };
                match shard {
                    Some(shard) => match self.shard(shard) {
                        Some(own) => own.submit(ask, responder),
                        None => self.desk.respond(responder, Err(Error::Stopped)),
                    },
                    None => self.asked(ask, responder),
                }
            }
            Message::Answer { token, answer } => self.desk.answered(token, answer),
            Message::Events { from, events } => self.desk.take_letter(from, events),
            Message::Settled => self.desk.settle(),
        }
    }

    /// Something is asked of the core itself.
    pub(super) fn asked(self: &Rc<Self>, ask: Ask, responder: Responder) {
        match ask {
            Ask::Interest => self.desk.respond(responder, Ok(Answer::Done)),
            Ask::LeasesVisible(leases) => {
                self.leases.borrow_mut().extend(leases.iter());
                self.desk.respond(responder, Ok(Answer::Done));
            }
            Ask::Compacted(revision) => {
                self.desk.watching.with(|hub| hub.compacted(revision));
                self.desk.respond(responder, Ok(Answer::Done));
            }
            Ask::ReleaseLog => {
                let released = self.release_log();
                self.desk.respond(responder, Ok(Answer::Flag(released)));
            }
            Ask::Span(span) => {
                self.spans.borrow_mut().push_back((*span, responder));
                if let Some(waker) = self.spanning.borrow_mut().take() {
                    waker.wake();
                }
            }
            Ask::Keep(keep) => {
                let core = self.clone();
                spawn::<E>(async move {
                    let answer = core.do_keep(keep).await;
                    core.desk.respond(responder, answer);
                });
            }
            other => {
                let what = format!("a core cannot answer {other:?}");
                self.desk.respond(responder, Err(Error::Storage(what)));
            }
        }
    }

    /// Core 0's task: grants multi-shard operations, one at a time.
    pub async fn grant_spans(self: Rc<Self>) {
        loop {
            let (span, responder) =
                std::future::poll_fn(|cx| match self.spans.borrow_mut().pop_front() {
                    Some(next) => std::task::Poll::Ready(next),
                    None => {
                        *self.spanning.borrow_mut() = Some(cx.waker().clone());
                        std::task::Poll::Pending
                    }
                })
                .await;
            self.run_span(span, responder).await;
        }
    }

    async fn span(&self, span: Span) -> Result<Answer, Error> {
        self.ask_core(CoreId(0), Ask::Span(Box::new(span))).await
    }

    /// Everything that can refuse a change over several shards, before it takes a revision.
    pub(super) fn admit(&self, bytes: usize) -> Result<(), Error> {
        match self.shard(ShardId(0)) {
            Some(shard) => shard.admit(bytes),
            None => Err(Error::NoLeader),
        }
    }

    /// Adds a change without a revision to group 0's log; on core 0 only.
    pub(super) fn propose_meta(&self, after: i64, meta: Meta, done: Option<oneshot::Sender<()>>) {
        if let Some(shard) = self.shard(ShardId(0)) {
            shard.propose_meta(after, meta, done);
        }
    }

    /// Refuses what costs more than the quota has left, and raises the alarm first, so that whoever
    /// was refused finds it in the list.
    pub(super) async fn check_quota(&self, cost: u64) -> Result<(), Error> {
        let (quota, order) = (self.limits.quota_bytes, &self.desk.order);
        if cost == 0 || quota == 0 || order.bytes().0 as u64 + cost <= quota {
            return Ok(());
        }
        if !order.no_space() {
            self.alarm_set(ALARM_NO_SPACE, THIS_MEMBER, true).await?;
        }
        Err(Error::NoSpace)
    }

    /// Refuses changes while data is known to be corrupt.
    pub(super) fn check_whole(&self) -> Result<(), Error> {
        match self.desk.order.corrupt() {
            true => Err(Error::Corrupt),
            false => Ok(()),
        }
    }

    /// Checks a transaction's form; whether it writes.
    ///
    /// # Errors
    /// As [`check::txn`].
    pub fn check_txn(&self, request: &TxnRequest) -> Result<bool, Error> {
        check::txn(request, self.limits.txn_ops_max)?;
        Ok(!program::is_read_only(request))
    }

    /// Sets a key.
    ///
    /// # Errors
    /// etcd's, see [`Error`].
    pub async fn put(&self, request: PutRequest) -> Result<PutReply, Error> {
        self.check_quota(check::put_cost(&request)).await?;
        check::put(&request)?;
        self.check_whole()?;
        let shard = shard_of(&request.key, self.desk.shards);
        match self.ask(shard, Ask::Put(request)).await? {
            Answer::Put(reply) => Ok(reply),
            other => Err(unexpected(&other)),
        }
    }

    /// Deletes keys.
    ///
    /// # Errors
    /// etcd's, see [`Error`].
    pub async fn delete(&self, request: DeleteRequest) -> Result<DeleteReply, Error> {
        check::delete(&request)?;
        self.check_whole()?;
        let one = match &request.range {
            KeyRange::One(key) => Some(shard_of(key, self.desk.shards)),
            _ if self.desk.shards == 1 => Some(ShardId(0)),
            _ => None,
        };
        let answer = match one {
            Some(shard) => self.ask(shard, Ask::Delete(request)).await?,
            None => self.span(Span::Delete(request)).await?,
        };
        match answer {
            Answer::Delete(reply) => Ok(reply),
            other => Err(unexpected(&other)),
        }
    }

    /// Runs a transaction.
    ///
    /// # Errors
    /// etcd's, see [`Error`].
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnReply, Error> {
        counts::add(&self.desk.counts.txns, 1);
        let cost = check::txn_cost(&request);
        self.check_quota(cost).await?;
        if !self.check_txn(&request)? {
            return self.read_txn(request).await;
        }
        self.check_whole()?;
        // As in etcd: also if the branch that runs would put nothing.
        if cost > 0 && self.desk.order.no_space() {
            return Err(Error::NoSpace);
        }
        let shards = self.shards_of(&request);
        let answer = match shards.as_slice() {
            [] => self.ask(ShardId(0), Ask::Txn(Box::new(request))).await?,
            [shard] => self.ask(*shard, Ask::Txn(Box::new(request))).await?,
            _ => self.span(Span::Txn(request)).await?,
        };
        match answer {
            Answer::Txn(reply) => Ok(*reply),
            other => Err(unexpected(&other)),
        }
    }
}

/// An answer of another kind than was asked for: our own bug, told without a panic.
pub(super) fn unexpected(answer: &Answer) -> Error {
    Error::Storage(format!("an answer of the wrong kind: {answer:?}"))
}
