//! The superblock: what a data directory is, written once when it is created and read first at
//! every start. Called by the server's start and by the simulator.
//!
//! A document (see [`super::document`]) with magic `STOASUPR`. Directories are made durable
//! before it is, so a directory with a superblock has all of them.

use std::collections::BTreeSet;

use rkyv::rancor;
use rkyv::{Archive, Deserialize, Serialize};

use super::document::{self, Kind};
use super::fault::{Fault, join};
use super::identity::Identity;
use crate::env::Disk;
use crate::limits::SHARDS_MAX;

/// Name of the file, at the root of the data directory.
pub const NAME: &str = "SUPERBLOCK";
/// Frame and format version.
pub const KIND: Kind = Kind {
    magic: *b"STOASUPR",
    version: 1,
};

const TEMP: &str = "SUPERBLOCK.new";

/// What is fixed for the life of a data directory.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// The cluster's id.
    pub cluster: u64,
    /// This member's id.
    pub member: u64,
    /// Shards of the cluster, 1 to [`SHARDS_MAX`].
    pub shards: u16,
    /// Name of the hash that takes a key to its shard.
    pub shard_hash: String,
    /// Version of that hash.
    pub shard_hash_version: u16,
    /// Version of the server that made the directory.
    pub created_by: String,
}

impl Superblock {
    /// Cluster and member, as every other file names them.
    pub fn identity(&self) -> Identity {
        Identity::new(self.cluster, self.member)
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let payload = rkyv::to_bytes::<rancor::Error>(self).expect("memory is written");
        KIND.encode(&payload)
    }

    /// The superblock in the bytes of the file `path`.
    pub fn decode(path: &str, image: &[u8]) -> Result<Self, Fault> {
        let payload = KIND.decode(path, image)?;
        let bad = |what: String| Fault::corrupt(path, document::HEAD_BYTES as u64, what);
        let block = rkyv::from_bytes::<Self, rancor::Error>(&payload)
            .map_err(|error| bad(error.to_string()))?;
        if block.shards == 0 || block.shards > SHARDS_MAX {
            return Err(bad(format!("{} shards", block.shards)));
        }
        Ok(block)
    }
}

/// Makes a data directory: first `dirs` with their parents, durable, then the superblock.
///
/// A crash leaves a directory without a superblock, which the same call completes, or a whole one.
pub async fn create<D: Disk>(disk: &D, block: &Superblock, dirs: &[&str]) -> Result<(), Fault> {
    let mut parents = BTreeSet::new();
    for dir in dirs {
        disk.make_dir(dir)
            .await
            .map_err(|e| Fault::io(dir, "create of the directory", &e))?;
        let mut child = *dir;
        while let Some((parent, _)) = child.rsplit_once('/') {
            parents.insert(parent);
            child = parent;
        }
    }
    // The root holds the top names and is made durable with the superblock's own name; but a
    // superblock may not be seen without them, so they go first.
    parents.insert("");
    document::remove_leftover(disk, "", TEMP).await?;
    for parent in parents {
        disk.sync_dir(parent)
            .await
            .map_err(|e| Fault::io(parent, "sync of the directory", &e))?;
    }
    document::replace(disk, "", NAME, TEMP, &block.encode()).await
}

/// The superblock, or `None` in a directory that was never completed.
pub async fn load<D: Disk>(disk: &D) -> Result<Option<Superblock>, Fault> {
    let path = join("", NAME);
    match document::read(disk, &path).await? {
        Some(image) => Superblock::decode(&path, &image).map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
