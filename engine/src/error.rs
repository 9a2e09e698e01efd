//! What can go wrong, told apart by what the caller may do. The texts are etcd's
//! (`api/v3rpc/rpctypes`), because clients compare them byte for byte.

use thiserror::Error;

/// What a caller may do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The request is wrong; the same request fails again.
    Caller,
    /// Nothing was done; the same request may succeed later.
    Retry,
    /// Unknown whether it was done (a write whose answer was lost).
    Unknown,
    /// This node must stop: its disk or its code is broken.
    Fatal,
}

/// An error of the engine, with etcd's text where etcd has one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// No key in the request.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// `ignore_value`/`ignore_lease` on a missing key, or an empty request operation.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// A value beside `ignore_value`.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// A lease beside `ignore_lease`.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// More operations than `--max-txn-ops`.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// A key put twice, or put and deleted, in one branch.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// A sort order or target outside the enumeration.
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
    /// Over `--max-request-bytes`.
    #[error("etcdserver: request is too large")]
    RequestTooLarge,
    /// The revision asked for was compacted.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The revision asked for is not given out yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// A time to live over 9,000,000,000 s.
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    /// No such lease.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// A grant names an id that exists.
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    /// Over the quota, or the NOSPACE alarm is up.
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    /// A CORRUPT alarm is up.
    #[error("etcdserver: corrupt cluster")]
    Corrupt,
    /// A queue is full.
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    /// This node knows no principal.
    #[error("etcdserver: no leader")]
    NoLeader,
    /// The principal changed; whether a write was done is unknown.
    #[error("etcdserver: leader changed")]
    LeaderChanged,
    /// The node is stopping.
    #[error("etcdserver: server stopped")]
    Stopped,
    /// No answer within the proposal timeout.
    #[error("etcdserver: request timed out")]
    Timeout,
    /// The disk failed or lied: the node has to stop. Says which file and offset.
    #[error("{0}")]
    Storage(String),
    /// What the disk gave back is not what was written: nothing of it is shown. Says which file
    /// and offset.
    #[error("{0}")]
    Damaged(String),
}

impl Error {
    /// What the caller may do.
    pub fn class(&self) -> Class {
        match self {
            Self::EmptyKey
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::TooManyOps
            | Self::DuplicateKey
            | Self::InvalidSortOption
            | Self::RequestTooLarge
            | Self::Compacted
            | Self::FutureRevision
            | Self::LeaseTtlTooLarge
            | Self::LeaseNotFound
            | Self::LeaseExists => Class::Caller,
            Self::NoSpace | Self::Corrupt | Self::TooManyRequests | Self::NoLeader => Class::Retry,
            Self::LeaderChanged | Self::Stopped | Self::Timeout => Class::Unknown,
            Self::Storage(_) | Self::Damaged(_) => Class::Fatal,
        }
    }
}
