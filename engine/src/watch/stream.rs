//! One watch stream: its watchers by id and the responses that wait to be sent, in order. Used
//! by the hub.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::watch::response::Response;

/// A watch stream of one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) u64);

impl StreamId {
    /// The stream in slot `slot`, told apart from earlier ones there by `serial`.
    pub(super) fn new(slot: u32, serial: u32) -> Self {
        Self(u64::from(serial) << 32 | u64::from(slot))
    }

    /// The slot.
    pub(super) fn slot(self) -> u32 {
        self.0 as u32
    }
}

/// Ids of ended watchers that are remembered; the lowest is forgotten first.
const RETIRED_MAX: usize = 1 << 16;

/// A stream's state.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    /// Watchers by watch id.
    pub(super) watchers: BTreeMap<i64, u32>,
    /// Ids of watchers that a compaction ended: as in etcd they are taken until the client cancels
    /// them, which gets a second answer.
    retired: BTreeSet<i64>,
    /// The next id to assign; ids are not used twice, as in etcd.
    pub(super) next_id: i64,
    /// Watchers that wait for the queue to shrink.
    pub(super) blocked: BTreeSet<u32>,
    /// Number of watchers that are not live.
    pub(super) behind: usize,
    /// No watcher may be told progress below its own floor; this is the highest of them, or
    /// higher.
    pub(super) floor_max: i64,
    /// Watchers with `progress_notify`.
    pub(super) notify: BTreeSet<u32>,
    /// Nanoseconds between two timed progress notices.
    pub(super) period_ns: u64,
    /// When the next is due; counts only while `notify` is not empty.
    pub(super) due_ns: u64,
    /// It is on the list of streams that have become ready.
    pub(super) announced: bool,
    queue: VecDeque<Response>,
    queued_bytes: usize,
}

impl Stream {
    pub(super) fn new(id: StreamId, period_ns: u64) -> Self {
        Self {
            id,
            watchers: BTreeMap::new(),
            retired: BTreeSet::new(),
            next_id: 0,
            blocked: BTreeSet::new(),
            behind: 0,
            floor_max: 0,
            notify: BTreeSet::new(),
            period_ns,
            due_ns: 0,
            announced: false,
            queue: VecDeque::new(),
            queued_bytes: 0,
        }
    }

    /// The id for a new watcher that asked for `wanted`; `None` if it is taken.
    pub(super) fn assign_id(&mut self, wanted: i64) -> Option<i64> {
        let is_taken = |id: &i64| self.watchers.contains_key(id) || self.retired.contains(id);
        if wanted != 0 {
            return (!is_taken(&wanted)).then_some(wanted);
        }
        while is_taken(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Some(self.next_id - 1)
    }

    /// Keeps the id of a watcher that a compaction ended from being given again.
    pub(super) fn retire(&mut self, id: i64) {
        if self.retired.len() == RETIRED_MAX {
            self.retired.pop_first();
        }
        self.retired.insert(id);
    }

    /// Frees such an id. Returns whether it was one.
    pub(super) fn release(&mut self, id: i64) -> bool {
        self.retired.remove(&id)
    }

    /// Queues a response. Returns whether the queue was empty.
    pub(super) fn push(&mut self, response: Response) -> bool {
        let first = self.queue.is_empty();
        self.queued_bytes += response.wire_bytes();
        self.queue.push_back(response);
        first
    }

    /// Takes the oldest response.
    pub(super) fn pop(&mut self) -> Option<Response> {
        const IDLE_CAPACITY: usize = 32;
        let response = self.queue.pop_front()?;
        self.queued_bytes -= response.wire_bytes();
        if self.queue.is_empty() && self.queue.capacity() > IDLE_CAPACITY {
            self.queue = VecDeque::new();
        }
        Some(response)
    }

    /// Bytes queued.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Events queued.
    pub(super) fn queued_events(&self) -> usize {
        self.queue.iter().map(Response::event_count).sum()
    }
}
