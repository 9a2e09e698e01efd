//! Those who watch: the many of a fan-out, or the one that a check needs.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use proto::etcdserverpb as pb;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::client::Shared;
use super::keys::Keys;
use super::load::{Load, Operation};
use super::record::Record;
use super::slot::Slot;
use crate::client::{Status, within};

/// How long the last events may take.
const LAST_LIMIT: Duration = Duration::from_secs(20);

/// How long it may take to find out what they have to be told.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// Says once whether the watchers of a stream could begin.
type Ready = tokio::sync::oneshot::Sender<Result<(), Status>>;

/// What one of them was told.
#[derive(Default)]
struct Told {
    /// Revisions, one for each event.
    revisions: RefCell<Vec<i64>>,
    newest: Cell<i64>,
    news: Notify,
}

impl From<i64> for Told {
    /// For one who has to be told of what comes after revision `now`.
    fn from(now: i64) -> Told {
        let told = Told::default();
        told.newest.set(now);
        told
    }
}

/// All watchers of a run.
#[derive(Default)]
pub(super) struct Watchers {
    tasks: JoinSet<()>,
    told: Vec<Rc<Told>>,
    from: i64,
    slot: Option<Rc<Slot>>,
}

impl Watchers {
    /// Starts as many as the load asks for; returns when all are created.
    ///
    /// # Errors
    /// When a watch is refused.
    pub async fn start(
        shared: &Rc<Shared>,
        record: &Rc<Record>,
        slots: &[Rc<Slot>],
    ) -> Result<Watchers, Status> {
        let load = &shared.load;
        let mut watchers = Watchers::default();
        let count = match (load.is_fanout(), load.check) {
            (true, _) => load.watchers,
            (false, check) => usize::from(check),
        };
        let numbers: Vec<usize> = (0..count).collect();
        let streams = numbers.chunks(load.watches_per_stream.max(1));
        for (number, watches) in streams.enumerate() {
            let slot = slots[number % slots.len()].clone();
            watchers.slot.get_or_insert_with(|| slot.clone());
            let now = newest(&slot).await?;
            watchers.from = watchers.from.max(now + 1);
            let told: Vec<_> = watches.iter().map(|_| Rc::new(Told::from(now))).collect();
            watchers.told.extend_from_slice(&told);
            let (ready, is_ready) = tokio::sync::oneshot::channel();
            let (shared, record) = (shared.clone(), record.clone());
            watchers.tasks.spawn_local(async move {
                let mut ready = Some(ready);
                loop {
                    let status = watch(&shared, &record, &slot, &told, &mut ready).await;
                    // A run that cannot begin does not.
                    if let Some(ready) = ready.take() {
                        let _ = ready.send(Err(status));
                        return;
                    }
                    record.failed(&status, std::time::Instant::now());
                    // A server that refuses is not asked again at once.
                    tokio::time::sleep(Slot::PAUSE).await;
                }
            });
            let ended = |_| Status::unavailable("a watch was not created");
            is_ready.await.map_err(ended)??;
        }
        Ok(watchers)
    }

    /// Waits until all were told of everything, compares with what was acknowledged, and ends them.
    pub async fn finish(mut self, shared: &Shared, record: &Record) {
        let mut revision = shared.check.newest();
        if let Some(slot) = &self.slot {
            // Without an answer it is not known what they have to be told.
            let newest = within(READ_LIMIT, newest_change(slot, &shared.load)).await;
            revision = revision.max(newest.unwrap_or_default());
        }
        let limit = tokio::time::Instant::now() + LAST_LIMIT;
        for told in &self.told {
            let last = async {
                while told.newest.get() < revision {
                    told.news.notified().await;
                }
            };
            if tokio::time::timeout_at(limit, last).await.is_err() {
                let newest = told.newest.get();
                let text = format!(
                    "revision {revision} is there, a watch was told no further than {newest} \
                     within {LAST_LIMIT:?}"
                );
                if let Some(due) = shared.last_due() {
                    let late = Status::new(Status::DEADLINE_EXCEEDED, text.clone());
                    record.failed(&late, due);
                }
                shared.check.fault(text);
            }
            if shared.check.is_on() {
                shared.check.watched(&told.revisions.borrow(), self.from);
            }
        }
        self.tasks.shutdown().await;
    }
}

