//! Operations over several shards, granted by core 0 one at a time: pause the owners, evaluate on
//! all of them, take one revision, give each its part, let go. One revision with several parts;
//! no two-phase commit (rule 3 of the design).

use std::sync::Arc;

use futures::channel::oneshot;
use futures::future::join_all;

use crate::env::Env;
use crate::error::Error;
use crate::format::effects::Meta;
use crate::ids::ShardId;
use crate::keys::KeyRange;
use crate::shard::admission::planned_bytes;
use crate::shard::core::Core;
use crate::shard::counts;
use crate::shard::evaluate::{self, Verdict};
use crate::shard::head;
use crate::shard::message::{Answer, Ask, Responder, Span, SpanCommit};
use crate::shard::program::{self, Branch, FlatOp, Part, Plan};
use crate::shard::read;
use crate::shard::request::{Compare, TxnReply, TxnRequest};
use crate::shard::route::shard_of;
use crate::shard::turn::spawn;

/// What a span does once its owners stand still.
struct Work {
    shards: Vec<ShardId>,
    compares: Arc<[Compare]>,
}

impl<E: Env> Core<E> {
    /// Runs one multi-shard operation to the point where its answer waits for its revision.
    pub(super) async fn run_span(&self, span: Span, responder: Responder) {
        let revoked = match &span {
            Span::Revoke(lease) => Some(*lease),
            Span::Txn(_) | Span::Delete(_) => None,
        };
        match self.try_span(span).await {
            Ok((revision, answer)) => match revoked {
                None => self.desk.respond_at(revision, responder, answer),
                Some(lease) => {
                    counts::add(&self.desk.counts.leases_revoked, 1);
                    self.respond_revoked(lease, revision, responder);
                }
            },
            Err(error) => self.desk.respond(responder, Err(error)),
        }
    }

    /// A revoke is done when the keys' deletion has settled and the lease's end is committed. The
    /// next span does not wait for that.
    fn respond_revoked(&self, id: i64, revision: i64, responder: Responder) {
        let desk = self.desk.clone();
        let Some(group_0) = self.shard(ShardId(0)).cloned() else {
            return desk.respond(responder, Err(Error::NoLeader));
        };
        spawn::<E>(async move {
            // Proposed only once the deletion has settled (rule 8 of the design): a checkpoint in
            // between would keep the lease's end and, after a crash, its keys.
            if let Err(error) = desk.settled(revision).await {
                return desk.respond(responder, Err(error));
            }
            let (done, committed) = oneshot::channel();
            group_0.propose_meta(revision, Meta::Revoke { id }, Some(done));
            let answer = committed.await.map(|()| Answer::Revision(revision));
            desk.respond(responder, answer.map_err(|_| Error::LeaderChanged));
        });
    }

    async fn try_span(&self, span: Span) -> Result<(i64, Answer), Error> {
        self.wait_for_pages().await?;
        let compares: Arc<[Compare]> = match &span {
            Span::Txn(txn) => program::compares(txn).into(),
            Span::Delete(_) | Span::Revoke(_) => Arc::new([]),
        };
        let shards = match &span {
            Span::Txn(txn) => self.shards_of(txn),
            Span::Delete(_) | Span::Revoke(_) => self.all_shards().collect(),
        };
        let work = Work { shards, compares };
        let opened = self
            .ask_each(&work, || Ask::SpanOpen(work.compares.clone()))
            .await;
        let done = match opened {
            Ok(opened) => self.span_opened(&work, span, opened).await,
            Err(error) => Err(error),
        };
        if done.as_ref().map_or(true, |(_, _, committed)| !committed) {
            self.ask_each(&work, || Ask::SpanClose).await?;
        }
        done.map(|(revision, answer, _)| (revision, answer))
    }

    /// The owners stand still. Returns the revision to wait for, the answer, and whether the
    /// owners were let go by a commit.
    async fn span_opened(
        &self,
        work: &Work,
        span: Span,
        opened: Vec<Answer>,
    ) -> Result<(i64, Answer, bool), Error> {
        match span {
            Span::Txn(txn) => {
                let verdicts = conclude(&work.compares, opened);
                let (branch, flat) = program::decide(txn, &verdicts);
                let flat: Arc<[FlatOp]> = flat.into();
                let plans = self.span_plans(work, &flat).await?;
                let (revision, parts, changed, done) = self.span_commit(work, plans, None)?;
                let reply = answer_txn(&branch, &flat, parts, &changed, revision);
                Ok((revision, Answer::Txn(Box::new(reply)), done))
            }
            Span::Delete(request) => {
                let flat: Arc<[FlatOp]> = Arc::new([FlatOp::Delete(request)]);
                let plans = self.span_plans(work, &flat).await?;
                let (revision, parts, _, done) = self.span_commit(work, plans, None)?;
                let parts = parts.into_iter().map(|(_, part)| part).collect();
                let reply = program::delete_reply(parts, revision, revision);
                Ok((revision, Answer::Delete(reply), done))
            }
            Span::Revoke(lease) => {
                if !self.lease_is_granted(lease) {
                    return Err(Error::LeaseNotFound);
                }
                let plans = self.ask_each(work, || Ask::SpanRevoke(lease)).await?;
                let plans = plans
                    .into_iter()
                    .filter_map(plan_of)
                    .collect::<Result<_, _>>();
                let plans: Vec<Plan> = plans.map_err(|(_, error)| error)?;
                let (revision, _, _, done) = self.span_commit(work, plans, Some(lease))?;
                Ok((revision, Answer::Revision(revision), done))
            }
        }
    }

