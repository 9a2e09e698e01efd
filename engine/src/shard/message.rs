//! What the cores of a node say to each other.

use std::sync::Arc;

use bytes::Bytes;
use futures::channel::oneshot;

use crate::error::Error;
use crate::event::Event;
use crate::format::effects::{Change, Meta};
use crate::ids::{CoreId, Revision, ShardId};
use crate::keys::KeyRange;
use crate::mvcc::dump::DumpBatch;
use crate::mvcc::hash::HashRecord;
use crate::mvcc::read::Run;
use crate::shard::dump::{DumpAsk, Kept};
use crate::shard::evaluate::Verdict;
use crate::shard::program::{FlatOp, Part, Plan};
use crate::shard::request::{
    Compare, DeleteReply, DeleteRequest, PutReply, PutRequest, RangeRequest, TxnReply, TxnRequest,
};

/// One message from core to core.
#[derive(Debug)]
pub enum Message {
    /// Something is asked of a shard or of the core itself.
    Ask {
        /// Who asks.
        from: CoreId,
        /// The asker's name for the answer.
        token: usize,
        /// The shard asked, or `None` for the core.
        shard: Option<ShardId>,
        /// The question.
        ask: Ask,
    },
    /// The answer.
    Answer {
        /// The asker's name for it.
        token: usize,
        /// The answer.
        answer: Result<Answer, Error>,
    },
    /// Events of one shard, sent before their revisions settle.
    Events {
        /// The core that sends.
        from: CoreId,
        /// The events.
        events: Vec<Event>,
    },
    /// Something this core waits for has settled.
    Settled,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Of a shard: evaluate a put.
    Put(PutRequest),
    /// Of a shard: evaluate a delete of one key.
    Delete(DeleteRequest),
    /// Of a shard: evaluate a transaction whose keys are all there.
    Txn(Box<TxnRequest>),
    /// Of a shard: read at a settled revision.
    Range {
        /// The request.
        request: Box<RangeRequest>,
        /// The revision to read at.
        at: i64,
    },
    /// Of a shard: stop evaluating, and say what the compares find.
    SpanOpen(Arc<[Compare]>),
    /// Of a shard: what would these operations do?
    SpanPlan(Arc<[FlatOp]>),
    /// Of a shard: what would revoking this lease do?
    SpanRevoke(i64),
    /// Of a shard: do it, and evaluate again.
    SpanCommit(Box<SpanCommit>),
    /// Of a shard: nothing changed; evaluate again.
    SpanClose,
    /// Of a shard: events of the past.
    History(History),
    /// Of a shard: does etcd's set of kept revisions have anything from here?
    HashKeeps(i64),
    /// Of a shard: its share of a hash.
    Hash {
        /// The revision.
        at: i64,
        /// Whether any shard keeps anything.
        keep_any: bool,
    },
    /// Of a shard: about the dump of this id.
    Dump(u64, DumpAsk),
    /// Of a shard: the keys of a lease.
    LeaseKeys(i64),
    /// Of a shard: forget versions below, and say when the sweep is over if `wait`.
    Compact {
        /// The compaction revision.
        revision: i64,
        /// Answer only when the sweep is over.
        wait: bool,
    },
    /// Of a shard: finish rewriting pages.
    Defragment,
    /// Of a shard: write its share of a checkpoint.
    Checkpoint {
        /// Number of the checkpoint.
        generation: u64,
        /// The settled revision it is of.
        settled: i64,
    },
    /// Of a shard: a checkpoint is durable; forget what it covers.
    Release {
        /// Number of the checkpoint.
        generation: u64,
    },
    /// Of a core: has it seen what I want of events?
    Interest,
    /// Of a core: these leases exist now.
    LeasesVisible(Arc<[i64]>),
    /// Of a core: a compaction was decided; cancel watchers below it.
    Compacted(i64),
    /// Of a core: let go of the log that its shards do not need.
    ReleaseLog,
    /// Of core 0: run this over several shards.
    Span(Box<Span>),
    /// Of core 0: a request about leases, alarms or compaction.
    Keep(Keep),
}

/// A multi-shard operation.
#[derive(Clone, Debug)]
pub enum Span {
    /// A transaction.
    Txn(TxnRequest),
    /// A delete of a range.
    Delete(DeleteRequest),
    /// A lease and its keys.
    Revoke(i64),
}

