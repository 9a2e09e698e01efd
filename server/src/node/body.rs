//! One core's life: start with the others, serve its connections, stop.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use engine::env::{Clock, Entropy};
use engine::error::Error;
use engine::format::checkpoint::Manifest;
use engine::format::fault::Fault;
use engine::ids::CoreId;
use engine::shard::boot::{self, BootError, NodeOptions};
use engine::shard::core::Core;
use engine::shard::message::Message;
use engine::shard::order::Order;
use engine::shard::prepare;
use futures::future::select;
use tuning::Profile;

use super::meet::{Chair, Seat, Word};
use super::options;
use crate::api::Api;
use crate::config::Config;
use crate::fatal::{self, Exit};
use crate::grpc::conn::Node;
use crate::grpc::health::Health;
use crate::http::Handler;
use crate::http::access::Access;
use crate::http::pages::{Pages, PagesAlone};
use crate::metrics::Metrics;
use crate::net::accept::{self, Bounds, Front};
use crate::net::drain::Drain;
use crate::net::port::PortError;
use crate::net::time::Time;
use crate::runtime::NodeEnv;
use crate::runtime::clock::{MonotonicClock, ThreadEntropy};
use crate::runtime::disk::DirectDisk;
use crate::runtime::executor::spawn_scheduled;
use crate::runtime::listen::{Listener, LocalSpawn, LocalTime};
use crate::runtime::mailbox::{Letters, Mailbox, Post};
use crate::runtime::watchdog::{Pulse, StallCounts};

/// Longest wait for clients that take no leave: a little more than a connection gives its calls.
const LEAVE_MAX: Duration = Duration::from_secs(7);

/// Where clients are listened for.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// gRPC and HTTP.
    pub clients: Vec<SocketAddr>,
    /// HTTP pages only.
    pub metrics: Vec<SocketAddr>,
}

/// What a core is given.
pub(super) struct Input {
    pub mailbox: Mailbox<Message>,
    pub pulse: Pulse,
    pub seat: Seat,
    pub order: Arc<Order>,
    pub config: Arc<Config>,
    pub tuning: Profile,
    pub addresses: Addresses,
    pub metrics: Metrics,
    pub stalls: StallCounts,
}

/// Runs the core to its end.
pub(super) async fn run(id: CoreId, input: Input) {
    let Input {
        mailbox,
        pulse,
        seat,
        order,
        config,
        tuning,
        addresses,
        metrics,
        stalls,
    } = input;
    drop(spawn_scheduled(pulse.run()));
    let (post, letters) = mailbox.open();
    let cores = config.cores.unwrap_or(1);
    let options = options::node_options(&config, &tuning, cores);
    let started = start(id, &config, &options, order, post, letters, &seat).await;
    let core = match started {
        Ok(core) => core,
        Err(error) => fatal::exit(&boot_exit(&error)),
    };
    drop(spawn_scheduled(stop_when_broken(core.clone())));
    let drain = serve(id, &config, &core, &addresses, &metrics, stalls);
    // The node's main thread waits for every core.
    let _ = seat.serving.send(());
    // The other end is gone only when the process ends.
    let _ = seat.stop.recv_async().await;
    drain.begin();
    take_leave(&drain, &seat, cores).await;
    core.stop().await;
}

/// Lets the clients of all cores get their last answers: until then every core's shards are there.
async fn take_leave(drain: &Drain, seat: &Seat, cores: u16) {
    let late = LocalTime::default().sleep(LEAVE_MAX);
    select(pin!(drain.left()), pin!(late)).await;
    // Where another core is gone nobody waits for it: the process ends with that core's reason.
    let _ = seat.left.send(());
    if let Some(chair) = &seat.chair {
        for _ in 0..cores {
            let _ = chair.left.recv_async().await;
        }
        for words in &chair.words {
            let _ = words.send(Word::Stop);
        }
    }
    let _ = seat.words.recv_async().await;
}

