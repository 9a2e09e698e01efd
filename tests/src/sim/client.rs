//! Clients of one life: each asks its workload's requests one after the other and tells the model
//! what came of it; watchers tell it what they were shown. `world` starts them on the cores.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use engine::error::{Class, Error};
use engine::event::Event;
use engine::keys::KeyRange;
use engine::shard::request::RangeRequest;
use engine::watch::{CreateRequest, Kind};
use openraft::AsyncRuntime;

use crate::sim::model::{Model, Reply, Watched};
use crate::sim::node::SimCore;
use crate::sim::raft_rt::SimRuntime;
use crate::sim::random::Random;
use crate::sim::workload::{Request, Workload};

/// The model, shared by all that write it.
#[derive(Clone, Default)]
pub struct Book {
    model: Rc<RefCell<Model>>,
    failure: Rc<RefCell<Option<String>>>,
}

impl Book {
    /// A new model.
    pub fn new() -> Self {
        Self {
            model: Rc::new(RefCell::new(Model::new())),
            failure: Rc::default(),
        }
    }

    /// Works on the model.
    pub fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.model.borrow_mut())
    }

    /// Notes what went against the model, if it did.
    pub fn check(&self, checked: Result<(), String>) {
        if let Err(error) = checked {
            self.failure.borrow_mut().get_or_insert(error);
        }
    }

    /// The first thing that went wrong.
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }
}

/// Asks `count` requests.
pub async fn ask_all(
    cores: Rc<Vec<SimCore>>,
    at: usize,
    mut work: Workload,
    book: Book,
    count: u64,
) {
    for _ in 0..count {
        let pause = work.pause_ns();
        if pause > 0 {
            SimRuntime::sleep(Duration::from_nanos(pause)).await;
        }
        let request = work.draw();
        ask(&cores, at, request, &book).await;
        if book.failure().is_some() {
            return;
        }
    }
}

async fn ask(cores: &[SimCore], at: usize, request: Request, book: &Book) {
    let core = &cores[at];
    if let Request::Range(range) = request {
        return read(core, range, book).await;
    }
    if let Request::Compact { share, physical } = request {
        return compact(core, share, physical, book).await;
    }
    let number = book.with(|model| model.begin(&request));
    let seen = book.with(|model| model.promise());
    let done = change(cores, at, request, number, book).await;
    let checked = match done {
        Ok(revision) => not_older(revision, seen),
        Err(error) if matches!(error.class(), Class::Caller | Class::Retry) => {
            book.with(|model| model.refused(number));
            Ok(())
        }
        Err(error) => Err(format!("a request failed: {error}")),
    };
    book.check(checked);
}

/// What was told before the request began must be in what it saw.
fn not_older(revision: Option<i64>, seen: i64) -> Result<(), String> {
    match revision {
        Some(revision) if revision < seen => Err(format!(
            "an answer of revision {revision} after one of {seen}"
        )),
        _ => Ok(()),
    }
}

/// Asks for a change; returns the revision of the answer, where it has one.
async fn change(
    cores: &[SimCore],
    at: usize,
    request: Request,
    number: u64,
    book: &Book,
) -> Result<Option<i64>, Error> {
    let core = &cores[at];
    match request {
        Request::Put(put) => {
            let reply = core.put(put).await?;
            let revision = reply.revision;
            book.check(book.with(|model| model.changed(number, revision, Reply::Put(reply))));
            Ok(Some(revision))
        }
        Request::Delete(delete) => {
            let range = delete.range.clone();
            let reply = core.delete(delete).await?;
            let revision = reply.revision;
            if reply.deleted == 0 {
                book.with(|model| model.deleted_nothing(number, revision, range));
            } else {
                book.check(
                    book.with(|model| model.changed(number, revision, Reply::Delete(reply))),
                );
            }
            Ok(Some(revision))
        }
        Request::Txn(txn) | Request::ReadTxn(txn) => {
            let reply = core.txn(txn).await?;
            let revision = reply.revision;
            book.check(book.with(|model| model.ran(number, reply)));
            Ok(Some(revision))
        }
        Request::Grant { id, ttl_s } => {
            let lease = core.lease_grant(id, ttl_s).await?;
            book.with(|model| model.granted(number, lease.id));
            Ok(None)
        }
        Request::Revoke(id) => {
            let revision = core.lease_revoke(id).await?;
            book.with(|model| model.revoked(number, id, revision));
            Ok(Some(revision))
        }
        Request::KeepAlive(id) => {
            core.lease_keep_alive(id).await?;
            book.with(|model| model.refused(number));
            Ok(None)
        }
        Request::Checkpoint => {
            let done = cores[0].checkpoint_now().await;
            book.with(|model| model.refused(number));
            done.map(|()| None)
        }
        Request::Defragment => {
            let done = core.defragment().await;
            book.with(|model| model.refused(number));
            done.map(|()| None)
        }
        Request::Range(_) | Request::Compact { .. } => Ok(None),
    }
}

