//! Makes a data directory out of the records of a snapshot: pages and index of each shard, a log
//! that has only its head, and a checkpoint that says so. A node opens it like one that it left
//! itself. Called by `stoa snapshot restore`.
//!
//! The index of what was restored is in memory, as it will be in the node; of values there are no
//! more than `PENDING_BYTES`. The superblock is written last: without it a node refuses the
//! directory, as one that lost its superblock.

use bytes::Bytes;
use futures::future::join;

use crate::env::Disk;
use crate::format::checkpoint::{IndexHead, LogEnd, Manifest, ShardImage};
use crate::format::effects::Meta;
use crate::format::fault::Fault;
use crate::format::superblock::Superblock;
use crate::ids::{LaneId, LeaseId, Revision, ShardId};
use crate::limits::STEP_KEYS;
use crate::mvcc::checkpoint::{self, IndexWriter};
use crate::mvcc::pages::{PageOptions, Pages, SealRecord};
use crate::mvcc::{Index, Key, Value, Version};
use crate::shard::boot::{self, BootError, WAL_DIR};
use crate::shard::keeper::{ALARM_CORRUPT, ALARM_NO_SPACE, Keeper};
use crate::shard::route::shard_of;
use crate::wal::{Lane, LaneOptions};

/// Bytes of values of all shards together that wait to be sealed.
const PENDING_BYTES: usize = 64 << 20;

/// Records of one shard that wait to be sealed at most.
const PENDING_RECORDS: usize = 16_384;

/// Pages kept in memory on each shard: none is read again.
const CACHE_BYTES: usize = 1 << 20;

/// The number of the checkpoint that is made.
const GENERATION: u64 = 1;

/// One version of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreRecord {
    /// When it was written.
    pub revision: Revision,
    /// The key; not empty.
    pub key: Bytes,
    /// What was put; none for a delete.
    pub put: Option<RestorePut>,
}

/// What was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestorePut {
    /// Revision of the put that began this life of the key.
    pub create_revision: i64,
    /// Puts in this life, from 1.
    pub version: i64,
    /// Lease attached, 0 for none.
    pub lease: i64,
    /// The value.
    pub value: Bytes,
}

/// What a store has beside its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreEnd {
    /// The revision it is at.
    pub revision: i64,
    /// The compaction revision, -1 for none.
    pub compacted: i64,
    /// Leases and the seconds granted.
    pub leases: Vec<(i64, i64)>,
    /// Alarms: member and kind.
    pub alarms: Vec<(u64, u8)>,
}

/// A data directory in the making.
pub struct Restore<D: Disk> {
    disk: D,
    superblock: Superblock,
    shards: Vec<Part<D>>,
    last: Revision,
}

/// One shard of it.
struct Part<D: Disk> {
    index: Index,
    pages: Pages<D>,
    pending: Vec<RestoreRecord>,
    pending_bytes: usize,
}

impl<D: Disk> Restore<D> {
    /// Begins a data directory on an empty disk.
    ///
    /// # Errors
    /// The disk is full or failed.
    pub async fn create(disk: D, superblock: Superblock) -> Result<Self, BootError> {
        disk.make_dir(checkpoint::DIR)
            .await
            .map_err(|e| io(checkpoint::DIR, &e))?;
        let mut shards = Vec::new();
        for shard in 0..superblock.shards {
            let mut options = PageOptions::new(ShardId(shard), superblock.identity());
            options.cache_bytes = CACHE_BYTES;
            disk.make_dir(&options.dir)
                .await
                .map_err(|e| io(&options.dir, &e))?;
            shards.push(Part {
                index: Index::new(),
                pages: Pages::open(disk.clone(), options, 1, &[]).await?,
                pending: Vec::new(),
                pending_bytes: 0,
            });
        }
        Ok(Self {
            disk,
            superblock,
            shards,
            last: Revision::default(),
        })
    }

    /// The last revision that was pushed.
    pub fn last(&self) -> Revision {
        self.last
    }

    /// Adds a record; revisions rise.
    ///
    /// # Errors
    /// The record cannot be, or the disk is full or failed.
    pub async fn push(&mut self, record: RestoreRecord) -> Result<(), BootError> {
        check(&record, self.last)?;
        self.last = record.revision;
        let share = PENDING_BYTES / self.shards.len();
        let shard = shard_of(&record.key, self.superblock.shards);
        let part = &mut self.shards[usize::from(shard.0)];
        part.pending_bytes += record.put.as_ref().map_or(0, |put| put.value.len());
        part.pending.push(record);
        if part.pending_bytes >= share || part.pending.len() >= PENDING_RECORDS {
            part.seal().await?;
        }
        Ok(())
    }