async fn start(
    id: CoreId,
    config: &Config,
    options: &NodeOptions,
    order: Arc<Order>,
    post: Post<Message>,
    letters: Letters<Message>,
    seat: &Seat,
) -> Result<Rc<Core<NodeEnv>>, BootError> {
    let unusable = |error: std::io::Error| {
        let dir = config.data_dir.display().to_string();
        BootError::Fault(Fault::io(&dir, "opening the data directory", &error))
    };
    let wal_dir = config.wal_dir.as_deref();
    let disk = DirectDisk::open_with(&config.data_dir, wal_dir)
        .await
        .map_err(unusable)?;
    let floor = match &seat.chair {
        Some(chair) => deal(chair, &disk, options).await?,
        None => None,
    };
    let Ok(Word::Share(share)) = seat.words.recv_async().await else {
        return Err(alone());
    };
    let clock: Rc<dyn Clock> = Rc::new(MonotonicClock::new());
    let entropy: Rc<dyn Entropy> = Rc::new(ThreadEntropy::new());
    let place = boot::Seat {
        disk,
        order,
        mail: Rc::new(post),
        clock,
        entropy,
    };
    let (core, report) = prepare::prepare::<NodeEnv>(*share, place, options).await?;
    let _ = seat.report.send(report);
    if let Some(chair) = &seat.chair {
        decide(chair, options.cores, floor.as_deref()).await?;
    }
    let Ok(Word::Begin(beginning)) = seat.words.recv_async().await else {
        return Err(alone());
    };
    core.begin(&beginning).await;
    core.run();
    drop(spawn_scheduled(receive(core.clone(), letters)));
    let _ = seat.running.send(());
    if let Some(chair) = &seat.chair {
        open(chair, &core, &beginning, options.cores).await?;
    }
    match seat.words.recv_async().await {
        Ok(Word::Serve) => {}
        _ => return Err(alone()),
    }
    tracing::debug!(core = id.0, "core serves");
    Ok(core)
}

/// Core 0: reads the data directory and gives each core its share. Returns the checkpoint in force.
async fn deal(
    chair: &Chair,
    disk: &DirectDisk,
    options: &NodeOptions,
) -> Result<Option<Arc<Manifest>>, BootError> {
    let image = boot::read_node(disk, options).await?;
    tracing::info!(
        shards = image.superblock.shards,
        cluster_id = format!("{:x}", image.superblock.cluster),
        member_id = format!("{:x}", image.superblock.member),
        "data directory read"
    );
    let manifest = image.manifest.clone();
    let shares = image.split(options.cores, options.lanes);
    for (words, share) in chair.words.iter().zip(shares) {
        let _ = words.send(Word::Share(Box::new(share)));
    }
    Ok(manifest)
}

/// Core 0: once every core has told what it found, says what all begin from.
async fn decide(chair: &Chair, cores: u16, floor: Option<&Manifest>) -> Result<(), BootError> {
    let mut reports = Vec::new();
    for _ in 0..cores {
        reports.push(chair.reports.recv_async().await.map_err(|_| alone())?);
    }
    let beginning = boot::decide(reports, floor);
    for words in &chair.words {
        let _ = words.send(Word::Begin(beginning.clone()));
    }
    Ok(())
}

/// Core 0: once every core runs, opens the order.
async fn open(
    chair: &Chair,
    core: &Core<NodeEnv>,
    beginning: &boot::Beginning,
    cores: u16,
) -> Result<(), BootError> {
    for _ in 0..cores {
        chair.running.recv_async().await.map_err(|_| alone())?;
    }
    core.open(beginning).await?;
    tracing::info!(
        revision = beginning.prefix.settled,
        epoch = beginning.epoch,
        "this node leads every group"
    );
    for words in &chair.words {
        let _ = words.send(Word::Serve);
    }
    Ok(())
}

/// Another core did not get this far, and ends the process with its reason.
fn alone() -> BootError {
    BootError::Broken("another core of this node did not start".to_owned())
}

async fn receive(core: Rc<Core<NodeEnv>>, mut letters: Letters<Message>) {
    let mut messages = Vec::new();
    loop {
        letters.receive(&mut messages).await;
        for message in messages.drain(..) {
            core.receive(message);
        }
    }
}

/// Ends the process when the engine has given up its disk.
async fn stop_when_broken(core: Rc<Core<NodeEnv>>) {
    match core.desk().wait_stopped().await {
        Error::Storage(what) => fatal::exit(&Exit::DiskFailed(what)),
        Error::Damaged(what) => fatal::exit(&Exit::Corruption(what)),
        Error::Stopped => {}
        other => fatal::exit(&Exit::DiskFailed(format!("the log ended: {other}"))),
    }
}

