//! Progress notices: promises that everything through a revision was sent. Part of the hub.
//! They travel in the stream's queue like events, so none can overtake an event (etcd 15220),
//! and one that cannot be promised is not given, nor put off (etcd 17507).

use crate::watch::hub::Hub;
use crate::watch::queue::State;
use crate::watch::response::{Kind, NO_WATCHER, Response};
use crate::watch::stream::StreamId;

impl Hub {
    /// A client asks how far its stream is. Answered by one notice for all its watchers if each
    /// of them is live and none begins in the future; else not at all.
    pub fn progress_request(&mut self, stream: StreamId) {
        let Some(slot) = self.stream_slot(stream) else {
            return;
        };
        let it = self.stream(slot);
        if it.watchers.is_empty() || it.behind > 0 {
            return;
        }
        if it.floor_max > self.delivered {
            let floors = it
                .watchers
                .values()
                .map(|&watcher| self.watcher(watcher).floor);
            let floor_max = floors.max().unwrap_or_default();
            self.streams[slot as usize].floor_max = floor_max;
            if floor_max > self.delivered {
                return;
            }
        }
        self.push_progress(slot, NO_WATCHER);
    }

    /// Gives the timed notices that are due at `now_ns`: to each watcher that asked for them, is
    /// live, and was sent no events since its last turn.
    pub fn progress_tick(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
        while let Some(&(due_ns, slot)) = self.timers.first() {
            if due_ns > self.now_ns {
                break;
            }
            self.timers.remove(&(due_ns, slot));
            let stream = &mut self.streams[slot as usize];
            stream.due_ns = self.now_ns + stream.period_ns;
            self.timers.insert((stream.due_ns, slot));
            self.notify_stream(slot);
        }
    }

    /// When [`Hub::progress_tick`] has something to do next.
    pub fn next_progress_ns(&self) -> Option<u64> {
        self.timers.first().map(|(due_ns, _)| *due_ns)
    }

    /// Begins timed notices for a watcher.
    pub(super) fn start_notices(&mut self, slot: u32, watcher: u32) {
        let stream = &mut self.streams[slot as usize];
        if stream.notify.is_empty() {
            stream.due_ns = self.now_ns + stream.period_ns;
            self.timers.insert((stream.due_ns, slot));
        }
        stream.notify.insert(watcher);
    }

    /// Ends timed notices for a watcher.
    pub(super) fn stop_notices(&mut self, slot: u32, watcher: u32) {
        let stream = &mut self.streams[slot as usize];
        stream.notify.remove(&watcher);
        if stream.notify.is_empty() {
            self.timers.remove(&(stream.due_ns, slot));
        }
    }

    fn notify_stream(&mut self, slot: u32) {
        // A stream that is not read needs no news, and its queue no more entries.
        let full = self.stream(slot).queued_bytes() >= self.settings.stream_bytes;
        for watcher in self.stream(slot).notify.iter().copied().collect::<Vec<_>>() {
            let it = &mut self.watchers[watcher as usize];
            let quiet = std::mem::replace(&mut it.quiet, true);
            let can_promise = it.state == State::Live && it.floor <= self.delivered;
            let watch_id = it.id;
            if quiet && can_promise && !full {
                self.push_progress(slot, watch_id);
            }
        }
    }

    fn push_progress(&mut self, slot: u32, watch_id: i64) {
        let header_revision = self.delivered;
        self.push(
            slot,
            Response {
                watch_id,
                header_revision,
                kind: Kind::Progress,
            },
        );
    }
}
