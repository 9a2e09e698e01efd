//! Reads of one shard at a settled revision, and etcd's checks of the revisions a transaction
//! names. Small ranges are read in one turn; large ones in steps between other work.

use crate::env::{Disk, Env};
use crate::error::{Class, Error};
use crate::limits::STEP_KEYS;
use crate::mvcc::PageId;
use crate::mvcc::pages::{Pages, Pinned};
use crate::mvcc::read::{self, Reader, Run, Step};
use crate::shard::evaluate::Stop;
use crate::shard::message::Answer;
use crate::shard::program::FlatOp;
use crate::shard::range::fetch_limit;
use crate::shard::request::{RangeRequest, SortTarget};
use crate::shard::shard_state::{Outcome, Shard};
use crate::shard::turn::yield_now;

/// Most keys read in one turn.
const TURN_KEYS: usize = 4 * STEP_KEYS;

/// Reads in this turn if that is short and all pages are there.
pub(super) fn range<E: Env>(
    shard: &Shard<E>,
    request: &RangeRequest,
    at: i64,
) -> Result<Outcome, Stop> {
    let store = shard.store.borrow();
    if store.index.compacted() > at {
        return Err(Stop::Refused(0, Error::Compacted));
    }
    let count = store.index.count(&request.range, at) as i64;
    if request.count_only {
        return Ok(Outcome::Now(Answer::Run(Run::default(), count)));
    }
    let ask = ask(request, at);
    let most = if ask.limit == 0 {
        count as usize
    } else {
        ask.limit.min(count as usize)
    };
    if most > TURN_KEYS {
        return Ok(Outcome::Background);
    }
    let mut missing = Vec::new();
    let view = store.pages.view();
    let mut fetch = |slot: &_| view.peek(slot);
    let run = read::run(&store.index, &request.range, ask, &mut fetch, &mut missing)
        .map_err(|error| Stop::Refused(0, error))?;
    Ok(run.map_or(Outcome::Background, |run| {
        Outcome::Now(Answer::Run(run, count))
    }))
}

/// Reads in steps, loading pages as they are needed.
///
/// # Errors
/// A compaction overtook the read, or a page is damaged.
pub(super) async fn range_in_steps<E: Env>(
    shard: &Shard<E>,
    request: &RangeRequest,
    at: i64,
) -> Result<Answer, Error> {
    let mut reader = Reader::new(request.range.clone(), ask(request, at));
    let pages = shard.store.borrow().pages.clone();
    let mut pinned = None;
    let count = shard.store.borrow().index.count(&request.range, at) as i64;
    loop {
        let mut missing = Vec::new();
        let step = {
            let store = shard.store.borrow();
            let view = store.pages.view();
            let mut fetch = |slot: &_| view.peek(slot);
            reader.step(&store.index, TURN_KEYS, &mut fetch, &mut missing)?
        };
        drop(pinned.take());
        match step {
            Step::Done => return Ok(Answer::Run(reader.finish(), count)),
            Step::More => yield_now::<E>().await,
            Step::Missing => {
                pinned = load(&pages, &missing).await?;
            }
        }
    }
}

/// Loads pages; `None` where one was rewritten meanwhile, so that the index names another.
pub(super) async fn load<D: Disk>(
    pages: &Pages<D>,
    missing: &[PageId],
) -> Result<Option<Pinned>, Error> {
    match pages.load_all(missing).await {
        Ok(pinned) => Ok(Some(pinned)),
        Err(error) if error.class() == Class::Retry => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn ask(request: &RangeRequest, at: i64) -> read::Ask {
    let limit = if request.is_plain() && request.limit > 0 {
        request.limit as usize
    } else {
        fetch_limit(request).unwrap_or(0)
    };
    read::Ask {
        rev: at,
        limit,
        keys_only: request.keys_only && request.target != SortTarget::Value,
        filter: read::Filter::default(),
    }
}

/// etcd's check of the revisions that the reads of a write transaction name, against the state
/// before it: the first operation that is refused, and why.
pub(super) fn check_revisions(
    flat: &[FlatOp],
    current: i64,
    compacted: i64,
) -> Option<(usize, Error)> {
    let refusal = |op: &FlatOp| match op {
        FlatOp::Range(request) if request.revision > current => Some(Error::FutureRevision),
        FlatOp::Range(request) if request.revision != 0 && request.revision < compacted => {
            Some(Error::Compacted)
        }
        FlatOp::Range(_) | FlatOp::Put(_) | FlatOp::Delete(_) => None,
    };
    let mut numbered = flat.iter().enumerate();
    numbered.find_map(|(number, op)| Some((number, refusal(op)?)))
}
