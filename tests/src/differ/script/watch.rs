//! Watches of a script.

use bytes::Bytes;

use super::Script;
use crate::client::pb;
use crate::differ::contest::Known;
use crate::differ::step::Step;
use crate::differ::watches::WATCH_STREAMS;

impl Script {
    pub(super) fn watch_id(&mut self) -> i64 {
        match self.random.below(8) {
            0 => -1,
            1 => 1_000,
            2 => i64::MAX,
            _ => self.random.below(14) as i64,
        }
    }

    pub(super) fn watch(&mut self, known: Known) -> Step {
        let (key, range_end) = if self.random.one_in(5) {
            (Bytes::from_static(b"g/"), Bytes::from_static(b"h"))
        } else {
            let key = self.key();
            let end = self.end(&key);
            (key, end)
        };
        let start_revision = match self.random.below(12) {
            0..=4 => 0,
            5 => known.revision + 1 + self.random.below(9) as i64,
            6 => known.compacted,
            7 => known.compacted - 1,
            8 => known.revision,
            9 if !self.old_peer => -1,
            _ => self.between(known) + 1,
        };
        let filters = match self.random.below(8) {
            0 => vec![0],
            1 => vec![1],
            2 if self.random.one_in(3) => vec![0, 1],
            3 if self.random.one_in(3) => vec![1, 1],
            _ => Vec::new(),
        };
        let watch_id = if self.random.one_in(4) {
            self.watch_id()
        } else {
            0
        };
        let future = start_revision > known.revision;
        let last = WATCH_STREAMS - 1;
        let stream = if future {
            last
        } else {
            self.random.below(last as u64) as usize
        };
        let create = pb::WatchCreateRequest {
            key,
            range_end,
            start_revision: if self.old_peer {
                start_revision.max(0)
            } else {
                start_revision
            },
            filters,
            prev_kv: self.random.one_in(2),
            watch_id,
            fragment: self.random.one_in(2),
            progress_notify: self.random.one_in(3),
        };
        Step::Watch(stream, create)
    }
}
