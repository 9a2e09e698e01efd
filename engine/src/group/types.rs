//! The types openraft is instantiated with: one configuration for every group of a node.
//!
//! `declare_raft_types!` cannot name a generic responder, so the configuration is written out.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use openraft::impls::{BoxedErrorSource, InlineBatch, OneshotResponder, leader_id_std};
use openraft::vote::RaftLeaderId;
use openraft::{EntryPayload, RaftTypeConfig};

use crate::env::Env;

/// openraft's configuration over an environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Types<E>(PhantomData<E>);

/// What one Raft entry carries: an encoded batch of effects ([`crate::format::effects`]).
#[derive(Clone, PartialEq, Eq)]
pub struct Batch(pub Bytes);

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch of {} bytes", self.0.len())
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What applying a batch answers to its proposer: the entry's index, which a fence needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied(pub u64);

/// A member as the groups know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its name, `--name`.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}

/// Who won a term.
pub type LeaderId = leader_id_std::LeaderId<u64, u64>;
/// What a log id carries of it: the term.
pub type CommittedLeaderId = <LeaderId as RaftLeaderId>::Committed;
/// A vote.
pub type Vote = openraft::Vote<LeaderId>;
/// Term and index of a log entry.
pub type LogId = openraft::LogId<CommittedLeaderId>;
/// A log entry's content.
pub type Payload = EntryPayload<Batch, u64, Peer>;
/// A log entry.
pub type Entry = openraft::Entry<CommittedLeaderId, Payload>;
/// The members of a group.
pub type Membership = openraft::Membership<u64, Peer>;
/// The members of a group and the entry that made them so.
pub type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, Peer>;

impl<E: Env> RaftTypeConfig for Types<E> {
    type D = Batch;
    type R = Applied;
    type NodeId = u64;
    type Node = Peer;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = E::Runtime;
    type Responder<T>
        = OneshotResponder<Self, T>
    where
        T: openraft::OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: openraft::OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

/// A log id from its parts.
pub fn log_id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}
