//! Watchers that lie behind: from recent events or from history to live, in bounded steps and in
//! turn. Part of the hub; the core's task that reads history drives it between deliveries, which
//! never wait for it (etcd 22264).

use std::sync::Arc;

use crate::event::Event;
use crate::keys::KeyRange;
use crate::watch::batch::{self, EventBatch};
use crate::watch::hub::{Hub, Watcher};
use crate::watch::queue::{Members, Seat, State};
use crate::watch::response::{Filters, Kind};

/// What to do next for watchers that lie behind.
#[derive(Debug)]
pub enum CatchUp {
    /// Read history and hand it to [`Hub::caught`].
    Read(Job),
    /// A step was made; ask again, after other work.
    Again,
    /// Nobody waits. (Some may wait for their stream to be drained.)
    Idle,
}

/// A read of history that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u64);

/// History wanted: all changes of the keys of `range` with a main revision in `from..=through`,
/// in order, but for kinds that `filters` leaves out. It may end early, after any whole revision.
#[derive(Clone, Debug)]
pub struct Job {
    /// To be handed back.
    pub id: JobId,
    /// The keys.
    pub range: KeyRange,
    /// The first revision, inclusive.
    pub from: i64,
    /// The last revision, inclusive.
    pub through: i64,
    /// Kinds that nobody needs.
    pub filters: Filters,
    /// Whether [`Event::prev`] has to be filled in. What is still unknown then counts as absent.
    pub prev_kv: bool,
    /// End early after the revision with which this many events are reached.
    pub events_max: usize,
    /// End early after the revision with which this many bytes are reached.
    pub bytes_max: usize,
}

/// How a replay of recent events ended.
enum Replay {
    /// The watcher is live, or blocked, or gone to the end of the queue.
    Done,
    /// What it needs next is only in history.
    HistoryNeeded,
}

impl Hub {
    /// Makes one bounded step for the watcher that has waited longest.
    pub fn next_catch_up(&mut self) -> CatchUp {
        let Some(watcher) = self.queue.first() else {
            return CatchUp::Idle;
        };
        let it = self.watcher(watcher);
        let (next, unseen) = (it.next, it.unseen);
        if self.stream(it.stream).queued_bytes() >= self.settings.stream_bytes {
            self.place(watcher, next, State::Blocked);
            return CatchUp::Again;
        }
        if next >= self.recent.from()
            && next > unseen
            && let Replay::Done = self.replay(watcher)
        {
            return CatchUp::Again;
        }
        if self.watcher(watcher).next < self.compact_revision {
            self.retire(watcher);
            return CatchUp::Again;
        }
        CatchUp::Read(self.start_job(watcher))
    }

    /// Takes what was read for a job: the events in order, complete through revision `through`.
    /// An answer to a job that is over (its watchers gone, or after [`Hub::reset`]) is ignored.
    pub fn caught(&mut self, job: JobId, events: impl Into<Arc<[Event]>>, through: i64) {
        let Some(members) = self.queue.end_job(job.0) else {
            return;
        };
        let members = self.still_reading(job.0, members);
        let Some(&first) = members.first() else {
            return;
        };
        let from = self.watcher(first).next;
        // What lies above the delivered revision comes by delivery.
        let through = through.min(self.delivered);
        let events = events.into();
        let begin = events.partition_point(|event| event.revision.main < from);
        let end = events.partition_point(|event| event.revision.main <= through);
        debug_assert!(events.is_sorted_by_key(|event| event.revision));
        let whole = Arc::new(EventBatch::new(match begin == 0 && end == events.len() {
            true => events,
            false => events[begin.min(end)..end].into(),
        }));
        let mut by_class: [Option<Option<Arc<EventBatch>>>; 4] = Default::default();
        for watcher in members {
            let filters = self.watcher(watcher).filters;
            let batch = by_class[filters.class()]
                .get_or_insert_with(|| admitted(&whole, filters))
                .clone();
            self.take_history(watcher, batch, through);
        }
    }

    /// A job could not be read now; its watchers wait again. (If its start was compacted
    /// meanwhile, [`Hub::compacted`] has ended them already.)
    pub fn failed(&mut self, job: JobId) {
        let Some(members) = self.queue.end_job(job.0) else {
            return;
        };
        for watcher in self.still_reading(job.0, members) {
            self.requeue(watcher, self.watcher(watcher).next);
        }
    }

