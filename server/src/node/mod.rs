//! The node: from a checked configuration to cores that serve clients, and back down. Called by
//! `main`; it alone joins the runtime, the engine, the network and the API.

mod body;
mod meet;
mod memory;
mod options;
mod tuned;

use std::sync::Arc;
use std::time::Duration;

use engine::ids::CoreId;
use engine::shard::message::Message;
use engine::shard::order::Order;

use crate::config::Config;
use crate::fatal::lock::{self, DataDirLock};
use crate::fatal::{self, Exit};
use crate::log::READY;
use crate::metrics::Metrics;
use crate::net::port;
use crate::runtime::executor::{self, Ending, ExecutorConfig, RuntimeError};
use crate::runtime::mailbox::Mailboxes;
use crate::runtime::watchdog::{self, WatchdogConfig};
use crate::shutdown::{self, Notice, Signals};
use meet::Meeting;
use tuning::Profile;

/// How long a busy port may take to become free.
const PORT_PATIENCE: Duration = Duration::from_secs(2);

/// How long an orderly stop may take.
const STOP_GRACE: Duration = Duration::from_secs(15);

/// The named end for a data directory that cannot be opened or made.
pub(crate) fn boot_exit(error: &engine::shard::boot::BootError) -> Exit {
    body::boot_exit(error)
}

/// Runs the node until it is told to stop, or has to.
pub fn run(config: Config, signals: Signals) -> Exit {
    match start(config, signals) {
        Ok(never) => never,
        Err(exit) => exit,
    }
}

fn start(mut config: Config, signals: Signals) -> Result<Exit, Exit> {
    config
        .notes
        .iter()
        .for_each(|note| tracing::warn!("{note}"));
    executor::probe().map_err(runtime_exit)?;
    let _lock: DataDirLock = lock::take(&config.data_dir)?;
    let _wal_lock = config.wal_dir.as_deref().map(lock::take).transpose()?;
    let addresses = listen_addresses(&config)?;
    let cores = config.cores.unwrap_or_else(available_cores);
    config.cores = Some(cores);
    let tuned = tuned::find(
        &config.data_dir,
        config.wal_dir.as_deref(),
        config.tuning.as_ref(),
    )?;
    let tuning = tuned.profile;
    say_what_was_found(&config, cores, &tuning, &tuned.why);
    let mut executors = ExecutorConfig::new(cores);
    executors.spin_before_park =
        Duration::from_micros(u64::from(tuning.runtime.spin_before_park_us));
    let order = Arc::new(Order::new(cores));
    let metrics = Metrics::new(cores, crate::http::labels(), config.member_id.0);
    let mut meeting = Meeting::new(cores);
    let (watchdog, pulses, stalls) = watchdog::watch(WatchdogConfig::default(), cores, give_up)
        .map_err(|error| Exit::ExecutorsFailed(error.to_string()))?;
    let config = Arc::new(config);
    let inputs = Mailboxes::new::<Message>(cores)
        .into_iter()
        .zip(pulses)
        .zip(meeting.seats())
        .map(|((mailbox, pulse), seat)| body::Input {
            mailbox,
            pulse,
            seat,
            order: order.clone(),
            config: config.clone(),
            tuning: tuning.clone(),
            addresses: addresses.clone(),
            metrics: metrics.clone(),
            stalls: stalls.clone(),
        })
        .collect();
    let running = executor::start(&executors, inputs, |core: CoreId, input| {
        body::run(core, input)
    })
    .map_err(runtime_exit)?;
    let stop = meeting.stopper();
    signals
        .listen(STOP_GRACE, move |_| {
            let _ = shutdown::notify(Notice::Stopping);
            stop.stop();
        })
        .map_err(|error| Exit::ExecutorsFailed(error.to_string()))?;
    meeting.wait_ready(|| {
        tracing::info!("{READY}");
        let _ = shutdown::notify(Notice::Ready);
    });
    while let Some(ended) = running.wait() {
        if let Ending::Panicked(message) = ended.ending {
            return Err(Exit::CorePanicked {
                core: ended.core.0,
                message,
            });
        }
    }
    drop(watchdog);
    fatal::exit_cleanly()
}

/// A core that does not turn ends the node.
fn give_up(core: CoreId, checks: u32) {
    let checked_ms = WatchdogConfig::default().check.as_millis() as u64;
    fatal::exit(&Exit::CoreStalled {
        core: core.0,
        stalled_ms: u64::from(checks) * checked_ms,
    })
}

/// One line with what was found and what was made of it.
fn say_what_was_found(config: &Config, cores: u16, tuning: &Profile, why: &str) {
    let timing = options::timing(config, tuning);
    tracing::info!(
        cores,
        shards = config.shards.map_or_else(|| "as stored".to_owned(), |n| n.to_string()),
        data_dir = %config.data_dir.display(),
        profile = tuning.name,
        why,
        durable_writes = tuned::durable(tuning),
        segment_bytes = tuning.wal.segment_bytes,
        segments = tuning.wal.segment_count,
        group_commit_delay_us = tuning.wal.group_commit_delay_us,
        spin_before_park_us = tuning.runtime.spin_before_park_us,
        page_cache_bytes = options::page_cache_bytes(config),
        heartbeat_ms = timing.heartbeat_ms,
        election_ms = timing.election_ms,
        version = crate::config::version::OWN,
        etcd_version = crate::config::version::ETCD,
        "starting"
    );
}

fn available_cores() -> u16 {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(1024) as u16)
}

/// The addresses of all client listeners; every one is free now.
fn listen_addresses(config: &Config) -> Result<body::Addresses, Exit> {
    let addresses = |urls: &[crate::config::urls::Url], flag: &'static str| {
        urls.iter()
            .map(|url| {
                let addr = url.bind_addr().map_err(Exit::BadConfig)?;
                port::check_patiently(addr, PORT_PATIENCE)
                    .map_err(|error| Exit::of_port(&error, flag))
            })
            .collect::<Result<Vec<_>, Exit>>()
    };
    Ok(body::Addresses {
        clients: addresses(&config.listen_client_urls, "--listen-client-urls")?,
        metrics: addresses(&config.listen_metrics_urls, "--listen-metrics-urls")?,
    })
}

fn runtime_exit(error: RuntimeError) -> Exit {
    let text = error.to_string();
    match error {
        RuntimeError::LockedMemory { .. } => Exit::LockedMemory(text),
        RuntimeError::IoUringForbidden(_) => Exit::IoUringForbidden(text),
        RuntimeError::Cpus(_) | RuntimeError::Start { .. } => Exit::ExecutorsFailed(text),
    }
}
