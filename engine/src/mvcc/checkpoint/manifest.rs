//! The manifest in its directory: putting a checkpoint in force, finding the one in force, and
//! removing what belongs to none.

use std::io::ErrorKind;

use super::CheckpointError;
use crate::env::Disk;
use crate::format::checkpoint::Manifest;
use crate::format::document;
use crate::format::fault::{Fault, join};
use crate::format::identity::Identity;
use crate::ids::ShardId;

/// Directory of all checkpoints, below the root of the disk.
pub const DIR: &str = "checkpoint";

const NAME: &str = "MANIFEST";
const TEMP: &str = "MANIFEST.new";
const INDEX_SUFFIX: &str = ".index";

/// Puts a checkpoint in force: all its index files must be finished. When this returns it is
/// durable and the files of former checkpoints are gone.
///
/// After a full disk the former checkpoint is in force, and its `generation` must not be used
/// again by this process.
pub async fn commit<D: Disk>(disk: &D, manifest: &Manifest) -> Result<(), CheckpointError> {
    // The names of the index files before the name that makes them count.
    disk.sync_dir(DIR)
        .await
        .map_err(|e| Fault::io(DIR, "sync of the directory", &e))?;
    document::replace(disk, DIR, NAME, TEMP, &manifest.encode()).await?;
    remove_others(disk, Some(manifest.generation)).await?;
    Ok(())
}

/// The manifest in force, or `None` in a directory that never had a checkpoint. Removes what
/// interrupted checkpoints left.
///
/// When this returns the manifest is durable even if the process that wrote it was killed before
/// it could make its name so: what it does not name may be removed.
pub async fn load_manifest<D: Disk>(
    disk: &D,
    identity: Identity,
) -> Result<Option<Manifest>, CheckpointError> {
    document::remove_leftover(disk, DIR, TEMP).await?;
    match disk.sync_dir(DIR).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        synced => synced.map_err(|e| Fault::io(DIR, "sync of the directory", &e))?,
    }
    let path = join(DIR, NAME);
    let manifest = match document::read(disk, &path).await? {
        Some(image) => Some(Manifest::decode(&path, &image)?),
        None => None,
    };
    if let Some(manifest) = &manifest {
        Identity::new(manifest.cluster, manifest.member).check(&identity, &path)?;
    }
    remove_others(disk, manifest.as_ref().map(|manifest| manifest.generation)).await?;
    Ok(manifest)
}

/// A file of some checkpoint, if there is any.
pub async fn any_file<D: Disk>(disk: &D) -> Result<Option<String>, Fault> {
    let names = match disk.list(DIR).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        names => names.map_err(|e| Fault::io(DIR, "list", &e))?,
    };
    let manifest = names.iter().find(|name| *name == NAME);
    let index = || names.iter().find(|name| generation(name).is_some());
    Ok(manifest.or_else(index).map(|name| join(DIR, name)))
}

/// Path of a shard's index file.
pub(super) fn index_path(generation: u64, shard: ShardId) -> String {
    join(DIR, &format!("{generation:020}-{shard:05}{INDEX_SUFFIX}"))
}

/// Generation of the index file `name`; `None` if it is no such file.
fn generation(name: &str) -> Option<u64> {
    let (generation, _) = name.strip_suffix(INDEX_SUFFIX)?.split_once('-')?;
    generation.parse().ok()
}

/// Removes the index files of all checkpoints but `kept`.
async fn remove_others<D: Disk>(disk: &D, kept: Option<u64>) -> Result<(), Fault> {
    let names = disk
        .list(DIR)
        .await
        .map_err(|e| Fault::io(DIR, "list", &e))?;
    for name in names {
        let Some(generation) = generation(&name) else {
            continue;
        };
        if Some(generation) == kept {
            continue;
        }
        let path = join(DIR, &name);
        disk.remove(&path)
            .await
            .map_err(|e| Fault::io(&path, "remove", &e))?;
    }
    Ok(())
}
