//! One core's start: its lane, its shards' indexes, its groups and their fences; then staging
//! what exists, and the tasks that run from then on. See [`crate::shard::boot`] for the order.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use crate::env::Env;
use crate::error::Error;
use crate::format::checkpoint::{IndexHead, Manifest, ShardImage};
use crate::format::effects::BatchWriter;
use crate::format::identity::Identity;
use crate::group::log_store::{GroupLog, LogStore};
use crate::group::machine::Apply;
use crate::group::types::{LogId, StoredMembership};
use crate::group::{Group, Start, codec};
use crate::ids::{CoreId, LaneId, ShardId};
use crate::limits::STEP_KEYS;
use crate::mvcc::checkpoint::IndexReader;
use crate::mvcc::pages::{PageOptions, Pages};
use crate::mvcc::{Builder, Index};
use crate::shard::boot::{Beginning, BootError, CoreImage, NodeOptions, Report, Seat, WAL_DIR};
use crate::shard::checkpoint::position;
use crate::shard::core::{Core, CoreParts};
use crate::shard::desk::{Desk, DeskParts};
use crate::shard::keeper::Keeper;
use crate::shard::node::{self, Checkpoints};
use crate::shard::replay::Replay;
use crate::shard::shard_state::Shard;
use crate::shard::status::About;
use crate::shard::store::{Leases, Store};
use crate::shard::turn::{spawn, yield_now};
use crate::wal::Lane;

/// Opens this core's lane, if it has one, and its shards, starts their groups, and commits a fresh
/// fence in each.
///
/// # Errors
/// What is on the disk is damaged or cannot be read, or a group could not be led.
pub async fn prepare<E: Env>(
    image: CoreImage,
    seat: Seat<E>,
    options: &NodeOptions,
) -> Result<(Rc<Core<E>>, Report), BootError> {
    let CoreImage {
        core,
        superblock,
        manifest,
        logs,
        tail,
        era,
        foreign,
    } = image;
    let identity = superblock.identity();
    let dir = WAL_DIR.to_owned();
    let lane_id = LaneId(core.0);
    let disk = seat.disk.clone();
    let lane = if core.0 < options.lanes {
        Some(Lane::create(disk, dir, lane_id, era, identity, tail, options.lane).await?)
    } else {
        None
    };
    let desk = Rc::new(desk(
        core,
        &superblock,
        manifest.as_deref(),
        &seat,
        options,
    )?);
    if let Some(lane) = &lane {
        spawn::<E>(node::run_lane::<E>(lane.clone(), desk.clone()));
    }

    let leases: Leases = Rc::default();
    let mut shards = Vec::new();
    shards.resize_with(superblock.shards as usize, || None);
    let mut report = Report::default();
    for (id, log) in logs {
        let base = Base::of(manifest.as_deref(), id);
        let store = load::<E>(&seat.disk, &superblock, &base, id, &leases, options).await?;
        let shard = Rc::new(shard(id, &desk, &seat, identity, store, &base, options));
        let lane = lane.as_ref().expect("shards are dealt to cores with a log");
        start_group(&shard, lane, log, &base, options).await?;
        fence(&shard, &seat, &mut report).await?;
        shards[id.0 as usize] = Some(shard);
    }
    let about = About {
        cluster: superblock.cluster,
        member: superblock.member,
        peer: options.peer.clone(),
    };
    let generation = manifest.as_ref().map_or(0, |manifest| manifest.generation);
    let parts = CoreParts {
        desk,
        limits: options.limits.clone(),
        about,
        shards,
        leases,
        lane,
        disk: seat.disk,
        checkpoints: Checkpoints {
            generation,
            foreign,
            ..Checkpoints::default()
        },
    };
    Ok((Rc::new(Core::new(parts)), report))
}

fn shard<E: Env>(
    id: ShardId,
    desk: &Rc<Desk>,
    seat: &Seat<E>,
    identity: Identity,
    store: Store<E::Disk>,
    base: &Base,
    options: &NodeOptions,
) -> Shard<E> {
    Shard::new(
        id,
        desk.clone(),
        seat.disk.clone(),
        identity,
        store,
        Replay::new(base.settled),
        options.limits.quota_bytes,
    )
}