    /// A job cannot be read, now or later: its watchers are told so and end.
    pub fn broken(&mut self, job: JobId, reason: &str) {
        let Some(members) = self.queue.end_job(job.0) else {
            return;
        };
        let reason: Arc<str> = reason.into();
        for watcher in self.still_reading(job.0, members) {
            let kind = Kind::Failed {
                reason: reason.clone(),
            };
            self.end(watcher, self.settled, kind);
        }
    }

    /// The store was compacted at `revision`. Every watcher that still needs something below it
    /// is cancelled now, however many are behind (etcd 22294); the revision itself can still be
    /// read.
    pub fn compacted(&mut self, revision: i64) {
        self.compact_revision = self.compact_revision.max(revision);
        self.recent.compacted(self.compact_revision);
        while let Some(watcher) = self.queue.any_below(self.compact_revision) {
            self.retire(watcher);
        }
    }

    /// The store jumped to `settled`, as when a snapshot is installed, or its events may have
    /// been interrupted, as when the principal changes. Live watchers go on where they were:
    /// what they have not got they get from history, nothing comes twice (etcd 15271). Reads
    /// under way are void.
    pub fn reset(&mut self, settled: i64) {
        for (job, members) in self.queue.end_all_jobs() {
            for watcher in self.still_reading(job, members) {
                self.requeue(watcher, self.watcher(watcher).next);
            }
        }
        if settled <= self.delivered {
            return;
        }
        let before = std::mem::replace(&mut self.delivered, settled);
        self.settled = self.settled.max(settled);
        self.recent.restart(settled + 1);
        for watcher in self.live_watchers() {
            let next = self.watcher(watcher).next.max(before + 1);
            if next <= settled {
                self.requeue(watcher, next);
            }
        }
    }

    fn live_watchers(&self) -> Vec<u32> {
        let live = self
            .watchers
            .iter()
            .filter(|(_, it)| it.state == State::Live);
        live.map(|(watcher, _)| watcher as u32).collect()
    }

    /// Puts a watcher at the end of the queue.
    fn requeue(&mut self, watcher: u32, next: i64) {
        let ticket = self.queue.ticket();
        self.place(watcher, next, State::Waiting { ticket });
    }

    /// Begins a read for a watcher and all others that wait for the same.
    fn start_job(&mut self, watcher: u32) -> Job {
        let it = self.watcher(watcher);
        let (slot, from) = (it.place.slot, it.next);
        let (mut filters, mut prev_kv) = (it.filters, it.prev_kv);
        let members = self.queue.alike(Seat {
            watcher,
            slot,
            next: from,
        });
        let job = self.queue.begin_job(members.clone());
        for member in members {
            let it = self.watcher(member);
            filters = filters.common(it.filters);
            prev_kv |= it.prev_kv;
            self.place(member, from, State::Reading { job });
        }
        Job {
            id: JobId(job),
            range: self.ranges.range(slot).clone(),
            from,
            through: self.delivered,
            filters,
            prev_kv,
            events_max: self.settings.catch_up_events,
            bytes_max: self.settings.fragment_bytes,
        }
    }

    /// Those of `members` that still wait for `job`; a slot may have a new watcher by now.
    fn still_reading(&self, job: u64, mut members: Members) -> Members {
        members.retain(|&mut watcher| {
            let it = self.watchers.get(watcher as usize);
            it.is_some_and(|it| it.state == State::Reading { job })
        });
        members
    }

    /// Gives history to a watcher, and then what is recent, if that closes the gap.
    fn take_history(&mut self, watcher: u32, batch: Option<Arc<EventBatch>>, through: i64) {
        let next = self.watcher(watcher).next;
        if let Some(batch) = batch
            && !self.push_events(watcher, self.settled, &batch)
        {
            self.place(watcher, next, State::Blocked);
            return;
        }
        let next = next.max(through + 1);
        self.requeue(watcher, next);
        // A read always ends a little behind a busy store: going on at once is what lets a
        // watcher become live at all.
        if next >= self.recent.from() && next > self.watcher(watcher).unseen {
            self.replay(watcher);
        }
    }

