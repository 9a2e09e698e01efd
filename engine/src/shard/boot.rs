//! From a disk to running cores: reads what is there, starts every group, finds the settled
//! prefix, and begins a principalship (rule 6 of the design, with one voter).
//!
//! 1. [`read_node`] on one core: superblock, manifest, all lanes; [`NodeImage::split`] deals
//!    them out.
//! 2. `prepare::prepare` on every core: opens its lane, loads its shards' indexes, starts groups,
//!    commits a fresh fence in each.
//! 3. [`decide`] once: the settled prefix and the epoch.
//! 4. `Core::begin` on every core: stages what exists. Then `Core::open` on core 0.
//! 5. `Core::run` on every core.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error as ThisError;

use crate::env::{Clock, Disk, Entropy, Env, Mail};
use crate::error::Error;
use crate::format::checkpoint::Manifest;
use crate::format::fault::{Fault, join};
use crate::format::identity::Identity;
use crate::format::superblock::{self, Superblock};
use crate::group::Timing;
use crate::group::log_store::GroupLog;
use crate::group::types::Peer;
use crate::ids::{CoreId, GroupId, LaneId, ShardId};
use crate::mvcc::{checkpoint, pages};
use crate::shard::checkpoint::position;
use crate::shard::core::Limits;
use crate::shard::message::Message;
use crate::shard::order::Order;
use crate::shard::replay::{self, Prefix, Seen};
use crate::shard::route;
use crate::wal::{self, LaneImage, LaneOptions, LaneTail};

/// Directory of the WAL's lanes.
pub const WAL_DIR: &str = "wal";

