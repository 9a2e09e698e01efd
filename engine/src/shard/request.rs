//! The engine's own requests and replies. The server converts etcd's messages to and from them.

use bytes::Bytes;

use crate::error::Error;
use crate::event::KeyValue;
use crate::keys::KeyRange;

/// Reads keys, as etcd's `RangeRequest`.
#[derive(Clone, Debug)]
pub struct RangeRequest {
    /// Keys wanted.
    pub range: KeyRange,
    /// Most keys in the answer; 0 or less for all.
    pub limit: i64,
    /// Revision to read at; 0 or less for the newest.
    pub revision: i64,
    /// Order asked for; `None` is etcd's NONE.
    pub order: Option<Order>,
    /// What the order goes by.
    pub target: SortTarget,
    /// This node's settled state will do; no proof of leadership is asked for.
    pub serializable: bool,
    /// Leave out the values.
    pub keys_only: bool,
    /// Leave out everything but the count.
    pub count_only: bool,
    /// Lowest mod revision, 0 for any.
    pub min_mod_revision: i64,
    /// Highest mod revision, 0 for any.
    pub max_mod_revision: i64,
    /// Lowest create revision, 0 for any.
    pub min_create_revision: i64,
    /// Highest create revision, 0 for any.
    pub max_create_revision: i64,
}

impl RangeRequest {
    /// All of `range` at the newest revision, linearizable, by key.
    pub fn all(range: KeyRange) -> Self {
        Self {
            range,
            limit: 0,
            revision: 0,
            order: None,
            target: SortTarget::Key,
            serializable: false,
            keys_only: false,
            count_only: false,
            min_mod_revision: 0,
            max_mod_revision: 0,
            min_create_revision: 0,
            max_create_revision: 0,
        }
    }

    /// Whether everything must be read before the limit can be applied (etcd reads the limit's
    /// keys by key order first where only a target without an order is given).
    pub fn reads_all(&self) -> bool {
        self.order.is_some() || self.is_filtered()
    }

    /// Whether a revision bound is set.
    pub fn is_filtered(&self) -> bool {
        self.min_mod_revision != 0
            || self.max_mod_revision != 0
            || self.min_create_revision != 0
            || self.max_create_revision != 0
    }

    /// Whether the answer is in key order and unfiltered, so that it can be encoded as it is read.
    pub fn is_plain(&self) -> bool {
        let by_key = self.target == SortTarget::Key && self.order != Some(Order::Descend);
        by_key && !self.is_filtered()
    }
}

/// Direction of a sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Lowest first.
    Ascend,
    /// Highest first.
    Descend,
}

/// What a range is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortTarget {
    /// The key.
    Key,
    /// The version.
    Version,
    /// The create revision.
    Create,
    /// The mod revision.
    Mod,
    /// The value.
    Value,
}

/// Sets a key, as etcd's `PutRequest`.
#[derive(Clone, Debug, Default)]
pub struct PutRequest {
    /// The key.
    pub key: Bytes,
    /// Its new value.
    pub value: Bytes,
    /// The lease to attach, 0 for none.
    pub lease: i64,
    /// Answer with the former state.
    pub prev_kv: bool,
    /// Keep the present value.
    pub ignore_value: bool,
    /// Keep the present lease.
    pub ignore_lease: bool,
}

/// Deletes keys, as etcd's `DeleteRangeRequest`.
#[derive(Clone, Debug)]
pub struct DeleteRequest {
    /// Keys to delete.
    pub range: KeyRange,
    /// Answer with the former states.
    pub prev_kv: bool,
}

/// A transaction, as etcd's `TxnRequest`.
#[derive(Clone, Debug, Default)]
pub struct TxnRequest {
    /// All must hold for `success` to run.
    pub compare: Vec<Compare>,
    /// Run when all compares hold.
    pub success: Vec<Op>,
    /// Run otherwise.
    pub failure: Vec<Op>,
}

/// One operation of a transaction.
#[derive(Clone, Debug)]
pub enum Op {
    /// A read.
    Range(RangeRequest),
    /// A write.
    Put(PutRequest),
    /// A delete; `raw_end` is the range end as sent, which etcd's duplicate check compares
    /// without its special meaning.
    Delete {
        /// The delete.
        request: DeleteRequest,
        /// `range_end` as it was on the wire.
        raw_end: Bytes,
    },
    /// A transaction inside.
    Txn(Box<TxnRequest>),
    /// Its form is wrong: the transaction is refused with this, unless an earlier reason to
    /// refuse it is found.
    Refused(Error),
}

/// One condition of a transaction.
#[derive(Clone, Debug)]
pub struct Compare {
    /// Keys compared: all must satisfy it.
    pub range: KeyRange,
    /// How to compare.
    pub result: CompareResult,
    /// What to compare with.
    pub target: CompareTarget,
}

/// The relation asked for; what stands in the store is on the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareResult {
    /// Equal.
    Equal,
    /// Greater.
    Greater,
    /// Less.
    Less,
    /// Not equal.
    NotEqual,
    /// A number outside the enumeration: always true, as etcd has it.
    Other,
}

/// What a compare looks at, and the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompareTarget {
    /// The version.
    Version(i64),
    /// The create revision.
    Create(i64),
    /// The mod revision.
    Mod(i64),
    /// The value.
    Value(Bytes),
    /// The lease.
    Lease(i64),
    /// A number outside the enumeration: always equal, as etcd has it.
    Other,
}

/// Answer to a range.
#[derive(Clone, Debug, Default)]
pub struct RangeReply {
    /// For the header: the store's revision when it was read.
    pub revision: i64,
    /// The pairs as they go on etcd's wire: field 2 of `RangeResponse`, repeated; pieces in order.
    pub kvs: Vec<Bytes>,
    /// How many pairs are in `kvs`.
    pub len: usize,
    /// Whether the limit cut some off.
    pub more: bool,
    /// Keys in the range at that revision, before limit and filters.
    pub count: i64,
}

/// Answer to a put.
#[derive(Clone, Debug, Default)]
pub struct PutReply {
    /// The put's revision.
    pub revision: i64,
    /// The former state, where asked for and present.
    pub prev: Option<KeyValue>,
}

/// Answer to a delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteReply {
    /// The delete's revision, or the present one if nothing was there.
    pub revision: i64,
    /// Keys deleted.
    pub deleted: i64,
    /// Their former states, where asked for, by key.
    pub prev: Vec<KeyValue>,
}

/// Answer to a transaction.
#[derive(Clone, Debug, Default)]
pub struct TxnReply {
    /// The transaction's revision, or the present one if nothing changed.
    pub revision: i64,
    /// Whether all compares held.
    pub succeeded: bool,
    /// One answer for each operation of the branch that ran.
    pub responses: Vec<OpReply>,
}

/// Answer to one operation of a transaction.
#[derive(Clone, Debug)]
pub enum OpReply {
    /// To a read.
    Range(RangeReply),
    /// To a put.
    Put(PutReply),
    /// To a delete.
    Delete(DeleteReply),
    /// To a transaction inside.
    Txn(TxnReply),
}