async fn read(core: &SimCore, mut range: RangeRequest, book: &Book) {
    let (oldest, newest) = book.with(|model| (model.compaction().1.max(1), model.promise()));
    if range.revision > 0 {
        let span = newest - oldest + 1;
        range.revision = if span > 0 {
            oldest + range.revision % span
        } else {
            0
        };
    }
    let number = book.with(|model| model.begin(&Request::Range(range.clone())));
    match core.range(range.clone()).await {
        Ok(reply) => {
            book.check(not_older(Some(reply.revision), newest));
            book.with(|model| model.read(number, range, reply));
        }
        // Another client compacted on the way.
        Err(Error::Compacted) => book.with(|model| model.refused(number)),
        Err(error) => book.check(Err(format!("a read failed: {error}: {range:?}"))),
    }
}

/// Compacts at a revision that the observer was shown, so that the model needs nothing below.
async fn compact(core: &SimCore, share: u64, physical: bool, book: &Book) {
    let request = Request::Compact { share, physical };
    let (number, at) = book.with(|model| {
        let (done, _) = model.compaction();
        let newest = model.shown_through();
        let at = newest - (newest - done) * share as i64 / 256;
        if at > done {
            model.compacting(at);
        }
        (model.begin(&request), at)
    });
    match core.compact(at, physical).await {
        Ok(_) => book.with(|model| model.compacted(number, at)),
        Err(Error::Compacted) => book.with(|model| model.refused(number)),
        Err(error) => book.check(Err(format!("a compaction at {at} failed: {error}"))),
    }
}

/// Watches everything from where the model stands, for ever.
pub async fn observe(core: SimCore, book: Book) {
    let start = book.with(|model| model.shown_through()) + 1;
    let stream = core.watch_open();
    let request = CreateRequest::new(KeyRange::From("\0".into()), start);
    if let Err(error) = stream.create(&request).await {
        return book.check(Err(format!("the observer was refused: {error}")));
    }
    loop {
        for response in stream.next().await {
            match response.kind {
                Kind::Events { batch, .. } => {
                    book.check(book.with(|model| model.show(batch.events())));
                }
                Kind::Created | Kind::Progress => {}
                other => {
                    let told = format!("the observer from {start} was told {other:?}");
                    return book.check(Err(told));
                }
            }
        }
    }
}

/// Watches a range from some old revision for a while, then tells the model what came.
pub async fn watch_some(core: SimCore, mut random: Random, book: Book) {
    let stream = core.watch_open();
    let (oldest, newest) = book.with(|model| (model.compaction().1.max(1), model.promise()));
    let start = random.between(oldest as u64, newest.max(oldest) as u64 + 2) as i64;
    let range = match random.below(3) {
        0 => KeyRange::From("\0".into()),
        1 => KeyRange::One(format!("k{:02}", random.below(24)).into()),
        _ => KeyRange::Span("k04".into(), "k16".into()),
    };
    let mut request = CreateRequest::new(range.clone(), start);
    request.prev_kv = random.one_in(2);
    let mut watched = Watched {
        range,
        start,
        prev_kv: request.prev_kv,
        events: Vec::new(),
        through: start - 1,
    };
    if let Err(error) = stream.create(&request).await {
        return book.check(Err(format!("a watcher was refused: {error}")));
    }
    for _ in 0..random.between(2, 12) {
        if random.one_in(2) {
            stream.progress();
        }
        let wait = Duration::from_millis(random.between(1, 80));
        let Ok(responses) = SimRuntime::timeout(wait, stream.next()).await else {
            continue;
        };
        for response in responses {
            match response.kind {
                Kind::Events { batch, .. } => take_events(&mut watched, batch.events()),
                Kind::Progress => watched.through = watched.through.max(response.header_revision),
                Kind::Created => {}
                // Another client compacted beyond where it stood.
                Kind::Canceled { compact_revision } if compact_revision > 0 => {
                    return book.with(|model| model.watched(watched));
                }
                other => return book.check(Err(format!("a watcher was told {other:?}"))),
            }
        }
    }
    book.with(|model| model.watched(watched));
}

fn take_events(watched: &mut Watched, events: &[Event]) {
    watched.events.extend(events.iter().cloned());
    if let Some(last) = events.last() {
        watched.through = watched.through.max(last.revision.main);
    }
}