/// Why a node did not start.
#[derive(Clone, Debug, ThisError, PartialEq, Eq)]
pub enum BootError {
    /// The data directory, where it is not the log.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// The log.
    #[error("{0}")]
    Wal(#[from] wal::WalError),
    /// The pages of a shard.
    #[error("{0}")]
    Page(#[from] crate::mvcc::pages::PageError),
    /// A checkpoint.
    #[error("{0}")]
    Checkpoint(#[from] checkpoint::CheckpointError),
    /// A group.
    #[error("{0}")]
    Group(#[from] crate::group::GroupError),
    /// Anything else that is broken on disk.
    #[error("{0}")]
    Broken(String),
    /// The shards are laid out by a hash this build does not know.
    #[error("the data directory's keys are laid out by '{found}'; this build knows '{known}'")]
    UnknownHash {
        /// In the superblock.
        found: String,
        /// Ours.
        known: &'static str,
    },
    /// `--shards` differs from what the data directory was made with.
    #[error("the data directory has {found} shards, which cannot change; --shards says {wanted}")]
    ShardCount {
        /// In the superblock.
        found: u16,
        /// Wanted.
        wanted: u16,
    },
}

impl From<Error> for BootError {
    fn from(error: Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// What a node is told at start.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Cluster and member, for a new data directory.
    pub identity: Identity,
    /// How this node is reached.
    pub peer: Peer,
    /// Shards asked for; `None` for what is there, or one for each core.
    pub shards: Option<u16>,
    /// Cores of this node.
    pub cores: u16,
    /// How many of them own shards, each with a log of its own: 1 to `cores`. Where syncs of one
    /// device hold each other up, one log that carries everybody's writes does more than several.
    pub lanes: u16,
    /// For the superblock.
    pub created_by: String,
    /// Request limits and quota.
    pub limits: Limits,
    /// Election timing.
    pub timing: Timing,
    /// How the log is written.
    pub lane: LaneOptions,
    /// Watch settings.
    pub watch: crate::watch::Settings,
    /// Bytes of pages kept in memory, all shards together.
    pub page_cache_bytes: u64,
    /// How long a batch waits for company before it is proposed.
    pub batch_delay: Duration,
}

impl NodeOptions {
    /// etcd's least time to live of a lease: one and a half election timeouts, rounded up.
    pub fn ttl_min_s(&self) -> i64 {
        (self.timing.election_ms * 3).div_ceil(2 * 1000) as i64
    }
}

/// What the disk holds of a node.
#[derive(Debug)]
pub struct NodeImage {
    /// The superblock.
    pub superblock: Superblock,
    /// The checkpoint in force.
    pub manifest: Option<Arc<Manifest>>,
    logs: Vec<GroupLog>,
    tails: Vec<LaneTail>,
    era: u64,
}

/// One core's share of it.
#[derive(Debug)]
pub struct CoreImage {
    /// The core.
    pub core: CoreId,
    /// The superblock.
    pub superblock: Superblock,
    /// The checkpoint in force.
    pub manifest: Option<Arc<Manifest>>,
    pub(super) logs: Vec<(ShardId, GroupLog)>,
    pub(super) tail: Option<LaneTail>,
    pub(super) era: u64,
    pub(super) foreign: Vec<LaneId>,
}

/// Where a core sits: its way to the outside.
pub struct Seat<E: Env> {
    /// Files.
    pub disk: E::Disk,
    /// The node's order.
    pub order: Arc<Order>,
    /// Mail to the other cores.
    pub mail: Rc<dyn Mail<Message>>,
    /// Time.
    pub clock: Rc<dyn Clock>,
    /// Chance.
    pub entropy: Rc<dyn Entropy>,
}

/// What one core found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Parts of revisions above the checkpoint.
    pub seen: Vec<Seen>,
    /// Index of group 0's fence, from the core that has it.
    pub fence: Option<u64>,
    /// Term of group 0, likewise.
    pub term: Option<u64>,
}

/// What all cores begin from.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// The settled prefix.
    pub prefix: Prefix,
    /// The new epoch.
    pub epoch: u64,
    /// Term of group 0.
    pub term: u64,
}

/// Reads the node's state, or makes a new one.
///
/// # Errors
/// What is there is damaged, of a newer format, or cannot be read.
pub async fn read_node<D: Disk>(disk: &D, options: &NodeOptions) -> Result<NodeImage, BootError> {
    let superblock = match superblock::load(disk).await? {
        Some(found) => check_superblock(found, options)?,
        None => {
            check_nothing_is_there(disk).await?;
            create(disk, options).await?
        }
    };
    let identity = superblock.identity();
    let manifest = checkpoint::load_manifest(disk, identity)
        .await?
        .map(Arc::new);
    check_wal_is_there(disk).await?;
    let images = wal::recover(disk, WAL_DIR, identity).await?;
    if let (Some(manifest), true) = (&manifest, images.is_empty()) {
        // Every opening begins a segment before it can write a checkpoint.
        let what = format!(
            "{WAL_DIR}: the log is empty, and there is checkpoint {} of it; \
             is --wal-dir the one that was given before?",
            manifest.generation
        );
        return Err(BootError::Broken(what));
    }
    if let Some(manifest) = &manifest {
        wal::check_ends(WAL_DIR, &images, &manifest.lanes)?;
    }
    let era = wal::era_after(&images);
    let mut logs: Vec<GroupLog> = (0..superblock.shards)
        .map(|_| GroupLog::default())
        .collect();
    if let Some(manifest) = &manifest {
        for (log, group) in logs.iter_mut().zip(&manifest.groups) {
            log.purged = group.last.as_ref().map(position);
        }
    }
    let tails = images.iter().map(|image| image.tail.clone()).collect();
    gather(images, &mut logs)?;
    Ok(NodeImage {
        superblock,
        manifest,
        logs,
        tails,
        era,
    })
}

/// The log's directory is made before the superblock: without it the log is gone.
async fn check_wal_is_there<D: Disk>(disk: &D) -> Result<(), BootError> {
    match disk.list(WAL_DIR).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(BootError::Broken(format!(
                "{WAL_DIR}: the log's directory is missing; \
                 is --wal-dir the one that was given before?"
            )))
        }
        // Any other failure is recovery's to name.
        _ => Ok(()),
    }
}

/// Before the superblock is durable only empty directories are made, so a directory without one
/// was cut short in its making, or is new - unless there is data in it: then it had one.
async fn check_nothing_is_there<D: Disk>(disk: &D) -> Result<(), BootError> {
    let found = match wal::any_lane(disk, WAL_DIR).await? {
        Some(lane) => Some(lane),
        None => match checkpoint::any_file(disk).await? {
            Some(file) => Some(file),
            None => pages::any_file(disk).await?,
        },
    };
    let Some(found) = found else { return Ok(()) };
    let what = format!(
        "{}: the file is missing, and there is data of a server in {found}; \
         if --data-dir and --wal-dir are the ones that are meant, put the file back",
        superblock::NAME
    );
    Err(BootError::Broken(what))
}

fn check_superblock(found: Superblock, options: &NodeOptions) -> Result<Superblock, BootError> {
    if found.shard_hash != route::HASH_NAME {
        let known = route::HASH_NAME;
        return Err(BootError::UnknownHash {
            found: found.shard_hash,
            known,
        });
    }
    match options.shards {
        Some(wanted) if wanted != found.shards => Err(BootError::ShardCount {
            found: found.shards,
            wanted,
        }),
        _ => Ok(found),
    }
}

async fn create<D: Disk>(disk: &D, options: &NodeOptions) -> Result<Superblock, BootError> {
    let shards = options.shards.unwrap_or(options.cores);
    let superblock = Superblock {
        cluster: options.identity.cluster.0,
        member: options.identity.member.0,
        shards,
        shard_hash: route::HASH_NAME.to_owned(),
        shard_hash_version: 1,
        created_by: options.created_by.clone(),
    };
    put_superblock(disk, &superblock).await?;
    Ok(superblock)
}

/// Makes the directories of a node, and the superblock last.
pub(super) async fn put_superblock<D: Disk>(
    disk: &D,
    superblock: &Superblock,
) -> Result<(), Fault> {
    let pages = (0..superblock.shards).map(|shard| join(pages::DIR, &shard.to_string()));
    let dirs: Vec<String> = [pages::DIR, checkpoint::DIR, WAL_DIR]
        .map(str::to_owned)
        .into_iter()
        .chain(pages)
        .collect();
    let dirs: Vec<&str> = dirs.iter().map(String::as_str).collect();
    superblock::create(disk, superblock, &dirs).await
}

/// Hands every frame to its group, in the order they were written: in one opening of the node a
/// group writes to one lane only.
fn gather(images: Vec<LaneImage>, logs: &mut [GroupLog]) -> Result<(), BootError> {
    let mut frames: VecDeque<_> = images
        .into_iter()
        .flat_map(|image| {
            image
                .frames
                .into_iter()
                .map(move |frame| (image.lane, frame))
        })
        .collect();
    frames
        .make_contiguous()
        .sort_by_key(|(lane, frame)| (frame.era, *lane, frame.lsn));
    for (lane, frame) in frames {
        let place = format!("lane {lane}, segment {}", frame.place.segment);
        let group = frame.head.group;
        let Some(log) = logs.get_mut(group.0 as usize) else {
            let what = format!(
                "{place}: frame {} of group {group}, which is not",
                frame.lsn.0
            );
            return Err(BootError::Broken(what));
        };
        if !log.take(&frame.head, frame.payload) {
            let what = format!(
                "{place}: frame {} of group {group} does not follow",
                frame.lsn.0
            );
            return Err(BootError::Broken(what));
        }
    }
    for (group, log) in logs.iter().enumerate() {
        if let Some(first) = log.gap() {
            let group = GroupId(group as u16);
            let what = format!("group {group}: the log begins at {first}, after a gap");
            return Err(BootError::Broken(what));
        }
    }
    Ok(())
}

impl NodeImage {
    /// Deals the image out to `cores` cores, of which the first `lanes` own shards.
    pub fn split(self, cores: u16, lanes: u16) -> Vec<CoreImage> {
        assert!((1..=cores).contains(&lanes), "a log for some of the cores");
        let mut images: Vec<CoreImage> = (0..cores)
            .map(|core| CoreImage {
                core: CoreId(core),
                superblock: self.superblock.clone(),
                manifest: self.manifest.clone(),
                logs: Vec::new(),
                tail: None,
                era: self.era,
                foreign: Vec::new(),
            })
            .collect();
        for (shard, log) in self.logs.into_iter().enumerate() {
            let shard = ShardId(shard as u16);
            images[shard.core(lanes).0 as usize].logs.push((shard, log));
        }
        for tail in self.tails {
            match images[..lanes as usize].get_mut(tail.lane.0 as usize) {
                Some(image) => image.tail = Some(tail),
                None => images[0].foreign.push(tail.lane),
            }
        }
        images
    }
}

/// Finds what exists, from what all cores found.
pub fn decide(reports: Vec<Report>, manifest: Option<&Manifest>) -> Beginning {
    let (floor, epoch) = manifest.map_or((1, 0), |m| (m.settled, m.epoch));
    let fence = reports.iter().find_map(|report| report.fence).unwrap_or(0);
    let term = reports.iter().find_map(|report| report.term).unwrap_or(0);
    let prefix = replay::settle(reports.into_iter().flat_map(|r| r.seen), floor, epoch);
    Beginning {
        prefix,
        epoch: fence,
        term,
    }
}
