//! A run from its first connection to its last check.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::check::Check;
use super::client::Shared;
use super::keys::Keys;
use super::load::{Load, Operation};
pub use super::outcome::{Checked, Outcome};
use super::record::Record;
use super::session::{LAST_LIMIT, Session, When};
use super::slot::Slot;
use super::watchers::Watchers;
use crate::client::{Options, Status, within};
use crate::progress::{Progress, Stop};

/// How long it may take to read back what was acknowledged.
const READ_LIMIT: Duration = Duration::from_secs(120);

/// Puts on their way at a time while keys are filled.
const FILLERS: u64 = 64;

/// Runs a load on the current `LocalSet`.
///
/// # Errors
/// When the server is not reached at the start, or refuses what is needed before the load.
pub async fn run(
    load: &Load,
    options: &Options,
    stop: Stop,
    progress: &Progress,
) -> Result<Outcome, Status> {
    let (shared, record) = (Rc::new(Shared::new(load.clone())), Rc::new(Record::new()));
    let session = Session::open(options, load.conns, shared.clone()).await?;
    let slots = session.slots();
    let watchers = Watchers::start(&shared, &record, slots).await?;
    if load.needs_keys() {
        progress.say("filling the keys");
        fill(&shared, slots, stop).await?;
    }
    let when = When {
        schedule: &load.schedule,
        clients: load.clients,
        warmup: load.warmup,
        duration: load.duration,
        last_limit: last_limit(load),
        behind_max: None,
    };
    let outcome = session.hold(&record, &when, "measuring", stop, progress);
    let outcome = outcome.await?;
    progress.say("checking");
    let check = finish_check(&shared, &record, watchers, slots).await;
    Ok(Outcome { check, ..outcome })
}

/// How long answers are waited for: leases need their time to end.
fn last_limit(load: &Load) -> Duration {
    let expires = load.mix.operations().any(|op| op == Operation::LeaseExpiry);
    let ttl = u64::try_from(load.lease_ttl).unwrap_or_default();
    if expires {
        LAST_LIMIT.max(Duration::from_secs(ttl * 3))
    } else {
        LAST_LIMIT
    }
}

async fn finish_check(
    shared: &Shared,
    record: &Record,
    watchers: Watchers,
    slots: &[Rc<Slot>],
) -> Option<Checked> {
    let check: &Check = &shared.check;
    watchers.finish(shared, record).await;
    if !check.is_on() {
        return None;
    }
    let read = async { check.read_back(&slots[0].channel().await?).await };
    // What was measured is not thrown away because the server has gone in the meantime.
    if let Err(status) = within(READ_LIMIT, read).await {
        check.fault(format!(
            "what was acknowledged cannot be read back: {status}"
        ));
    }
    let (faults, told, compared) = check.found();
    Some(Checked {
        compared,
        faults,
        told,
    })
}

/// Puts every key once.
async fn fill(shared: &Rc<Shared>, slots: &[Rc<Slot>], stop: Stop) -> Result<(), Status> {
    let load = &shared.load;
    let mut tasks = tokio::task::JoinSet::new();
    for part in 0..FILLERS {
        let slot = slots[part as usize % slots.len()].clone();
        let (shared, keys) = (shared.clone(), load.keys);
        let names = Keys::new(load.space, keys, load.key_size, 0);
        tasks.spawn_local(async move {
            let channel = slot.channel().await?;
            for number in (part..keys).step_by(FILLERS as usize) {
                if stop.is_set() {
                    break;
                }
                let put = proto::etcdserverpb::PutRequest {
                    key: names.key(number),
                    value: shared.value(Instant::now()),
                    ..Default::default()
                };
                let header = channel.put(&put).await?.header;
                let revision = header.unwrap_or_default().revision;
                shared
                    .check
                    .acknowledged(&put.key, Some(&put.value), revision);
            }
            Ok::<(), Status>(())
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.map_err(|e| Status::new(Status::INTERNAL, e.to_string()))??;
    }
    Ok(())
}