async fn newest(slot: &Slot) -> Result<i64, Status> {
    let none = pb::RangeRequest {
        key: "stoa-loadgen".into(),
        ..Default::default()
    };
    let answer = slot.channel().await?.range(&none).await?;
    Ok(answer.header.unwrap_or_default().revision)
}

/// The revision of the newest change of the run's keys that are there.
async fn newest_change(slot: &Slot, load: &Load) -> Result<i64, Status> {
    let (key, range_end) = Keys::new(load.space, 1, load.key_size, 0).whole();
    let newest_first = pb::RangeRequest {
        key,
        range_end,
        limit: 1,
        keys_only: true,
        sort_order: pb::range_request::SortOrder::Descend.into(),
        sort_target: pb::range_request::SortTarget::Mod.into(),
        ..Default::default()
    };
    let answer = slot.channel().await?.range(&newest_first).await?;
    Ok(answer.kvs.first().map_or(0, |kv| kv.mod_revision))
}

/// One stream with a watch for each of `told`; after it breaks another goes on where it ended.
/// Gives why it broke.
async fn watch(
    shared: &Shared,
    record: &Record,
    slot: &Slot,
    told: &[Rc<Told>],
    ready: &mut Option<Ready>,
) -> Status {
    let broke = follow(shared, record, slot, told, ready).await;
    let ended = || Status::unavailable("the server ended a watch");
    broke.err().unwrap_or_else(ended)
}

async fn follow(
    shared: &Shared,
    record: &Record,
    slot: &Slot,
    told: &[Rc<Told>],
    ready: &mut Option<Ready>,
) -> Result<(), Status> {
    let (load, channel) = (&shared.load, slot.channel().await?);
    let (key, range_end) = Keys::new(load.space, 1, load.key_size, 0).whole();
    let create = |told: &Told| pb::WatchCreateRequest {
        key: key.clone(),
        range_end: range_end.clone(),
        start_revision: told.newest.get() + 1,
        ..Default::default()
    };
    let [first, others @ ..] = told else {
        return Ok(());
    };
    let mut stream = channel.watch(create(first))?;
    for told in others {
        let create = pb::watch_request::RequestUnion::CreateRequest(create(told));
        stream.send(&pb::WatchRequest {
            request_union: Some(create),
        })?;
    }
    // Watches are created in the order in which they are asked for.
    let mut created = HashMap::new();
    while let Some(response) = stream.next().await? {
        if response.created && !response.canceled {
            let place = created.len();
            created.insert(response.watch_id, place);
        }
        let Some(told) = created
            .get(&response.watch_id)
            .and_then(|place| told.get(*place))
        else {
            return Err(Status::new(Status::ABORTED, response.cancel_reason));
        };
        if response.canceled {
            // What was compacted in the meantime nobody is told any more; go on behind it.
            let compacted = response.compact_revision - 1;
            told.newest.set(told.newest.get().max(compacted));
            return Err(Status::new(Status::ABORTED, response.cancel_reason));
        }
        if created.len() == others.len() + 1
            && let Some(ready) = ready.take()
        {
            let _ = ready.send(Ok(()));
        }
        for event in &response.events {
            let Some(kv) = &event.kv else { continue };
            if load.is_fanout()
                && let Some(due) = shared.due_of(&kv.value)
            {
                record.took(Operation::WatchFanout.name(), due);
            }
            if load.check {
                told.revisions.borrow_mut().push(kv.mod_revision);
            }
            told.newest.set(told.newest.get().max(kv.mod_revision));
        }
        told.news.notify_one();
    }
    Ok(())
}