/// Where a shard's checkpoint stands.
struct Base {
    settled: i64,
    generation: u64,
    image: Option<ShardImage>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl Base {
    fn of(manifest: Option<&Manifest>, id: ShardId) -> Self {
        let Some(manifest) = manifest else {
            return Self {
                settled: 1,
                generation: 0,
                image: None,
                applied: None,
                membership: StoredMembership::default(),
            };
        };
        let group = manifest.groups.get(id.0 as usize);
        let applied = group.and_then(|group| group.last.as_ref()).map(position);
        let membership = group
            .and_then(|group| codec::read_membership(group.membership.clone().into()))
            .unwrap_or_default();
        Self {
            settled: manifest.settled,
            generation: manifest.generation,
            image: manifest.shards.get(id.0 as usize).copied(),
            applied,
            membership: StoredMembership::new(applied, membership),
        }
    }
}

fn desk<E: Env>(
    core: CoreId,
    superblock: &crate::format::superblock::Superblock,
    manifest: Option<&Manifest>,
    seat: &Seat<E>,
    options: &NodeOptions,
) -> Result<Desk, Error> {
    let keeper = match (core, manifest) {
        (CoreId(0), Some(manifest)) => Some(Keeper::decode(&manifest.meta, options.ttl_min_s())?),
        (CoreId(0), None) => Some(Keeper::new(options.ttl_min_s())),
        _ => None,
    };
    Ok(Desk::new(DeskParts {
        core,
        cores: options.cores,
        lanes: options.lanes,
        shards: superblock.shards,
        order: Arc::clone(&seat.order),
        mail: seat.mail.clone(),
        clock: seat.clock.clone(),
        entropy: seat.entropy.clone(),
        batch_delay: options.batch_delay,
        watch: options.watch,
        keeper,
    }))
}

/// Loads a shard's index from the checkpoint, and opens its pages.
async fn load<E: Env>(
    disk: &E::Disk,
    superblock: &crate::format::superblock::Superblock,
    base: &Base,
    id: ShardId,
    leases: &Leases,
    options: &NodeOptions,
) -> Result<Store<E::Disk>, BootError> {
    let identity = superblock.identity();
    let mut page_options = PageOptions::new(id, identity);
    let share = options.page_cache_bytes / u64::from(superblock.shards.max(1));
    page_options.cache_bytes = usize::try_from(share).unwrap_or(usize::MAX);
    let Some(image) = base.image else {
        let pages = Pages::open(disk.clone(), page_options, 1, &[]).await?;
        return Ok(Store::new(Index::new(), pages, leases.clone()));
    };
    let head = IndexHead {
        identity,
        shard: id,
        generation: base.generation,
        settled: base.settled,
    };
    let mut reader = IndexReader::open(disk, head, image).await?;
    let mut builder = Builder::new(0);
    let mut attached = Vec::new();
    loop {
        let mut failed = Ok(());
        let more = reader
            .step(&mut |key, versions| {
                if let Some(last) = versions.last()
                    && last.lease != 0
                {
                    attached.push((key.clone(), last.lease));
                }
                if failed.is_ok() {
                    failed = builder.push(key, versions);
                }
            })
            .await?;
        failed?;
        if !more {
            break;
        }
        yield_now::<E>().await;
    }
    let files = reader
        .footer()
        .map(|footer| footer.files.clone())
        .unwrap_or_default();
    let pages = Pages::open(disk.clone(), page_options, image.next_file, &files).await?;
    let (index, dropped) = builder.finish()?;
    dropped.iter().for_each(|slot| pages.dead(slot));
    let mut store = Store::new(index, pages, leases.clone());
    for (key, lease) in attached {
        store.attach(&key, lease);
    }
    Ok(store)
}

/// Hands what openraft commits to the shard.
struct Committed<E: Env>(Rc<Shard<E>>);

impl<E: Env> Apply for Committed<E> {
    fn apply(&self, log_id: LogId, batch: bytes::Bytes) -> Result<(), Error> {
        self.0.committed(log_id, batch)
    }

