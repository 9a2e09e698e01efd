//! One shard: its data, its head and its group. Evaluates what is asked of it, gives revisions,
//! stages, and hands batches to Raft; sees them come back committed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;

use bytes::Bytes;
use openraft::type_config::TypeConfigExt;

use crate::env::Env;
use crate::error::Error;
use crate::format::effects::{Change, Meta, Put};
use crate::format::identity::Identity;
use crate::group::Group;
use crate::group::types::Types;
use crate::ids::ShardId;
use crate::mvcc::PageId;
use crate::mvcc::hash::keeps_any;
use crate::mvcc::pages::Pinned;
use crate::shard::admission::planned_bytes;
use crate::shard::counts;
use crate::shard::desk::Desk;
use crate::shard::dump::DumpAsk;
use crate::shard::evaluate::{Evaluation, Stop};
use crate::shard::head::{self, Head};
use crate::shard::maintain::Upkeep;
use crate::shard::message::{Answer, Ask, Responder, SpanCommit};
use crate::shard::order::Interest;
use crate::shard::program::{self, FlatOp};
use crate::shard::read;
use crate::shard::replay::Replay;
use crate::shard::request::{DeleteRequest, PutReply, PutRequest, TxnRequest};
use crate::shard::store::{Store, Wanted};
use crate::shard::turn::spawn;
use crate::wal::Lsn;

/// Operations in a batch from which on the next one waits for company.
const COMPANY: usize = 4;

/// One shard of this core.
pub struct Shard<E: Env> {
    /// Which.
    pub id: ShardId,
    /// What it shares with the core's other shards.
    pub desk: Rc<Desk>,
    /// Its data.
    pub store: RefCell<Store<E::Disk>>,
    /// Background work on it.
    pub upkeep: Upkeep,
    /// Where its files are.
    pub(super) disk: E::Disk,
    /// Whose they are.
    pub(super) identity: Identity,
    /// The first frame of the lane that this shard's group needs; `None` for all.
    pub(super) needed: Cell<Option<Lsn>>,
    pub(super) head: RefCell<Head>,
    pub(super) group: RefCell<Option<Group<E>>>,
    pub(super) replay: RefCell<Option<Replay>>,
    pub(super) epoch: Cell<u64>,
    pub(super) quota_bytes: u64,
    paused: Cell<bool>,
    pub(super) parked: RefCell<VecDeque<(Ask, Responder)>>,
}

impl<E: Env> Shard<E> {
    /// A shard that replays its log until [`Shard::lead`].
    pub fn new(
        id: ShardId,
        desk: Rc<Desk>,
        disk: E::Disk,
        identity: Identity,
        store: Store<E::Disk>,
        replay: Replay,
        quota_bytes: u64,
    ) -> Self {
        Self {
            id,
            desk,
            disk,
            identity,
            needed: Cell::new(None),
            store: RefCell::new(store),
            upkeep: Upkeep::default(),
            head: RefCell::default(),
            group: RefCell::new(None),
            replay: RefCell::new(Some(replay)),
            epoch: Cell::new(0),
            quota_bytes,
            paused: Cell::new(false),
            parked: RefCell::default(),
        }
    }

    /// Takes part in a principalship: what commits from now on was decided here.
    pub fn lead(&self, epoch: u64) {
        assert!(
            self.replay.borrow().is_none(),
            "what was replayed is settled first"
        );
        self.epoch.set(epoch);
    }

    /// The group, once it was started.
    pub fn group(&self) -> Option<Group<E>> {
        self.group.borrow().clone()
    }

    /// Does what is asked; the answer goes to `responder`, now or later.
    pub fn submit(self: &Rc<Self>, ask: Ask, responder: Responder) {
        self.submit_holding(Vec::new(), ask, responder);
    }

