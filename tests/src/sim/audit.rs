//! Asks a node that nobody writes to whether everything the model knows is there: the settled
//! revision, the state at many revisions, the history from old revisions on, the leases. Called
//! by `world` after each recovery and at the end of each life that ends in peace.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use engine::error::Error;
use engine::keys::KeyRange;
use engine::shard::request::RangeRequest;
use engine::watch::{CreateRequest, Kind};
use openraft::AsyncRuntime;

use crate::sim::client::Book;
use crate::sim::exec;
use crate::sim::model::Watched;
use crate::sim::node::SimCore;
use crate::sim::raft_rt::SimRuntime;
use crate::sim::random::Random;

/// Virtual time after which something that should happen counts as never.
const PATIENCE: Duration = Duration::from_secs(60);

/// Compares the node with the model. The observer must be running.
///
/// # Errors
/// What differs.
pub async fn audit(cores: Rc<Vec<SimCore>>, book: Book, mut random: Random) -> Result<(), String> {
    let core = cores[random.below(cores.len() as u64) as usize].clone();
    // Expired leases may still delete keys: what counts is a revision that all is shown through.
    let settled = observed(&core, &book).await?;
    book.with(|model| model.close(settled))?;
    states(&core, &book, settled, &mut random).await?;
    history(&core, &book, settled, &mut random).await?;
    leases(&core, &book).await?;
    let after = core.revision();
    if after == settled {
        return Ok(());
    }
    // A lease ended meanwhile.
    let settled = observed(&core, &book).await?;
    book.with(|model| model.close(settled))
}

/// Waits until the observer was shown everything there is.
async fn observed(core: &SimCore, book: &Book) -> Result<i64, String> {
    let waited = SimRuntime::timeout(PATIENCE, async {
        loop {
            let settled = core.revision();
            let through = book.with(|model| model.shown_through());
            if through >= settled || book.failure().is_some() {
                return settled;
            }
            SimRuntime::sleep(Duration::from_millis(1)).await;
        }
    });
    let settled = waited.await.map_err(|_| {
        let through = book.with(|model| model.shown_through());
        let settled = core.revision();
        format!("a watcher was shown through {through} and no further; {settled} is settled")
    })?;
    book.failure().map_or(Ok(settled), Err)
}

async fn states(
    core: &SimCore,
    book: &Book,
    settled: i64,
    random: &mut Random,
) -> Result<(), String> {
    let oldest = book.with(|model| model.compaction().1).max(1);
    let mut at = vec![oldest.min(settled), settled];
    at.extend((0..6).map(|_| random.between(oldest.min(settled) as u64, settled as u64) as i64));
    for revision in at {
        let mut request = RangeRequest::all(KeyRange::From("\0".into()));
        request.revision = revision;
        let reply = core.range(request.clone()).await;
        let reply = reply.map_err(|error| format!("a read at {revision} failed: {error}"))?;
        let state = book.with(|model| model.state_at(revision));
        exec::check_range(&request, &reply, &state)
            .map_err(|error| format!("the state at {revision}: {error}"))?;
    }
    refuses_compacted(core, book).await
}

/// A compaction that was answered stays.
async fn refuses_compacted(core: &SimCore, book: &Book) -> Result<(), String> {
    let (compacted, _) = book.with(|model| model.compaction());
    if compacted < 2 {
        return Ok(());
    }
    let mut request = RangeRequest::all(KeyRange::From("\0".into()));
    request.revision = compacted - 1;
    match core.range(request).await {
        Err(Error::Compacted) => Ok(()),
        other => Err(format!(
            "a read below the compaction at {compacted} gave {other:?}"
        )),
    }
}

/// A watch of everything from an old revision shows the history once, in order.
async fn history(
    core: &SimCore,
    book: &Book,
    settled: i64,
    random: &mut Random,
) -> Result<(), String> {
    let oldest = book.with(|model| model.compaction().1).max(1);
    if oldest >= settled {
        return Ok(());
    }
    let start = random.between(oldest as u64 + 1, settled as u64) as i64;
    let stream = core.watch_open();
    let range = KeyRange::From("\0".into());
    let mut request = CreateRequest::new(range.clone(), start);
    request.prev_kv = random.one_in(2);
    let created = stream.create(&request).await;
    created.map_err(|error| format!("a watch from {start} was refused: {error}"))?;
    let mut watched = Watched {
        range,
        start,
        prev_kv: request.prev_kv,
        events: Vec::new(),
        through: settled,
    };
    let read = SimRuntime::timeout(PATIENCE, async {
        while watched
            .events
            .last()
            .is_none_or(|last| last.revision.main < settled)
        {
            for response in stream.next().await {
                match response.kind {
                    Kind::Events { batch, .. } => {
                        watched.events.extend(batch.events().iter().cloned());
                    }
                    Kind::Created | Kind::Progress => {}
                    other => return Err(format!("a watch from {start} was told {other:?}")),
                }
            }
        }
        Ok(())
    });
    read.await
        .map_err(|_| format!("a watch from {start} did not reach {settled}"))??;
    watched
        .events
        .retain(|event| event.revision.main <= settled);
    book.with(|model| model.check_watched(&watched))
}

async fn leases(core: &SimCore, book: &Book) -> Result<(), String> {
    let failed = |error: Error| format!("leases could not be read: {error}");
    let (_, ids) = core.leases().await.map_err(failed)?;
    let mut found = BTreeMap::new();
    for id in ids {
        let lease = core.lease_time_to_live(id, true).await.map_err(failed)?;
        if lease.ttl_s >= 0 {
            found.insert(id, lease.keys);
        }
    }
    // A lease that ends in between is looked at again in the next audit.
    let settled = core.revision();
    let through = book.with(|model| model.shown_through());
    if settled != through {
        return Ok(());
    }
    book.with(|model| model.check_leases(&found))
}