/// Listens on all addresses of this core.
fn serve(
    id: CoreId,
    config: &Config,
    core: &Rc<Core<NodeEnv>>,
    addresses: &Addresses,
    metrics: &Metrics,
    stalls: StallCounts,
) -> Drain {
    let drain = Drain::new();
    let api = Api::new(core.clone(), Health::default(), config.max_request_bytes);
    let mut limits = crate::grpc::Limits::for_request_bytes(config.max_request_bytes);
    limits.streams_max = limits.streams_max.min(config.max_concurrent_streams);
    limits.keepalive_interval = config.keepalive.interval;
    limits.keepalive_timeout = config.keepalive.timeout;
    let node = Node::new(api, LocalTime::default(), limits);
    let access = Access::new(&config.cors, &config.host_whitelist, config.grpc_gateway);
    let pages = Rc::new(Pages::new(
        core.clone(),
        metrics.clone(),
        node.clone(),
        stalls,
        access,
    ));
    drop(spawn_scheduled(pages.clone().publish()));
    let alone = Rc::new(PagesAlone::new(pages.clone()));
    for addr in &addresses.clients {
        let (node, drain) = (node.clone(), drain.clone());
        listen(
            id,
            *addr,
            "--listen-client-urls",
            front(node, pages.clone(), drain),
        );
    }
    for addr in &addresses.metrics {
        let (node, drain) = (node.clone(), drain.clone());
        listen(
            id,
            *addr,
            "--listen-metrics-urls",
            front(node, alone.clone(), drain),
        );
    }
    drain
}

/// What the connections of a listener need.
fn front<H: Handler>(
    node: Rc<Node<Api<NodeEnv>, LocalTime>>,
    handler: Rc<H>,
    drain: Drain,
) -> Front<Api<NodeEnv>, LocalTime, H> {
    Front {
        node,
        handler,
        drain,
        bounds: Bounds::default(),
    }
}

/// Listens on an address of this core.
fn listen<H: Handler>(
    id: CoreId,
    addr: SocketAddr,
    flag: &'static str,
    front: Front<Api<NodeEnv>, LocalTime, H>,
) {
    match Listener::bind(addr) {
        Ok(listener) => drop(spawn_scheduled(async move {
            accept::serve(&listener, &front, &LocalSpawn).await;
        })),
        Err(error) => fatal::exit(&Exit::of_port(&PortError::of(addr, error), flag)),
    }
    if id == CoreId(0) {
        tracing::info!(address = %addr, "serving client traffic");
    }
}
/// The named end for a start that failed.
pub(super) fn boot_exit(error: &BootError) -> Exit {
    use engine::mvcc::checkpoint::CheckpointError;
    use engine::mvcc::pages::PageError;
    use engine::wal::WalError;
    let text = error.to_string();
    match error {
        BootError::Fault(fault)
        | BootError::Page(PageError::Fault(fault))
        | BootError::Checkpoint(CheckpointError::Fault(fault)) => match fault {
            Fault::NoSpace { path } => Exit::NoSpace(path.clone()),
            Fault::Corrupt { .. } => Exit::Corruption(text),
            Fault::Newer {
                path,
                found,
                supported,
            } => Exit::NewerFormat {
                file: path.clone(),
                what: format!("format {found}, and this build reads up to {supported}"),
            },
            Fault::Older {
                path,
                found,
                oldest,
            } => Exit::NewerFormat {
                file: path.clone(),
                what: format!("format {found}, and this build reads from {oldest} on"),
            },
            Fault::Foreign { .. } => Exit::IdentityMismatch(text),
            Fault::Io { .. } => Exit::DiskFailed(text),
        },
        BootError::Wal(wal) => match wal {
            WalError::NoSpace => Exit::NoSpace("the log".to_owned()),
            WalError::NewerFormat { file, found, known } => Exit::NewerFormat {
                file: file.to_string(),
                what: format!("format {found}, and this build reads up to {known}"),
            },
            WalError::OtherCluster { .. } | WalError::OtherMember { .. } => {
                Exit::IdentityMismatch(text)
            }
            WalError::Corrupt { .. }
            | WalError::LostSegment { .. }
            | WalError::EndsEarly { .. } => Exit::Corruption(text),
            _ => Exit::DiskFailed(text),
        },
        BootError::Page(_) | BootError::Checkpoint(_) | BootError::Broken(_) => {
            Exit::Corruption(text)
        }
        BootError::Group(_) => Exit::DiskFailed(text),
        BootError::UnknownHash { .. } => Exit::NewerFormat {
            file: "SUPERBLOCK".to_owned(),
            what: text,
        },
        BootError::ShardCount { .. } => Exit::BadConfig(text),
    }
}