    /// Gives a watcher what it wants of the recent revisions, from its next one on, gathered in
    /// responses of bounded size as history is.
    fn replay(&mut self, watcher: u32) -> Replay {
        let recent = std::mem::take(&mut self.recent);
        let mut gathered = Gathered::default();
        let mut history_needed = false;
        let mut open = true;
        for (revision, batch) in recent.since(self.watcher(watcher).next) {
            let it = self.watcher(watcher);
            let range = self.ranges.range(it.place.slot);
            if !gathered.add(range, it, batch) {
                // What was gathered comes from history, too: told apart, where responses are cut
                // would depend on what others watch.
                history_needed = true;
                break;
            }
            if gathered.len() >= self.settings.catch_up_events
                || gathered.bytes >= self.settings.fragment_bytes
            {
                open = self.hand_over(watcher, &mut gathered, revision + 1);
                if !open {
                    break;
                }
            }
        }
        if open && !history_needed {
            open = self.hand_over(watcher, &mut gathered, self.delivered + 1);
        }
        self.recent = recent;
        if open && history_needed {
            return Replay::HistoryNeeded;
        }
        Replay::Done
    }

    /// Queues what was gathered; the watcher then stands at `next`, live if that is above the
    /// delivered revision. If there is no room it is blocked where it was, and this is false.
    fn hand_over(&mut self, watcher: u32, gathered: &mut Gathered, next: i64) -> bool {
        if let Some(batch) = gathered.take()
            && !self.push_events(watcher, self.settled, &batch)
        {
            self.place(watcher, self.watcher(watcher).next, State::Blocked);
            return false;
        }
        let state = match (next > self.delivered, self.watcher(watcher).state) {
            (true, _) => State::Live,
            (false, state) => state,
        };
        self.place(watcher, next, state);
        true
    }
}

/// The events of a batch that pass `filters`; `None` if none does.
fn admitted(whole: &Arc<EventBatch>, filters: Filters) -> Option<Arc<EventBatch>> {
    let events = whole.events();
    let count = events
        .iter()
        .filter(|event| filters.admits(event.delete))
        .count();
    if count == 0 {
        return None;
    }
    if count == events.len() {
        return Some(whole.clone());
    }
    let passing = events.iter().filter(|event| filters.admits(event.delete));
    Some(Arc::new(EventBatch::new(
        passing.cloned().collect::<Vec<_>>(),
    )))
}

/// Recent events picked out for one watcher.
#[derive(Default)]
struct Gathered {
    /// Whole batches while each is wanted whole and there is only one, so that its encoding is
    /// shared; else single events.
    whole: Option<Arc<EventBatch>>,
    events: Vec<Event>,
    bytes: usize,
}

impl Gathered {
    fn len(&self) -> usize {
        self.events.len() + self.whole.as_ref().map_or(0, |batch| batch.events().len())
    }

    /// Adds what `watcher` wants of one revision. Returns false, with nothing added, if it wants
    /// a former state that is not known here.
    fn add(&mut self, range: &KeyRange, watcher: &Watcher, batch: &Arc<EventBatch>) -> bool {
        let wanted =
            |event: &&Event| range.contains(&event.kv.key) && watcher.filters.admits(event.delete);
        let events = batch.events();
        let count = events.iter().filter(wanted).count();
        if count == 0 {
            return true;
        }
        if watcher.prev_kv && events.iter().filter(wanted).any(batch::lacks_prev) {
            return false;
        }
        if count == events.len() && self.len() == 0 {
            self.bytes += batch.wire_bytes(watcher.prev_kv);
            self.whole = Some(batch.clone());
            return true;
        }
        if let Some(whole) = self.whole.take() {
            self.events.extend_from_slice(whole.events());
        }
        for event in events.iter().filter(wanted) {
            self.bytes += batch::event_wire_bytes(event, watcher.prev_kv);
            self.events.push(event.clone());
        }
        true
    }

    fn take(&mut self) -> Option<Arc<EventBatch>> {
        self.bytes = 0;
        let events = std::mem::take(&mut self.events);
        let whole = self.whole.take();
        whole.or_else(|| (!events.is_empty()).then(|| Arc::new(EventBatch::new(events))))
    }
}
