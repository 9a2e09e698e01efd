//! What a watch stream asks for and what it is answered, without the wire form. Built by the
//! server's watch service (requests) and by the hub (responses).

use std::borrow::Cow;
use std::sync::Arc;

use crate::keys::KeyRange;
use crate::watch::batch::EventBatch;

/// The watch id of a response that belongs to no watcher: a refused create, or a progress notice
/// for a whole stream.
pub(super) const NO_WATCHER: i64 = -1;

/// Kinds of changes a watcher does not want.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Puts are left out.
    pub no_put: bool,
    /// Deletes are left out.
    pub no_delete: bool,
}

impl Filters {
    /// Whether a change that is a delete (or else a put) passes.
    pub fn admits(self, delete: bool) -> bool {
        if delete {
            !self.no_delete
        } else {
            !self.no_put
        }
    }

    /// A number below 4 that tells the four combinations apart.
    pub(super) fn class(self) -> usize {
        usize::from(self.no_put) | usize::from(self.no_delete) << 1
    }

    /// What both leave out.
    pub(super) fn common(self, other: Self) -> Self {
        Self {
            no_put: self.no_put && other.no_put,
            no_delete: self.no_delete && other.no_delete,
        }
    }
}

/// A request for a new watcher, as etcd's `WatchCreateRequest`.
#[derive(Clone, Debug)]
pub struct CreateRequest {
    /// The keys; may be empty, which is refused.
    pub range: KeyRange,
    /// First revision wanted; 0 for what comes after now, negative is refused.
    pub start_revision: i64,
    /// Changes left out.
    pub filters: Filters,
    /// Send the state before each change.
    pub prev_kv: bool,
    /// Send a progress notice after each interval without events.
    pub progress_notify: bool,
    /// Split large responses.
    pub fragment: bool,
    /// The id wanted, 0 to have one assigned.
    pub watch_id: i64,
}

impl CreateRequest {
    /// Everything in `range` from `start_revision`, with all options off.
    pub fn new(range: KeyRange, start_revision: i64) -> Self {
        Self {
            range,
            start_revision,
            filters: Filters::default(),
            prev_kv: false,
            progress_notify: false,
            fragment: false,
            watch_id: 0,
        }
    }
}

/// One message of a watch stream.
#[derive(Clone, Debug)]
pub struct Response {
    /// The watcher, or -1.
    pub watch_id: i64,
    /// The header's revision: for live events theirs, for older ones the store's, 0 when
    /// cancelled by compaction.
    pub header_revision: i64,
    /// What it says.
    pub kind: Kind,
}

/// What a [`Response`] says.
#[derive(Clone, Debug)]
pub enum Kind {
    /// `created`: the first response of a watcher.
    Created,
    /// `created` and `canceled` together, with watch id -1: there is no such watcher.
    Refused {
        /// etcd's `cancel_reason`.
        reason: Cow<'static, str>,
    },
    /// `canceled`: the last response of a watcher.
    Canceled {
        /// The compact revision, when what the watcher needed was compacted; else 0.
        compact_revision: i64,
    },
    /// `canceled`: the last response of a watcher whose history cannot be read.
    Failed {
        /// What stands in the way.
        reason: Arc<str>,
    },
    /// Changes, whole revisions of them unless `fragment`.
    Events {
        /// The changes, shared with other watchers that get the same ones.
        batch: Arc<EventBatch>,
        /// Whether the state before each change is to be sent.
        prev_kv: bool,
        /// More of the same answer follows.
        fragment: bool,
    },
    /// Everything through the header's revision was sent before.
    Progress,
}

impl Response {
    /// The number of events inside.
    pub fn event_count(&self) -> usize {
        match &self.kind {
            Kind::Events { batch, .. } => batch.events().len(),
            _ => 0,
        }
    }

    /// Bytes this takes on the wire, roughly (control responses) or nearly (events).
    pub(super) fn wire_bytes(&self) -> usize {
        const ENVELOPE_BYTES: usize = 64;
        match &self.kind {
            Kind::Events { batch, prev_kv, .. } => ENVELOPE_BYTES + batch.wire_bytes(*prev_kv),
            Kind::Refused { reason } => ENVELOPE_BYTES + reason.len(),
            Kind::Failed { reason } => ENVELOPE_BYTES + reason.len(),
            Kind::Created | Kind::Canceled { .. } | Kind::Progress => ENVELOPE_BYTES,
        }
    }
}
