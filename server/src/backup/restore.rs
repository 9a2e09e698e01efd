//! `stoa snapshot restore`: a new data directory out of a snapshot file. In bounded memory beside
//! the index, which the node holds in memory, too.

use std::fs;
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use bytes::Bytes;
use engine::format::kv_wire::KvFields;
use engine::format::superblock::Superblock;
use engine::ids::Revision;
use engine::shard::boot::BootError;
use engine::shard::restore::{Restore, RestoreEnd, RestorePut, RestoreRecord};
use engine::shard::route;
use prost::Message;
use proto::etcdserverpb::AlarmMember;

use super::cli::RestoreArgs;
use super::etcd;
use super::file::SnapshotFile;
use super::progress::Progress;
use crate::config::{InitialCluster, identity, urls, version};
use crate::fatal::Exit;
use crate::fatal::lock::{self, DataDirLock, LOCK_FILE};
use crate::runtime::disk::DirectDisk;
use crate::runtime::executor;
use crate::runtime::local::Executor;

/// What a file system may have in its root.
const LOST: &str = "lost+found";

/// Makes the data directory, and says what is in it. What was begun and cannot be ended is removed;
/// of a restore that is cut short there is no superblock, and no node opens it.
///
/// # Errors
/// The file is no snapshot, or damaged; the directory cannot be made, or is not empty.
pub fn run(args: &RestoreArgs) -> Result<String, Exit> {
    if (args.bump_revision > 0) != args.mark_compacted {
        let what = "--bump-revision and --mark-compacted are given together or not at all: \
                    watchers must not go on over revisions that never were";
        return Err(Exit::BadConfig(what.to_owned()));
    }
    let superblock = superblock(args)?;
    let shards = superblock.shards;
    let dir = args.data_dir.clone();
    let dir = Place::new(dir.unwrap_or_else(|| format!("{}.stoa", args.name).into()))?;
    let wal = args.wal_dir.clone().map(Place::new).transpose()?;
    executor::probe().map_err(|error| Exit::IoUringForbidden(error.to_string()))?;
    let file = SnapshotFile::open(&args.file, args.skip_hash_check, true)?;
    let end = read_end(&file)?;
    // Held before anything is made or removed: another restore may have begun here meanwhile.
    let _lock = dir.take()?;
    let _wal_lock = wal.as_ref().map(Place::take).transpose()?;
    let made = make(&file, args, superblock, end, &dir, wal.as_ref());
    match made {
        Ok(end) => Ok(format!(
            "{}: {shards} shards at revision {}, compacted at {}, with {} leases\n",
            dir.path.display(),
            end.revision,
            end.compacted,
            end.leases.len()
        )),
        Err(error) => {
            dir.clear();
            wal.inspect(Place::clear);
            Err(error)
        }
    }
}

/// A directory to be filled.
struct Place {
    path: PathBuf,
    was_there: bool,
}

impl Place {
    /// A directory that is not there, or empty.
    fn new(path: PathBuf) -> Result<Self, Exit> {
        let place = |path: PathBuf, was_there| Self { path, was_there };
        let path = match absolute(&path) {
            Ok(absolute) => absolute,
            Err(error) => return Err(place(path, false).unusable(&error)),
        };
        let was_there = path.exists();
        let place = place(path, was_there);
        place.check_empty(&[LOST])?;
        Ok(place)
    }

    /// Makes the directory if need be, and holds it.
    fn take(&self) -> Result<DataDirLock, Exit> {
        let lock = lock::take(&self.path)?;
        self.check_empty(&[LOST, LOCK_FILE])?;
        Ok(lock)
    }

