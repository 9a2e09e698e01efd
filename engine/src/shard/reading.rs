//! Linearizable and serializable reads over all shards at one settled revision (rule 5 of the
//! design).

use futures::future::join_all;

use crate::env::Env;
use crate::error::Error;
use crate::event::KeyValue;
use crate::format::kv_wire::KvFields;
use crate::ids::ShardId;
use crate::keys::KeyRange;
use crate::mvcc::read::{Run, merge};
use crate::shard::core::{Core, unexpected};
use crate::shard::message::{Answer, Ask};
use crate::shard::program::{self, Part};
use crate::shard::request::{Compare, Op, OpReply, RangeReply, RangeRequest, TxnReply, TxnRequest};
use crate::shard::route::shard_of;
use crate::shard::{check, counts, evaluate, range};

impl<E: Env> Core<E> {
    /// Reads keys.
    ///
    /// # Errors
    /// etcd's, see [`Error`].
    pub async fn range(&self, request: RangeRequest) -> Result<RangeReply, Error> {
        check::range(&request)?;
        counts::add(&self.desk.counts.ranges, 1);
        loop {
            let current = self.desk.order.settled();
            if !request.serializable {
                self.prove_leadership().await?;
            }
            let at = self.read_revision(&request, current)?;
            match self.read(&request, at, current).await {
                // A compaction went past `current` while the shards were asked.
                Err(Error::Compacted) if request.revision <= 0 => {}
                done => return done,
            }
        }
    }

    fn read_revision(&self, request: &RangeRequest, current: i64) -> Result<i64, Error> {
        if request.revision > current {
            return Err(Error::FutureRevision);
        }
        let at = if request.revision <= 0 {
            current
        } else {
            request.revision
        };
        if at < self.desk.order.compacted() && request.revision > 0 {
            return Err(Error::Compacted);
        }
        Ok(at)
    }

    /// Confirms that this node still leads, so that what is settled here is the newest. A group
    /// of one voter cannot be led by anybody else.
    pub(super) async fn prove_leadership(&self) -> Result<(), Error> {
        self.desk.check_running()?;
        if self.desk.order.is_open() {
            Ok(())
        } else {
            Err(Error::NoLeader)
        }
    }

    async fn read(
        &self,
        request: &RangeRequest,
        at: i64,
        current: i64,
    ) -> Result<RangeReply, Error> {
        let (runs, total) = self.runs(request, at).await?;
        Ok(finish(request, runs, total, current))
    }

    async fn runs(&self, request: &RangeRequest, at: i64) -> Result<(Vec<Run>, i64), Error> {
        let ask = || Ask::Range {
            request: Box::new(request.clone()),
            at,
        };
        let answers = match &request.range {
            KeyRange::One(key) => {
                vec![self.ask(shard_of(key, self.desk.shards), ask()).await?]
            }
            _ if request.range.is_empty() => Vec::new(),
            _ if self.desk.shards == 1 => vec![self.ask(ShardId(0), ask()).await?],
            _ => {
                let all = self.all_shards().map(|shard| self.ask(shard, ask()));
                join_all(all).await.into_iter().collect::<Result<_, _>>()?
            }
        };
        let mut runs = Vec::with_capacity(answers.len());
        let mut total = 0;
        for answer in answers {
            match answer {
                Answer::Run(run, count) => {
                    runs.push(run);
                    total += count;
                }
                other => return Err(unexpected(&other)),
            }
        }
        Ok((runs, total))
    }

    /// A transaction of reads only: all of them, and the compares, at one settled revision.
    pub(super) async fn read_txn(&self, request: TxnRequest) -> Result<TxnReply, Error> {
        loop {
            let current = self.desk.order.settled();
            if !program::is_serializable(&request) {
                self.prove_leadership().await?;
            }
            match self.read_txn_at(&request, current).await {
                Err(Error::Compacted) if current < self.desk.order.compacted() => {}
                done => return done,
            }
        }
    }

    async fn read_txn_at(&self, request: &TxnRequest, current: i64) -> Result<TxnReply, Error> {
        let mut succeeded = true;
        for compare in &request.compare {
            succeeded &= self.compare_at(compare, current).await?;
        }
        let branch = if succeeded {
            &request.success
        } else {
            &request.failure
        };
        let mut responses = Vec::with_capacity(branch.len());
        for op in branch {
            if let Op::Range(range) = op {
                if range.revision < 0 && range.revision < self.desk.order.compacted() {
                    return Err(Error::Compacted);
                }
                let at = self.read_revision(range, current)?;
                responses.push(OpReply::Range(self.read(range, at, current).await?));
            }
        }
        Ok(TxnReply {
            revision: current,
            succeeded,
            responses,
        })
    }

    async fn compare_at(&self, compare: &Compare, at: i64) -> Result<bool, Error> {
        let all = RangeRequest::all(compare.range.clone());
        let (runs, _) = self.runs(&all, at).await?;
        let pairs = runs.iter().flat_map(Run::fields).map(pair);
        Ok(evaluate::conclude_pairs(compare, pairs))
    }
}

/// Joins the shards' runs into the answer.
fn finish(request: &RangeRequest, runs: Vec<Run>, count: i64, revision: i64) -> RangeReply {
    if request.is_plain() {
        let limit = usize::try_from(request.limit).unwrap_or(0);
        let run = merge(runs, limit);
        let (len, more) = (run.len(), run.more);
        let kvs = if len == 0 {
            Vec::new()
        } else {
            vec![run.bytes.into()]
        };
        return RangeReply {
            revision,
            kvs,
            len,
            more,
            count,
        };
    }
    let kvs = runs.iter().flat_map(Run::fields).map(pair).collect();
    let part = Part::Range { kvs, count };
    let (kvs, count) = range::gather(vec![part], 0);
    range::finish(request, kvs, count, revision)
}

fn pair(fields: KvFields<'_>) -> KeyValue {
    KeyValue {
        key: bytes::Bytes::copy_from_slice(fields.key),
        value: bytes::Bytes::copy_from_slice(fields.value),
        create_revision: fields.create_revision,
        mod_revision: fields.mod_revision,
        version: fields.version,
        lease: fields.lease,
    }
}
