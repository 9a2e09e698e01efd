//! Those who watch: the many of a fan-out, or the one that a check needs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use proto::etcdserverpb as pb;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::client::Shared;
use super::keys::Keys;
use super::load::Operation;
use super::record::Record;
use super::slot::Slot;
use crate::client::Status;

/// How long the last events may take.
const LAST_LIMIT: Duration = Duration::from_secs(20);

/// What one of them was told.
#[derive(Default)]
struct Told {
    /// Revisions, one for each event.
    revisions: RefCell<Vec<i64>>,
    newest: Cell<i64>,
    news: Notify,
}

/// All watchers of a run.
#[derive(Default)]
pub(super) struct Watchers {
    tasks: JoinSet<()>,
    told: Vec<Rc<Told>>,
    from: i64,
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
        for number in 0..count {
            let slot = slots[number % slots.len()].clone();
            let now = newest(&slot).await?;
            watchers.from = watchers.from.max(now + 1);
            let told = Rc::new(Told::default());
            told.newest.set(now);
            watchers.told.push(told.clone());
            let (ready, is_ready) = tokio::sync::oneshot::channel();
            let (shared, record) = (shared.clone(), record.clone());
            watchers.tasks.spawn_local(async move {
                let mut ready = Some(ready);
                loop {
                    let end = watch(&shared, &record, &slot, &told, &mut ready).await;
                    if let Err(status) = end {
                        record.failed(&status, std::time::Instant::now());
                    }
                }
            });
            if is_ready.await.is_err() {
                return Err(Status::unavailable("a watch was not created"));
            }
        }
        Ok(watchers)
    }

    /// Waits until all were told of everything up to `revision`, compares, and ends them.
    pub async fn finish(mut self, shared: &Shared, revision: i64) {
        for told in &self.told {
            if !shared.check.is_on() {
                break;
            }
            let last = async {
                while told.newest.get() < revision {
                    told.news.notified().await;
                }
            };
            if tokio::time::timeout(LAST_LIMIT, last).await.is_err() {
                let newest = told.newest.get();
                shared.check.fault(format!(
                    "revision {revision} was acknowledged, a watch was told no further than \
                     {newest} within {LAST_LIMIT:?}"
                ));
            }
            shared.check.watched(&told.revisions.borrow(), self.from);
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

/// One stream; after it breaks another goes on where it ended.
async fn watch(
    shared: &Shared,
    record: &Record,
    slot: &Slot,
    told: &Told,
    ready: &mut Option<tokio::sync::oneshot::Sender<()>>,
) -> Result<(), Status> {
    let (load, channel) = (&shared.load, slot.channel().await?);
    let (key, range_end) = Keys::new(load.space, 1, load.key_size, 0).whole();
    let mut stream = channel.watch(pb::WatchCreateRequest {
        key,
        range_end,
        start_revision: told.newest.get() + 1,
        ..Default::default()
    })?;
    while let Some(response) = stream.next().await? {
        if response.canceled {
            return Err(Status::new(10, response.cancel_reason));
        }
        if response.created
            && let Some(ready) = ready.take()
        {
            let _ = ready.send(());
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
    Err(Status::unavailable("the server ended a watch"))
}
