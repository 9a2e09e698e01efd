//! One life of a node: boots the production engine over the memory disk, with the mail between its
//! cores delivered in an order of the seed's choosing. `world` boots and kills it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use engine::env::{Mail, MemoryDisk};
use engine::format::identity::Identity;
use engine::group::Timing;
use engine::group::types::Peer;
use engine::ids::CoreId;
use engine::shard::boot::{self, BootError, NodeOptions, Seat};
use engine::shard::core::{Core, Limits};
use engine::shard::message::Message;
use engine::shard::order::Order;
use engine::shard::prepare::prepare;
use engine::wal::LaneOptions;

use crate::sim::clock::{SimClock, SimEntropy, SimEnv};
use crate::sim::raft_rt::spawn;

/// One core of the simulated node.
pub type SimCore = Rc<Core<SimEnv>>;

/// What differs between simulated nodes.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Shards, when the node is made; `None` for one for each core.
    pub shards: Option<u16>,
    /// Cores.
    pub cores: u16,
    /// Those of them that own shards and write a log.
    pub lanes: u16,
    /// Bytes of a segment of the log.
    pub segment_bytes: u64,
    /// Whether the log is written with durable writes, or written and synced.
    pub durable_writes: bool,
    /// Bytes logged after which a checkpoint is made.
    pub checkpoint_bytes: u64,
    /// Value bytes staged on a shard after which they are sealed.
    pub seal_bytes: u64,
    /// Value bytes staged on a shard from which on changes wait.
    pub staged_bytes_max: u64,
    /// Bytes of pages kept in memory, all shards together.
    pub page_cache_bytes: u64,
}

/// The messages from one core to another that are on their way.
#[derive(Default)]
struct Bag {
    messages: RefCell<VecDeque<Message>>,
    mailman: RefCell<Option<Waker>>,
}

/// All bags of a node: `bags[from][to]`.
type Bags = Rc<Vec<Vec<Bag>>>;

struct SimMail {
    from: usize,
    bags: Bags,
}

impl Mail<Message> for SimMail {
    fn send(&self, to: CoreId, message: Message) {
        let bag = &self.bags[self.from][to.0 as usize];
        bag.messages.borrow_mut().push_back(message);
        if let Some(mailman) = bag.mailman.borrow_mut().take() {
            mailman.wake();
        }
    }
}

/// Delivers one bag's messages, one a turn, for ever.
async fn deliver(bags: Bags, from: usize, to: usize, core: SimCore) {
    loop {
        let bag = &bags[from][to];
        let mut rested = false;
        let message = poll_fn(|cx| {
            // Every message takes a turn of its own, so that other bags come in between.
            let next = if rested {
                bag.messages.borrow_mut().pop_front()
            } else {
                None
            };
            match next {
                Some(message) => Poll::Ready(message),
                None => {
                    if !bag.messages.borrow().is_empty() {
                        cx.waker().wake_by_ref();
                    }
                    rested = true;
                    *bag.mailman.borrow_mut() = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
        core.receive(message);
    }
}

/// The options of a simulated node.
pub fn options(shape: &Shape) -> NodeOptions {
    NodeOptions {
        identity: Identity::new(7, 9),
        peer: Peer::default(),
        shards: shape.shards,
        cores: shape.cores,
        lanes: shape.lanes.min(shape.cores),
        created_by: "sim".to_owned(),
        limits: Limits {
            txn_ops_max: 128,
            quota_bytes: 0,
            checkpoint_bytes: shape.checkpoint_bytes,
            seal_bytes: shape.seal_bytes,
            staged_bytes_max: shape.staged_bytes_max,
            ..Limits::default()
        },
        timing: Timing {
            heartbeat_ms: 100,
            election_ms: 1000,
        },
        lane: LaneOptions {
            segment_bytes: shape.segment_bytes,
            durable_writes: shape.durable_writes,
            spare_segments: 1,
            keep_segments: 3,
            ..LaneOptions::default()
        },
        watch: engine::watch::Settings {
            stream_bytes: 32 << 10,
            recent_bytes: 16 << 10,
            fragment_bytes: 8 << 10,
            catch_up_events: 7,
            ..engine::watch::Settings::default()
        },
        page_cache_bytes: shape.page_cache_bytes,
        batch_delay: std::time::Duration::ZERO,
    }
}

/// Boots a node, as the server does on its executors.
///
/// # Errors
/// The engine's own: the disk holds something it cannot use.
pub async fn boot(disk: MemoryDisk, shape: Shape) -> Result<Vec<SimCore>, BootError> {
    let options = Rc::new(options(&shape));
    let cores = options.cores;
    let image = boot::read_node(&disk, &options).await?;
    let manifest = image.manifest.clone();
    let order = Arc::new(Order::new(cores));
    let row = || (0..cores).map(|_| Bag::default()).collect();
    let bags: Bags = Rc::new((0..cores).map(|_| row()).collect());
    let preparing: Vec<_> = image
        .split(cores, options.lanes)
        .into_iter()
        .map(|image| {
            let seat: Seat<SimEnv> = Seat {
                disk: disk.clone(),
                order: order.clone(),
                mail: Rc::new(SimMail {
                    from: image.core.0 as usize,
                    bags: bags.clone(),
                }),
                clock: Rc::new(SimClock),
                entropy: Rc::new(SimEntropy),
            };
            let options = options.clone();
            spawn(async move { prepare::<SimEnv>(image, seat, &options).await })
        })
        .collect();
    let mut nodes: Vec<SimCore> = Vec::new();
    let mut reports = Vec::new();
    for prepared in preparing {
        let gone = |_| BootError::Broken("the node crashed while it booted".to_owned());
        let (core, report) = prepared.await.map_err(gone)??;
        nodes.push(core);
        reports.push(report);
    }
    let beginning = boot::decide(reports, manifest.as_deref());
    for core in &nodes {
        core.begin(&beginning).await;
    }
    for (to, core) in nodes.iter().enumerate() {
        for from in 0..nodes.len() {
            drop(spawn(deliver(bags.clone(), from, to, core.clone())));
        }
        core.run();
    }
    nodes[0].open(&beginning).await?;
    Ok(nodes)
}