    fn check_empty(&self, but: &[&str]) -> Result<(), Exit> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|error| self.unusable(&error))?,
        };
        for entry in entries {
            let name = entry.map_err(|error| self.unusable(&error))?.file_name();
            if !but.iter().any(|but| name == *but) {
                let what = "is there and not empty; a snapshot is restored into a new directory";
                return Err(Exit::BadConfig(format!("{} {what}", self.path.display())));
            }
        }
        Ok(())
    }

    fn unusable(&self, error: &std::io::Error) -> Exit {
        Exit::DataDirUnusable {
            dir: self.path.clone(),
            why: error.to_string(),
        }
    }

    /// Removes what was put there.
    fn clear(&self) {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        for path in entries.filter(|e| e.file_name() != LOST).map(|e| e.path()) {
            let _ = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
        }
        if !self.was_there {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Fills the directory; what it has in the end.
fn make(
    file: &SnapshotFile,
    args: &RestoreArgs,
    superblock: Superblock,
    mut end: RestoreEnd,
    dir: &Place,
    wal: Option<&Place>,
) -> Result<RestoreEnd, Exit> {
    let wal_path = wal.map(|place| place.path.as_path());
    let failed = |error: std::io::Error| Exit::of_io(&dir.path.display().to_string(), &error);
    let executor = Executor::new(Duration::ZERO).map_err(failed)?;
    executor.block_on(async {
        let disk = DirectDisk::open_with(&dir.path, wal_path)
            .await
            .map_err(failed)?;
        let restore = Restore::create(disk, superblock).await;
        let mut restore = restore.map_err(|error| boot_exit(file, &error))?;
        let latest = fill(file, &mut restore).await?;
        // As etcd: a compaction may have left nothing of the last revisions.
        end.revision = latest.max(end.compacted).max(1);
        if args.bump_revision > 0 {
            end.revision += args.bump_revision;
            end.compacted = end.revision;
        }
        let ended = restore.finish(&end).await;
        ended.map_err(|error| boot_exit(file, &error))
    })?;
    sync_name(&dir.path).map_err(failed)?;
    Ok(end)
}

/// Takes over all records; the last revision among them.
async fn fill(file: &SnapshotFile, restore: &mut Restore<DirectDisk>) -> Result<i64, Exit> {
    let Some(mut pairs) = file.bucket(etcd::KEY)? else {
        return Err(file.bad(&"it has no bucket `key`: it is not of etcd"));
    };
    let progress = Progress::new("restoring", file.bytes());
    let mut latest = 0;
    while let Some((key, value)) = pairs.next()? {
        progress.add(key.len() + value.len());
        let record = record(key, value);
        let Some((revision, record)) = record else {
            let what = format!("the record {} makes no sense", key.escape_ascii());
            return Err(file.bad(&what));
        };
        latest = revision;
        if let Some(record) = record {
            let pushed = restore.push(record).await;
            pushed.map_err(|error| boot_exit(file, &error))?;
        }
    }
    Ok(latest)
}

/// A pair of the bucket `key`. A record without a key is what etcdutl leaves when it raises the
/// revision: it counts for that alone.
fn record(key: &[u8], value: &[u8]) -> Option<(i64, Option<RestoreRecord>)> {
    let (revision, is_delete) = etcd::read_revision(key)?;
    let fields = KvFields::read(value)?;
    if fields.key.is_empty() {
        return Some((revision.main, None));
    }
    if !is_delete && fields.mod_revision != revision.main {
        return None;
    }
    let put = (!is_delete).then(|| RestorePut {
        create_revision: fields.create_revision,
        version: fields.version,
        lease: fields.lease,
        value: Bytes::copy_from_slice(fields.value),
    });
    let record = RestoreRecord {
        revision,
        key: Bytes::copy_from_slice(fields.key),
        put,
    };
    Some((revision.main, Some(record)))
}

/// What the store has beside its records.
fn read_end(file: &SnapshotFile) -> Result<RestoreEnd, Exit> {
    if file.value(etcd::AUTH, etcd::AUTH_ENABLED)?.as_deref() == Some(&[1]) {
        let what = "users and roles are on in it, which this server does not have yet: it would \
                    give the data to everybody; save it after `etcdctl auth disable`";
        return Err(file.bad(&what));
    }
    let mut end = RestoreEnd {
        compacted: -1,
        ..RestoreEnd::default()
    };
    // As etcd at its start, which ends a compaction that was begun.
    for name in [etcd::SCHEDULED, etcd::FINISHED] {
        let Some(value) = file.value(etcd::META, name)? else {
            continue;
        };
        let revision = etcd::read_revision(&value);
        let Some((Revision { main, .. }, false)) = revision else {
            return Err(file.bad(&"the compaction revision makes no sense"));
        };
        end.compacted = end.compacted.max(main);
    }
    if let Some(mut leases) = file.bucket(etcd::LEASE)? {
        while let Some((key, value)) = leases.next()? {
            match etcd::Lease::decode(value) {
                Ok(lease) if key == lease.id.to_be_bytes() => {
                    end.leases.push((lease.id, lease.ttl))
                }
                _ => return Err(file.bad(&"a lease makes no sense")),
            }
        }
    }
    if let Some(mut alarms) = file.bucket(etcd::ALARM)? {
        while let Some((key, _)) = alarms.next()? {
            let alarm = AlarmMember::decode(key).ok();
            let kind = alarm.as_ref().and_then(|a| u8::try_from(a.alarm).ok());
            match (alarm, kind) {
                (Some(alarm), Some(kind)) => end.alarms.push((alarm.member_id, kind)),
                _ => return Err(file.bad(&"an alarm makes no sense")),
            }
        }
    }
    Ok(end)
}

/// Who the new node is, by the rules of the node's own flags.
fn superblock(args: &RestoreArgs) -> Result<Superblock, Exit> {
    let bad = |flag: &str, why: String| Exit::BadConfig(format!("--{flag}: {why}"));
    let mut advertised = urls::parse_list(&args.initial_advertise_peer_urls)
        .map_err(|why| bad("initial-advertise-peer-urls", why))?;
    advertised.sort();
    let cluster = match &args.initial_cluster {
        Some(text) => InitialCluster::parse(text).map_err(|why| bad("initial-cluster", why))?,
        None => InitialCluster::single(&args.name, &advertised),
    };
    identity::check_self(&cluster, &args.name, &advertised).map_err(Exit::BadConfig)?;
    let members = cluster.members().len();
    if members > 1 {
        let why = format!("it names {members} members; one is supported so far");
        return Err(bad("initial-cluster", why));
    }
    let token = &args.initial_cluster_token;
    let cores = || std::thread::available_parallelism().map_or(1, |n| n.get().min(1024) as u16);
    Ok(Superblock {
        cluster: cluster.cluster_id(token).0,
        member: identity::member_id(&advertised, token, None).0,
        shards: args.shards.unwrap_or_else(cores),
        shard_hash: route::HASH_NAME.to_owned(),
        shard_hash_version: 1,
        created_by: version::OWN.to_owned(),
    })
}

/// The directory's own name outlives a power cut.
fn sync_name(dir: &Path) -> std::io::Result<()> {
    match dir.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Records that cannot be are the file's fault, all else is the disk's.
fn boot_exit(file: &SnapshotFile, error: &BootError) -> Exit {
    match error {
        BootError::Broken(what) => file.bad(what),
        other => crate::node::boot_exit(other),
    }
}
