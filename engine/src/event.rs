//! A key and its value as clients see them, and a change of one.

use std::sync::Arc;

use bytes::Bytes;

use crate::ids::Revision;

/// A key with everything etcd's `mvccpb.KeyValue` says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The key, never empty.
    pub key: Bytes,
    /// The value; empty where only keys were asked for.
    pub value: Bytes,
    /// Revision of the put that created the key's present life.
    pub create_revision: i64,
    /// Revision of the last put.
    pub mod_revision: i64,
    /// Puts in the present life, from 1.
    pub version: i64,
    /// The lease attached, 0 for none.
    pub lease: i64,
}

/// One change of one key, in the order of [`Revision`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where it stands in the global order.
    pub revision: Revision,
    /// The state after the change; for a delete only `key` and `mod_revision` are set.
    pub kv: KeyValue,
    /// Whether the key was deleted.
    pub delete: bool,
    /// What stood there before.
    pub prev: Previous,
}

/// What an event knows of the state before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Previous {
    /// Nobody asked when the event was made: it must be read from history if needed.
    #[default]
    Unknown,
    /// The key did not exist, or its former state was compacted; with a put that created the key
    /// also where the same transaction had deleted it, as etcd has it.
    Absent,
    /// The former state.
    Known(Arc<KeyValue>),
}