    /// Does what is asked. `held` are pages that were missing so far: those of one attempt must
    /// not push out those of the one before.
    fn submit_holding(self: &Rc<Self>, held: Vec<Pinned>, ask: Ask, responder: Responder) {
        let evaluates = matches!(ask, Ask::Put(_) | Ask::Delete(_) | Ask::Txn(_));
        if evaluates && (self.paused.get() || self.upkeep.holds_back()) {
            self.parked.borrow_mut().push_back((ask, responder));
            return;
        }
        match self.attempt(&ask) {
            Ok(Outcome::At(revision, answer)) => {
                self.desk.respond_at(revision, responder, answer);
            }
            Ok(Outcome::Now(answer)) => self.desk.respond(responder, Ok(answer)),
            Ok(Outcome::Background) => self.background(ask, responder),
            Err(Stop::Refused(op, error)) => self.refuse(&ask, op, error, responder),
            Err(Stop::Missing(pages)) => self.load_and_retry(pages, held, ask, responder),
        }
    }

    fn attempt(self: &Rc<Self>, ask: &Ask) -> Result<Outcome, Stop> {
        match ask {
            Ask::Put(request) => self.put(request),
            Ask::Delete(request) => self.delete(request),
            Ask::Txn(request) => self.txn(request),
            Ask::Range { request, at } => read::range(self, request, *at),
            Ask::SpanOpen(compares) => {
                self.paused.set(true);
                let verdicts = self.evaluation(&self.store.borrow()).compare(compares)?;
                Ok(Outcome::Now(Answer::Verdicts(verdicts)))
            }
            Ask::SpanPlan(ops) => {
                let plan = self.evaluation(&self.store.borrow()).plan(ops)?;
                Ok(Outcome::Now(Answer::Plan(Ok(plan))))
            }
            Ask::SpanRevoke(lease) => {
                let plan = self.evaluation(&self.store.borrow()).plan_revoke(*lease)?;
                Ok(Outcome::Now(Answer::Plan(Ok(plan))))
            }
            Ask::SpanCommit(commit) => {
                self.span_commit(commit);
                Ok(Outcome::Now(Answer::Done))
            }
            Ask::LeaseKeys(lease) => {
                let keys = self.store.borrow().attached_keys(*lease);
                Ok(Outcome::Now(Answer::Keys(keys)))
            }
            Ask::Dump(id, DumpAsk::Open) => Ok(Outcome::Now(self.dump_open(*id))),
            Ask::Dump(id, DumpAsk::Close) => Ok(Outcome::Now(self.dump_close(*id))),
            Ask::HashKeeps(at) => {
                let keeps = keeps_any(&self.store.borrow().index, *at, false);
                Ok(Outcome::Now(Answer::Flag(keeps)))
            }
            _ => Ok(Outcome::Background),
        }
    }

    fn refuse(&self, ask: &Ask, op: usize, error: Error, responder: Responder) {
        let answer = match ask {
            Ask::SpanPlan(_) => Ok(Answer::Plan(Err((op, error)))),
            _ => Err(error),
        };
        self.desk.respond(responder, answer);
    }

    fn load_and_retry(
        self: &Rc<Self>,
        pages: Vec<PageId>,
        mut held: Vec<Pinned>,
        ask: Ask,
        responder: Responder,
    ) {
        let shard = self.clone();
        spawn::<E>(async move {
            let store = shard.store.borrow().pages.clone();
            match read::load(&store, &pages).await {
                Ok(pinned) => {
                    held.extend(pinned);
                    shard.submit_holding(held, ask, responder);
                }
                Err(error) => {
                    tracing::error!(%error, "a page cannot be read");
                    shard.desk.respond(responder, Err(error));
                }
            }
        });
    }

    fn background(self: &Rc<Self>, ask: Ask, responder: Responder) {
        let shard = self.clone();
        spawn::<E>(async move {
            let answer = shard.slow(ask).await;
            shard.desk.respond(responder, answer);
        });
    }