/// A shard's share of a multi-shard operation.
#[derive(Clone, Debug)]
pub struct SpanCommit {
    /// The operation's revision.
    pub revision: i64,
    /// Parts there are over all shards.
    pub parts: u32,
    /// This shard's parts, each with its number.
    pub pieces: Vec<(u32, Vec<Change>)>,
    /// A lease that goes with it.
    pub revoked: Option<i64>,
}

/// What core 0 keeps for the node.
#[derive(Clone, Debug)]
pub enum Keep {
    /// Grant a lease; id 0 to have one picked.
    Grant {
        /// Wanted id.
        id: i64,
        /// Time to live, seconds.
        ttl_s: i64,
    },
    /// Renew a lease.
    Renew(i64),
    /// Time left of a lease.
    Remaining(i64),
    /// All leases.
    List,
    /// Compact the history.
    Compact {
        /// Up to this revision.
        revision: i64,
        /// Wait for the sweep.
        physical: bool,
    },
    /// Raise or clear an alarm; answer with those that changed.
    Alarm {
        /// Member it is about, 0 for all.
        member: u64,
        /// etcd's number of it, 0 for all.
        kind: u8,
        /// Raise it.
        on: bool,
    },
    /// The alarms that are up.
    Alarms,
    /// State of group 0.
    Status,
    /// What belongs in a dump.
    Kept,
    /// Write a checkpoint now.
    Checkpoint,
}

/// Events of the past wanted from a shard.
#[derive(Clone, Debug)]
pub struct History {
    /// Keys.
    pub range: KeyRange,
    /// First revision.
    pub from: i64,
    /// Last revision.
    pub through: i64,
    /// Leave out puts.
    pub no_put: bool,
    /// Leave out deletes.
    pub no_delete: bool,
    /// Fill in the former states.
    pub previous: bool,
    /// Stop after about this many events.
    pub events_max: usize,
    /// Stop after about this many bytes.
    pub bytes_max: usize,
}

/// Answers.
#[derive(Debug)]
pub enum Answer {
    /// Done.
    Done,
    /// A put.
    Put(PutReply),
    /// A delete.
    Delete(DeleteReply),
    /// A transaction.
    Txn(Box<TxnReply>),
    /// A shard's run of a plain range, and its count of keys.
    Run(Run, i64),
    /// A shard's part of a range that needs sorting or filtering.
    Part(Part),
    /// Verdicts on compares.
    Verdicts(Vec<Verdict>),
    /// A plan, or the operation that is refused.
    Plan(Result<Plan, (usize, Error)>),
    /// Past events, complete through a revision.
    History(Vec<Event>, i64),
    /// A yes or no.
    Flag(bool),
    /// A shard's share of a hash, and its compaction revision.
    Hash(Box<(Vec<HashRecord>, i64)>),
    /// A shard's next records of a dump.
    Dump(Box<DumpBatch>),
    /// What core 0 knows, for a dump.
    Kept(Box<Kept>),
    /// Keys.
    Keys(Vec<Bytes>),
    /// A revision.
    Revision(i64),
    /// A lease: revision, id, time to live or left, granted.
    Lease {
        /// Store revision.
        revision: i64,
        /// Its id.
        id: i64,
        /// Seconds.
        ttl_s: i64,
        /// Seconds at the grant.
        granted_s: i64,
    },
    /// Lease ids.
    Leases(Vec<i64>),
    /// Alarms: member and kind.
    Alarms(Vec<(u64, u8)>),
    /// State of group 0.
    Status(GroupStatus),
    /// A shard's part of a checkpoint.
    Checkpoint(Box<crate::shard::checkpoint::ShardPart>),
}

/// State of a Raft group.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupStatus {
    /// Its leader, 0 for none.
    pub leader: u64,
    /// Term.
    pub term: u64,
    /// Last committed index.
    pub committed: u64,
    /// Last applied index.
    pub applied: u64,
}

/// Where an answer goes.
#[derive(Debug)]
pub enum Responder {
    /// To a task on this core.
    Local(oneshot::Sender<Result<Answer, Error>>),
    /// To another core.
    Remote {
        /// The core.
        core: CoreId,
        /// Its name for the answer.
        token: usize,
    },
    /// Nobody waits.
    Nobody,
}

/// Something staged whose batch is on its way through Raft.
#[derive(Debug)]
pub enum Staged {
    /// A part of a transaction.
    Part {
        /// Its revision.
        revision: Revision,
        /// What watchers will be shown.
        events: Vec<Event>,
    },
    /// A change without a revision.
    Meta {
        /// The change.
        meta: Meta,
        /// Told when it is committed.
        done: Option<oneshot::Sender<()>>,
    },
}
