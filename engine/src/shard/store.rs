//! What one shard holds: the index of its keys, their pages, and which key hangs on which lease.
//! Owned by the shard; read by evaluation and by the background work.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use bytes::Bytes;

use crate::env::Disk;
use crate::event::{Event, KeyValue, Previous};
use crate::format::effects::Change;
use crate::ids::{LeaseId, Revision};
use crate::lease::Attachments;
use crate::mvcc::pages::Pages;
use crate::mvcc::{Index, PageId, Value, Version};
use crate::shard::evaluate;

/// Leases that may be named: granted and committed. One set for all shards of a core.
pub type Leases = Rc<RefCell<BTreeSet<i64>>>;

/// Values up to this length are copied out of the request when they are staged: a slice of it
/// would keep the whole network buffer alive until the value is sealed.
const COPY_BYTES: usize = 4096;

/// One shard's data.
pub struct Store<D: Disk> {
    /// Keys and versions.
    pub index: Index,
    /// Values that were sealed.
    pub pages: Pages<D>,
    attachments: Attachments,
    leases: Leases,
}

impl<D: Disk> Store<D> {
    /// A store over an index that recovery loaded; `leases` are those of the core.
    pub fn new(index: Index, pages: Pages<D>, leases: Leases) -> Self {
        Self {
            index,
            pages,
            attachments: Attachments::default(),
            leases,
        }
    }

    /// Attaches a key that recovery found with a lease.
    pub fn attach(&mut self, key: &[u8], lease: i64) {
        self.attachments
            .attach(Bytes::copy_from_slice(key), LeaseId(lease));
    }

    /// A version's value; where its page is not in memory, the page is added to `missing`.
    pub fn value(&self, version: &Version, missing: &mut Vec<PageId>) -> Bytes {
        match &version.value {
            Value::Deleted => Bytes::new(),
            Value::Staged(value) => value.clone(),
            Value::Sealed(slot) if slot.len == 0 => Bytes::new(),
            Value::Sealed(slot) => self.pages.peek(slot).unwrap_or_else(|| {
                missing.push(slot.page);
                Bytes::new()
            }),
        }
    }

    /// Whether puts may name the lease.
    pub fn lease_exists(&self, lease: i64) -> bool {
        self.leases.borrow().contains(&lease)
    }

    /// The lease is revoked: no put may name it any more.
    pub fn forget_lease(&mut self, lease: i64) {
        self.leases.borrow_mut().remove(&lease);
    }

    /// Keys of a lease, in order.
    pub fn attached_keys(&self, lease: i64) -> Vec<Bytes> {
        self.attachments.keys(LeaseId(lease)).cloned().collect()
    }

    /// Puts one change into the head. With `event` set, returns what watchers will be shown;
    /// the former state is [`Previous::Unknown`] where its page is not in memory.
    pub fn stage(&mut self, main: i64, change: &Change, event: Option<Wanted>) -> Option<Event> {
        let revision = Revision::new(main, i64::from(change.sub));
        let event = event.map(|wanted| self.event(revision, change, wanted));
        let lease = change.put.as_ref().map_or(0, |put| put.lease);
        if lease == 0 {
            if !self.attachments.is_empty() {
                self.attachments.detach(&change.key);
            }
        } else {
            self.attachments
                .attach(compact(&change.key), LeaseId(lease));
        }
        let version = match &change.put {
            Some(put) => Version {
                revision,
                create_revision: put.create_revision,
                version: put.version,
                lease: put.lease,
                value: Value::Staged(compact(&put.value)),
            },
            None => Version {
                revision,
                create_revision: 0,
                version: 0,
                lease: 0,
                value: Value::Deleted,
            },
        };
        self.index.stage(&change.key, version);
        event
    }

    fn event(&self, revision: Revision, change: &Change, wanted: Wanted) -> Event {
        // The state before the whole revision, as in etcd: an earlier change of the key by the
        // same transaction does not count.
        let newest = self.index.newest(&change.key);
        let before = match newest {
            Some(own) if own.revision.main == revision.main => {
                self.index.previous(&change.key, revision.main)
            }
            other => other,
        };
        let put = change.put.as_ref();
        let creates = put.is_some_and(|put| put.create_revision == revision.main);
        let prev = match (wanted, before) {
            _ if creates => Previous::Absent,
            (Wanted::Event, _) => Previous::Unknown,
            (Wanted::Previous, Some(version)) if !version.is_delete() => {
                let mut missing = Vec::new();
                let value = self.value(version, &mut missing);
                let pair = evaluate::pair(change.key.clone(), version, value);
                if missing.is_empty() {
                    Previous::Known(pair.into())
                } else {
                    Previous::Unknown
                }
            }
            (Wanted::Previous, _) => Previous::Absent,
        };
        let mut kv = KeyValue {
            key: change.key.clone(),
            mod_revision: revision.main,
            ..KeyValue::default()
        };
        if let Some(put) = &change.put {
            kv.value = put.value.clone();
            kv.create_revision = put.create_revision;
            kv.version = put.version;
            kv.lease = put.lease;
        }
        Event {
            revision,
            kv,
            delete: change.put.is_none(),
            prev,
        }
    }
}

/// What of an event is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The new state.
    Event,
    /// The former state, too.
    Previous,
}

fn compact(bytes: &Bytes) -> Bytes {
    if bytes.len() <= COPY_BYTES {
        Bytes::copy_from_slice(bytes)
    } else {
        bytes.clone()
    }
}