    fn evaluation<'a>(&self, store: &'a Store<E::Disk>) -> Evaluation<'a, E::Disk> {
        let previous = self.desk.order.interest_of_any() == Interest::Previous;
        Evaluation::new(store, self.id, self.desk.shards, previous)
    }

    /// The hot path: no list of operations is built.
    fn put(&self, request: &PutRequest) -> Result<Outcome, Stop> {
        let mut store = self.store.borrow_mut();
        let refuse = |error| Stop::Refused(0, error);
        if request.lease != 0 && !store.lease_exists(request.lease) {
            return Err(refuse(Error::LeaseNotFound));
        }
        let previous = self.desk.order.interest_of_any() == Interest::Previous;
        let mut missing = Vec::new();
        let before = store
            .index
            .newest(&request.key)
            .filter(|version| !version.is_delete());
        let wants = request.prev_kv || request.ignore_value;
        let value = match before {
            Some(version) if wants || previous => store.value(version, &mut missing),
            _ => Bytes::new(),
        };
        if !missing.is_empty() {
            return Err(Stop::Missing(missing));
        }
        if before.is_none() && (request.ignore_value || request.ignore_lease) {
            return Err(refuse(Error::KeyNotFound));
        }
        self.admit(request.key.len() + request.value.len())
            .map_err(refuse)?;
        let prev = match before {
            Some(version) if request.prev_kv => Some(super::evaluate::pair(
                request.key.clone(),
                version,
                value.clone(),
            )),
            _ => None,
        };
        let kept_lease = before.map_or(0, |version| version.lease);
        let (create, version) = before.map_or((0, 1), |v| (v.create_revision, v.version + 1));
        let revision = self.desk.order.take(1);
        let put = Put {
            create_revision: if version == 1 { revision } else { create },
            version,
            lease: if request.ignore_lease {
                kept_lease
            } else {
                request.lease
            },
            value: if request.ignore_value {
                value
            } else {
                request.value.clone()
            },
        };
        let change = Change {
            sub: 0,
            key: request.key.clone(),
            put: Some(put),
        };
        self.stage(&mut store, revision, 0, 1, &[change]);
        Ok(Outcome::At(
            revision,
            Answer::Put(PutReply { revision, prev }),
        ))
    }

    fn delete(&self, request: &DeleteRequest) -> Result<Outcome, Stop> {
        let ops = [FlatOp::Delete(request.clone())];
        let (revision, parts) = self.run(&ops)?;
        let reply = program::delete_reply(parts, revision, revision);
        Ok(Outcome::At(revision, Answer::Delete(reply)))
    }

    fn txn(&self, request: &TxnRequest) -> Result<Outcome, Stop> {
        let compares = program::compares(request);
        let verdicts = self.evaluation(&self.store.borrow()).compare(&compares)?;
        let verdicts: Vec<bool> = compares
            .iter()
            .zip(verdicts)
            .map(|(compare, verdict)| super::evaluate::conclude(compare, [verdict].into_iter()))
            .collect();
        let (branch, flat) = program::decide(request.clone(), &verdicts);
        let order = &self.desk.order;
        let (revision, parts, changed) = self.run_checked(&flat, |flat| {
            super::read::check_revisions(flat, order.last(), order.compacted())
        })?;
        let grouped = program::group_parts(flat.len(), parts);
        let reply = program::assemble(&branch, &flat, grouped, &changed, revision);
        Ok(Outcome::At(revision, Answer::Txn(Box::new(reply))))
    }

    fn run(&self, flat: &[FlatOp]) -> Result<(i64, Vec<program::Part>), Stop> {
        let (revision, parts, _) = self.run_checked(flat, |_| None)?;
        Ok((revision, parts.into_iter().map(|(_, part)| part).collect()))
    }

    /// Plans, and if anything changes takes a revision and stages. Returns the revision the
    /// answer shows and waits for, what was found, and which operations changed something.
    #[allow(clippy::type_complexity)]
    fn run_checked(
        &self,
        flat: &[FlatOp],
        check: impl FnOnce(&[FlatOp]) -> Option<(usize, Error)>,
    ) -> Result<(i64, Vec<(usize, program::Part)>, Vec<usize>), Stop> {
        let mut store = self.store.borrow_mut();
        let plan = self.evaluation(&store).plan(flat);
        // etcd checks the operations in their order: the refusal of the first one counts.
        let mut plan = match (plan, check(flat)) {
            (Err(Stop::Refused(first, why)), Some((op, _))) if first < op => {
                return Err(Stop::Refused(first, why));
            }
            (_, Some((op, why))) => return Err(Stop::Refused(op, why)),
            (plan, None) => plan?,
        };
        let changed: Vec<usize> = plan.changes.iter().map(|planned| planned.op).collect();
        if plan.changes.is_empty() {
            return Ok((self.desk.order.last(), plan.parts, changed));
        }
        let bytes = planned_bytes(&plan);
        self.admit(bytes).map_err(|error| Stop::Refused(0, error))?;
        // The number of parts must be known when the revision is taken.
        let cuts = head::cuts(plan.changes.iter().map(|planned| &planned.change));
        let count = cuts.len() as u32;
        let revision = self.desk.order.take(count);
        program::number(&mut [&mut plan], revision);
        let changes: Vec<Change> = plan.changes.into_iter().map(|p| p.change).collect();
        let mut rest = &changes[..];
        for (part, len) in (0..).zip(cuts) {
            let (piece, more) = rest.split_at(len);
            self.stage(&mut store, revision, part, count, piece);
            rest = more;
        }
        Ok((revision, plan.parts, changed))
    }

    fn stage(
        &self,
        store: &mut Store<E::Disk>,
        revision: i64,
        part: u32,
        parts: u32,
        changes: &[Change],
    ) {
        let wanted = match self.desk.order.interest_of_any() {
            Interest::None => None,
            Interest::Events => Some(Wanted::Event),
            Interest::Previous => Some(Wanted::Previous),
        };
        self.desk.counts.changes(changes);
        let events = changes
            .iter()
            .filter_map(|change| store.stage(revision, change, wanted))
            .collect();
        self.head
            .borrow_mut()
            .part(revision, part, parts, changes, events);
    }

    /// Stages what was replayed and exists.
    pub(super) fn restage(&self, revision: i64, changes: &[Change]) {
        let mut store = self.store.borrow_mut();
        for change in changes {
            store.stage(revision, change, None);
        }
    }

    fn span_commit(self: &Rc<Self>, commit: &SpanCommit) {
        {
            let mut store = self.store.borrow_mut();
            for (part, piece) in &commit.pieces {
                self.stage(&mut store, commit.revision, *part, commit.parts, piece);
            }
            if let Some(lease) = commit.revoked {
                store.forget_lease(lease);
            }
        }
        self.resume();
    }

    /// Evaluates again, what was parked first.
    pub(super) fn resume(self: &Rc<Self>) {
        self.paused.set(false);
        self.let_in();
    }

    /// Whether the shard stands still for a span.
    pub(super) fn is_paused(&self) -> bool {
        self.paused.get()
    }

    /// Adds a change without a revision to group 0's next batch.
    pub(super) fn propose_meta(
        &self,
        after: i64,
        meta: Meta,
        done: Option<futures::channel::oneshot::Sender<()>>,
    ) {
        assert_eq!(
            self.id,
            ShardId(0),
            "only group 0 carries changes without a revision"
        );
        self.head.borrow_mut().meta(after, meta, done);
    }

    /// Hands batches to Raft, one at a time: what comes meanwhile gathers in the next. Returns
    /// when the principalship ends.
    pub async fn propose(self: Rc<Self>) {
        let Some(group) = self.group() else { return };
        let mut company = false;
        loop {
            // After a batch of many, the clients it answered are about to ask again: a write that
            // waits for them is shared. A lone client is never made to wait.
            if company
                && !self.desk.batch_delay.is_zero()
                && poll_fn(|cx| self.head.borrow_mut().poll_begun(cx)).await
            {
                Types::<E>::sleep(self.desk.batch_delay).await;
            }
            let batch = poll_fn(|cx| self.head.borrow_mut().poll_batch(cx)).await;
            company = batch.records() >= COMPANY;
            counts::add(&self.desk.counts.batches, 1);
            counts::add(&self.desk.counts.batched, batch.records() as u64);
            if let Err(error) = group.write(batch.finish(self.epoch.get())).await {
                counts::add(&self.desk.counts.failed, 1);
                tracing::error!(group = self.id.0, %error, "a proposal ended other than committed");
                self.desk
                    .stop(&self.upkeep.failed().unwrap_or(Error::LeaderChanged));
                return;
            }
        }
    }
}

/// What became of an attempt.
pub(super) enum Outcome {
    /// The answer goes out when this revision is settled.
    At(i64, Answer),
    /// The answer goes out.
    Now(Answer),
    /// It takes longer than a turn.
    Background,
}