    /// What the operations would do, on every owner. The refusal of the first operation that has
    /// one wins, as in etcd.
    async fn span_plans(&self, work: &Work, flat: &Arc<[FlatOp]>) -> Result<Vec<Plan>, Error> {
        let answers = self.ask_each(work, || Ask::SpanPlan(flat.clone())).await?;
        let mut plans = Vec::with_capacity(answers.len());
        let mut refused = Vec::new();
        for plan in answers.into_iter().filter_map(plan_of) {
            match plan {
                Ok(plan) => plans.push(plan),
                Err(refusal) => refused.push(refusal),
            }
        }
        let order = &self.desk.order;
        refused.extend(read::check_revisions(flat, order.last(), order.compacted()));
        match refused.into_iter().min_by_key(|(op, _)| *op) {
            Some((_, error)) => Err(error),
            None => Ok(plans),
        }
    }

    /// Takes the revision and gives each owner its part: nothing here waits or fails once the
    /// revision is taken. With nothing to change the owners stay as they are.
    #[allow(clippy::type_complexity)]
    fn span_commit(
        &self,
        work: &Work,
        mut plans: Vec<Plan>,
        revoked: Option<i64>,
    ) -> Result<(i64, Vec<(usize, Part)>, Vec<usize>, bool), Error> {
        let mut changed: Vec<usize> = plans
            .iter()
            .flat_map(|plan| plan.changes.iter().map(|c| c.op))
            .collect();
        changed.sort_unstable();
        let order = &self.desk.order;
        if changed.is_empty() && revoked.is_none() {
            let found = plans.into_iter().flat_map(|plan| plan.parts).collect();
            return Ok((order.last(), found, changed, false));
        }
        self.admit(plans.iter().map(planned_bytes).sum())?;
        let revision = if changed.is_empty() { order.last() } else { 0 };
        let cuts_of = |plan: &Plan| head::cuts(plan.changes.iter().map(|c| &c.change));
        let cuts: Vec<Vec<usize>> = plans.iter().map(cuts_of).collect();
        let parts = cuts.iter().map(|cuts| cuts.len() as u32).sum();
        let revision = if parts > 0 {
            order.take(parts)
        } else {
            revision
        };
        program::number(&mut plans.iter_mut().collect::<Vec<_>>(), revision);
        let mut part = 0;
        for ((shard, plan), cuts) in work.shards.iter().zip(&mut plans).zip(cuts) {
            let mut changes = plan.changes.drain(..).map(|planned| planned.change);
            let mut pieces = Vec::with_capacity(cuts.len());
            for len in cuts {
                pieces.push((part, changes.by_ref().take(len).collect()));
                part += 1;
            }
            drop(changes);
            let commit = SpanCommit {
                revision,
                parts,
                pieces,
                revoked,
            };
            self.tell(*shard, Ask::SpanCommit(Box::new(commit)));
        }
        let found = plans.into_iter().flat_map(|plan| plan.parts).collect();
        Ok((revision, found, changed, true))
    }

    async fn ask_each(&self, work: &Work, ask: impl Fn() -> Ask) -> Result<Vec<Answer>, Error> {
        let answers = work.shards.iter().map(|shard| self.ask(*shard, ask()));
        join_all(answers).await.into_iter().collect()
    }

    /// Shards that a transaction may read or write, ascending.
    pub(super) fn shards_of(&self, txn: &TxnRequest) -> Vec<ShardId> {
        let mut shards = std::collections::BTreeSet::new();
        let all = visit(txn, &mut |range| match range {
            KeyRange::One(key) => {
                shards.insert(shard_of(key, self.desk.shards));
                true
            }
            KeyRange::Span(..) | KeyRange::From(_) => false,
        });
        if all {
            shards.into_iter().collect()
        } else {
            self.all_shards().collect()
        }
    }
}

/// Calls `f` with every range of the transaction while it returns true; whether it always did.
fn visit(txn: &TxnRequest, f: &mut impl FnMut(&KeyRange) -> bool) -> bool {
    use crate::shard::request::Op;
    txn.compare.iter().all(|compare| f(&compare.range))
        && txn.success.iter().chain(&txn.failure).all(|op| match op {
            Op::Range(request) => f(&request.range),
            Op::Put(request) => f(&KeyRange::One(request.key.clone())),
            Op::Delete { request, .. } => f(&request.range),
            Op::Txn(inner) => visit(inner, f),
            Op::Refused(_) => true,
        })
}

fn conclude(compares: &[Compare], opened: Vec<Answer>) -> Vec<bool> {
    let all: Vec<Vec<Verdict>> = opened
        .into_iter()
        .filter_map(|answer| match answer {
            Answer::Verdicts(verdicts) => Some(verdicts),
            _ => None,
        })
        .collect();
    let one = |(at, compare): (usize, &Compare)| {
        evaluate::conclude(compare, all.iter().map(|verdicts| verdicts[at]))
    };
    compares.iter().enumerate().map(one).collect()
}

fn plan_of(answer: Answer) -> Option<Result<Plan, (usize, Error)>> {
    match answer {
        Answer::Plan(plan) => Some(plan),
        _ => None,
    }
}

fn answer_txn(
    branch: &Branch,
    flat: &[FlatOp],
    parts: Vec<(usize, Part)>,
    changed: &[usize],
    revision: i64,
) -> TxnReply {
    program::assemble(
        branch,
        flat,
        program::group_parts(flat.len(), parts),
        changed,
        revision,
    )
}