    /// Ends the directory: from here on a node may open it.
    ///
    /// # Errors
    /// The disk is full or failed, or `end` cannot be.
    pub async fn finish(mut self, end: &RestoreEnd) -> Result<(), BootError> {
        if end.revision < self.last.main || end.revision < 1 || end.compacted > end.revision {
            let what = format!(
                "revision {} of a store whose last record is {} and whose compaction is {}",
                end.revision, self.last.main, end.compacted
            );
            return Err(BootError::Broken(what));
        }
        let meta = keeper(end)?.encode();
        let lane = self.begin_log().await?;
        let mut images = Vec::new();
        for shard in 0..self.superblock.shards {
            let part = &mut self.shards[usize::from(shard)];
            part.seal().await?;
            let head = IndexHead {
                identity: self.superblock.identity(),
                shard: ShardId(shard),
                generation: GENERATION,
                settled: end.revision,
            };
            images.push(part.write_index(&self.disk, head).await?);
        }
        let manifest = Manifest {
            cluster: self.superblock.cluster,
            member: self.superblock.member,
            generation: GENERATION,
            settled: end.revision,
            epoch: 0,
            compacted: end.compacted.max(0),
            groups: vec![Default::default(); images.len()],
            shards: images,
            lanes: vec![lane],
            meta,
        };
        checkpoint::commit(&self.disk, &manifest).await?;
        Ok(boot::put_superblock(&self.disk, &self.superblock).await?)
    }

    /// A checkpoint goes with a log; this one's has no entries yet.
    async fn begin_log(&self) -> Result<LogEnd, BootError> {
        let (disk, identity) = (self.disk.clone(), self.superblock.identity());
        let options = LaneOptions::default();
        let dir = WAL_DIR.to_owned();
        let lane = Lane::create(disk, dir, LaneId(0), 1, identity, None, options).await?;
        let end = lane.end();
        let stopped = async {
            let flushed = lane.flush().await;
            lane.stop();
            flushed
        };
        let (flushed, _) = join(stopped, lane.run()).await;
        flushed?;
        Ok(end)
    }
}

impl<D: Disk> Part<D> {
    /// Puts what waits into pages and index.
    async fn seal(&mut self) -> Result<(), BootError> {
        let mut records = Vec::new();
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        for record in &pending {
            if let Some(put) = &record.put {
                records.push(SealRecord {
                    key: Key::from(&record.key[..]),
                    revision: record.revision,
                    create_revision: put.create_revision,
                    version: put.version,
                    lease: put.lease,
                    value: put.value.clone(),
                });
            }
        }
        let mut slots = Vec::new();
        if !records.is_empty() {
            slots = self.pages.seal(records).await?;
        }
        let mut slots = slots.into_iter();
        for record in pending {
            let mut version = Version {
                revision: record.revision,
                create_revision: 0,
                version: 0,
                lease: 0,
                value: Value::Deleted,
            };
            if let Some(put) = &record.put {
                version.create_revision = put.create_revision;
                version.version = put.version;
                version.lease = put.lease;
                version.value = Value::Sealed(slots.next().expect("each put was sealed"));
            }
            self.index.stage(&record.key, version);
        }
        Ok(())
    }

    async fn write_index(&self, disk: &D, head: IndexHead) -> Result<ShardImage, BootError> {
        let settled = head.settled;
        let mut writer = IndexWriter::create(disk, head).await?;
        let mut after: Option<Key> = None;
        loop {
            let mut failed = Ok(());
            let mut take = |key: &Key, versions: &[Version]| {
                if failed.is_ok() {
                    failed = writer.push(key, versions);
                }
            };
            after = self
                .index
                .dump_step(after.as_ref(), settled, STEP_KEYS, &mut take);
            failed?;
            writer.write_out().await?;
            if after.is_none() {
                break;
            }
        }
        let summary = writer.finish(&self.pages.files()).await?;
        Ok(ShardImage {
            index_bytes: summary.bytes,
            index_checksum: summary.checksum,
            next_file: self.pages.next_file(),
        })
    }
}

fn io(dir: &str, error: &std::io::Error) -> Fault {
    Fault::io(dir, "make the directory", error)
}

/// Refuses what no store holds.
fn check(record: &RestoreRecord, last: Revision) -> Result<(), BootError> {
    let Revision { main, sub } = record.revision;
    let bad = |what: &str| Err(BootError::Broken(format!("revision {main}.{sub}: {what}")));
    if record.revision <= last || main < 1 || sub < 0 {
        return bad("revisions do not rise");
    }
    if main == i64::MAX || u32::try_from(sub).is_err() {
        return bad("out of bounds");
    }
    if record.key.is_empty() {
        return bad("no key");
    }
    if u32::try_from(record.put.as_ref().map_or(0, |put| put.value.len())).is_err() {
        return bad("a value of 4 GiB or more");
    }
    match &record.put {
        Some(put) if put.create_revision < 1 || put.create_revision > main || put.version < 1 => {
            bad("create revision and version do not fit")
        }
        _ => Ok(()),
    }
}

fn keeper(end: &RestoreEnd) -> Result<Keeper, BootError> {
    let mut keeper = Keeper::new(1);
    for (id, ttl_s) in &end.leases {
        let granted = keeper.leases.grant(LeaseId(*id), *ttl_s, 0);
        granted.map_err(|error| BootError::Broken(format!("lease {id:x}: {error}")))?;
    }
    for (member, kind) in &end.alarms {
        if !matches!(*kind, ALARM_NO_SPACE | ALARM_CORRUPT) {
            return Err(BootError::Broken(format!(
                "unknown kind {kind} of an alarm"
            )));
        }
        let (member, kind, on) = (*member, *kind, true);
        keeper.commit(Meta::Alarm { member, kind, on }, 0);
    }
    keeper.compacted = if end.compacted > 0 { end.compacted } else { -1 };
    Ok(keeper)
}

#[cfg(test)]
mod tests;
