//! A run from its first connection to its last check.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::check::Check;
use super::client::Shared;
use super::clients::Clients;
use super::keys::Keys;
use super::load::{Load, Operation};
use super::record::Record;
use super::slot::Slot;
use super::watchers::Watchers;
use crate::client::{Options, Status, within};
use crate::progress::{Progress, Stop};
use crate::server_process::{Usage, Watcher};

/// How long answers are waited for after the end of a run.
const LAST_LIMIT: Duration = Duration::from_secs(10);

/// How long it may take to read back what was acknowledged.
const READ_LIMIT: Duration = Duration::from_secs(120);

/// How often the server's process is looked at, and ctrl-C.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Puts on their way at a time while keys are filled.
const FILLERS: u64 = 64;

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Things that were compared.
    pub compared: u64,
    /// Things that are wrong.
    pub faults: u64,
    /// The first of them in words.
    pub told: Vec<String>,
}

/// What a run gave.
pub struct Outcome {
    /// Latencies, errors, the course.
    pub record: Rc<Record>,
    /// What was measured, shorter than asked for if the run was ended.
    pub measured: Duration,
    /// Processor time of this process in it, microseconds.
    pub client_cpu_us: u64,
    /// The servers' processor time in it and the most memory they had, if they are on this
    /// machine.
    pub server: Option<Usage>,
    /// Clients at the end: more than asked for where an open loop needed them.
    pub clients: usize,
    /// What the check found, if one was wanted.
    pub check: Option<Checked>,
}

impl Outcome {
    /// Operations that ended well.
    #[must_use]
    pub fn operations(&self) -> u64 {
        let latencies = self.record.latencies.borrow();
        latencies.values().map(hdrhistogram::Histogram::len).sum()
    }

    /// Of these so many in a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.operations() as f64 / self.measured.as_secs_f64().max(1e-9)
    }

    /// Microseconds spread over the operations.
    #[must_use]
    pub fn each(&self, us: u64) -> f64 {
        us as f64 / self.operations().max(1) as f64
    }
}

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
    let options = Rc::new(options.clone());
    let mut slots = Vec::new();
    for number in 0..load.conns {
        slots.push(Slot::open(&options, number).await?);
    }
    let watchers = Watchers::start(&shared, &record, &slots).await?;
    if load.needs_keys() {
        progress.say("filling the keys");
        fill(&shared, &slots, stop).await?;
    }
    let places = options.places().map_err(|why| Status::new(3, why))?;
    let processes = Watcher::new(&places);
    let clients = Clients::new(&shared, &record, slots.clone());
    let start = Instant::now() + load.warmup;
    let every = load.schedule.first().map_or(0.0, |rate| 1.0 / rate);
    record.begin(start, load.duration, Duration::from_secs_f64(every));
    let failed = |e: io::Error| Status::new(Status::INTERNAL, format!("no timer: {e}"));
    let is_over = || stop.is_set();
    let drive = async {
        match load.schedule.first() {
            None => clients.start_closed(),
            Some(rate) => {
                clients
                    .warm_up(Instant::now(), load.warmup, rate, is_over)
                    .await?;
                clients.follow_clock(start, load.duration, is_over).await?;
            }
        }
        Ok(())
    };
    let (driven, ()) = tokio::join!(drive, oversee(load, start, stop, &processes, progress));
    driven.map_err(failed)?;
    let end = Instant::now();
    record.end(end);
    processes.look();
    let (client_cpu_us, server) = (processes.own_us(), processes.servers());
    progress.say("waiting for the last answers");
    clients.finish(last_limit(load, stop)).await;
    progress.say("checking");
    let check = finish_check(&shared, &record, watchers, &slots).await;
    Ok(Outcome {
        measured: record.measured(),
        record,
        client_cpu_us,
        server,
        clients: clients.count(),
        check,
    })
}

/// How long answers are waited for: leases need their time to end, unless the run was ended.
fn last_limit(load: &Load, stop: Stop) -> Duration {
    let expires = load.mix.operations().any(|op| op == Operation::LeaseExpiry);
    let ttl = u64::try_from(load.lease_ttl).unwrap_or_default();
    if expires && !stop.is_set() {
        LAST_LIMIT.max(Duration::from_secs(ttl * 3))
    } else {
        LAST_LIMIT
    }
}

/// Waits for the end and looks at the processes on the way.
async fn oversee(
    load: &Load,
    start: Instant,
    stop: Stop,
    processes: &Watcher,
    progress: &Progress,
) {
    progress.say("warming up");
    let mut begun = false;
    loop {
        let now = Instant::now();
        if now >= start + load.duration || stop.is_set() {
            return;
        }
        if now >= start && !begun {
            begun = true;
            processes.begin();
            progress.say("measuring");
        }
        if begun {
            processes.look();
            let done = now.saturating_duration_since(start);
            progress.set(u64::try_from(done.as_millis()).unwrap_or(u64::MAX));
        }
        let next = if begun { start + load.duration } else { start };
        let left = next.saturating_duration_since(now);
        tokio::time::sleep(left.min(LOOK_EVERY)).await;
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