    fn passed(&self, log_id: LogId) {
        self.0.upkeep.logged(log_id, None);
    }
}

async fn start_group<E: Env>(
    shard: &Rc<Shard<E>>,
    lane: &Lane<E::Disk>,
    log: GroupLog,
    base: &Base,
    options: &NodeOptions,
) -> Result<(), BootError> {
    let id = shard.id.group();
    shard.upkeep.set_covered(base.applied);
    shard.upkeep.begun.set(base.generation);
    // Sealing begins before anybody has to wait for it.
    let staged_max = options.limits.staged_bytes_max;
    let seal_bytes = options.limits.seal_bytes.min(staged_max / 4);
    shard.upkeep.seal_bytes.set(seal_bytes);
    shard.upkeep.staged_bytes_max.set(staged_max);
    let start = Start {
        id,
        member: shard.identity.member.0,
        peer: options.peer.clone(),
        log: LogStore::<E>::new(id, lane.clone(), log),
        applied: base.applied,
        membership: base.membership.clone(),
        apply: Rc::new(Committed(shard.clone())),
        timing: options.timing,
    };
    let group = Group::start(start).await?;
    *shard.group.borrow_mut() = Some(group);
    Ok(())
}

/// Commits a fresh fence: everything before it in the group's log is in, or out for good.
async fn fence<E: Env>(
    shard: &Rc<Shard<E>>,
    seat: &Seat<E>,
    report: &mut Report,
) -> Result<(), BootError> {
    let mut batch = BatchWriter::new();
    batch.fence(shard.identity.member.0, seat.entropy.next_u64());
    let Some(group) = shard.group() else {
        return Ok(());
    };
    let index = group.write(batch.finish(0)).await?;
    if shard.id == ShardId(0) {
        report.fence = Some(index);
        report.term = Some(group.status().1);
    }
    if let Some(replay) = shard.replay.borrow().as_ref() {
        report.seen.extend(replay.seen());
    }
    Ok(())
}

impl<E: Env> Core<E> {
    /// Stages what exists of what was replayed, and takes part in the principalship.
    pub async fn begin(&self, beginning: &Beginning) {
        for shard in self.owned() {
            let replay = shard.replay.borrow_mut().take();
            let Some(mut replay) = replay else { continue };
            if shard.id == ShardId(0)
                && let Ok(keeper) = self.keeper()
            {
                let now = self.desk.clock.now_ns();
                for meta in replay.take_metas(&beginning.prefix) {
                    keeper.borrow_mut().commit(meta, now);
                }
            }
            let mut steps = 0;
            for (revision, changes) in replay.into_changes(&beginning.prefix) {
                steps += changes.len();
                shard.restage(revision, &changes);
                if steps >= STEP_KEYS {
                    steps = 0;
                    yield_now::<E>().await;
                }
            }
            shard.upkeep.clamp(beginning.prefix.settled);
            shard.lead(beginning.epoch);
            shard.note_staged();
        }
        let mut checkpoints = self.checkpoints.lock().await;
        checkpoints.began = (beginning.prefix.settled, beginning.prefix.epoch);
        checkpoints.epoch = beginning.epoch;
    }

    /// On core 0, after every core has begun and runs: opens the order, and makes leases, alarms
    /// and the last compaction count everywhere.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn open(&self, beginning: &Beginning) -> Result<(), Error> {
        let order = &self.desk.order;
        order.set_term(beginning.term);
        let (leases, compacted, no_space, corrupt) = {
            let mut keeper = self.keeper()?.borrow_mut();
            let now = self.desk.clock.now_ns();
            keeper.leases.promote(now, 0);
            let leases: BTreeSet<i64> = keeper
                .leases
                .list()
                .into_iter()
                .map(|lease| lease.0)
                .collect();
            (
                leases,
                keeper.compacted,
                keeper.no_space(),
                keeper.corrupt(),
            )
        };
        order.set_no_space(no_space);
        order.set_corrupt(corrupt);
        let leases: Vec<i64> = leases.into_iter().collect();
        self.show_leases(&leases).await?;
        if compacted > 0 {
            self.spread_compaction(compacted, false).await?;
        }
        order.begin(beginning.prefix.settled);
        Ok(())
    }

    /// Starts this core's tasks. They end with the node.
    pub fn run(self: &Rc<Self>) {
        for shard in self.owned() {
            spawn::<E>(shard.clone().propose());
            spawn::<E>(shard.clone().maintain());
        }
        spawn::<E>(self.clone().catch_up());
        spawn::<E>(self.clone().notify_progress());
        spawn::<E>(self.clone().watch_log());
        if self.desk.core == CoreId(0) {
            spawn::<E>(self.clone().grant_spans());
            spawn::<E>(self.clone().expire_leases());
            spawn::<E>(self.clone().compact_when_due());
            spawn::<E>(self.clone().checkpoint_when_due());
        }
    }

    /// Stops this core: answers everything that waits, stops the groups, and makes what the log
    /// holds durable.
    pub async fn stop(&self) {
        self.desk.stop(&Error::Stopped);
        for shard in self.owned() {
            if let Some(group) = shard.group() {
                group.stop().await;
            }
        }
        if let Some(lane) = &self.lane {
            lane.stop();
        }
    }
}
