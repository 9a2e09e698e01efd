//! Checkpoints on disk: one index file for each shard and one manifest for all of them together
//! (DESIGN section 3, rule 10). Called by the shards in bounded steps, and by recovery.
//!
//! All files lie in `checkpoint/`: `<generation>-<shard>.index` and `MANIFEST`. What makes a
//! checkpoint safe is the order, each step only after the one before is durable: pages (`Pages::
//! seal`), index files ([`IndexWriter::finish`]), their names, the manifest's bytes, its name
//! ([`commit`]), and only then the removal of what came before.

mod entry;
mod manifest;
mod reader;
mod writer;

use thiserror::Error;

pub use manifest::{DIR, any_file, commit, load_manifest};
pub use reader::IndexReader;
pub use writer::{IndexSummary, IndexWriter};

use crate::error::{Class, Error};
use crate::format::fault::Fault;
use crate::ids::Revision;

/// Why a checkpoint could not be written or read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// A file is damaged, foreign or refused by the disk. When the disk is full the checkpoint
    /// failed and the former one stays.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A version whose value is not in a page: it must be sealed before the checkpoint begins.
    #[error("version {}.{} has no page yet", .0.main, .0.sub)]
    Staged(Revision),
    /// Keys did not rise.
    #[error("keys of a checkpoint are not in order")]
    Order,
    /// The index names a page file that the pages do not have.
    #[error("page file {0} is named and not there")]
    NoFile(u32),
}

impl CheckpointError {
    /// What the caller may do.
    pub fn class(&self) -> Class {
        match self {
            Self::Fault(fault) => fault.class(),
            Self::Staged(_) | Self::Order | Self::NoFile(_) => Class::Fatal,
        }
    }
}

impl From<CheckpointError> for Error {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Fault(fault) => fault.into(),
            other => Self::Storage(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
