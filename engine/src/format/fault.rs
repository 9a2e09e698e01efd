//! What reading or writing a file of the data directory can meet, with the file and the offset
//! named. Returned by the formats here and by the pages and checkpoints in `mvcc`.

use std::io;

use thiserror::Error;

use crate::error::{Class, Error};

/// A fault of a file. Cheap enough to clone, so that callers that share one read share its end.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// The device is full. Nothing that was durable is lost; the same call may succeed later.
    #[error("{path}: no space left on the device")]
    NoSpace {
        /// The file that was written.
        path: String,
    },
    /// The bytes are not what was written.
    #[error("{path}: damaged at offset {offset}: {what}")]
    Corrupt {
        /// The damaged file.
        path: String,
        /// Where in it, bytes from its start: the beginning of the frame that does not hold.
        offset: u64,
        /// What does not hold.
        what: String,
    },
    /// The file's format is younger than this build.
    #[error(
        "{path}: written by a newer version, format {found}; this build reads up to {supported}"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its format version.
        found: u16,
        /// The newest format version that this build reads.
        supported: u16,
    },
    /// The file's format is older than any this build reads.
    #[error("{path}: written by an older version, format {found}; this build reads from {oldest}")]
    Older {
        /// The file.
        path: String,
        /// Its format version.
        found: u16,
        /// The oldest format version that this build reads.
        oldest: u16,
    },
    /// The file was written by another member or for another cluster.
    #[error(
        "{path}: belongs to cluster {found_cluster:x} member {found_member:x}, \
         not to cluster {cluster:x} member {member:x}"
    )]
    Foreign {
        /// The file.
        path: String,
        /// Cluster that the file names.
        found_cluster: u64,
        /// Member that the file names.
        found_member: u64,
        /// Cluster of this data directory.
        cluster: u64,
        /// Member of this data directory.
        member: u64,
    },
    /// The disk refused an operation for another reason than space. The node has to stop.
    #[error("{path}: {action} failed: {text}")]
    Io {
        /// The file or directory.
        path: String,
        /// What was tried.
        action: &'static str,
        /// The system's words.
        text: String,
    },
}

/// Raw number of "no space left on device" on Linux, for disks that pass it on without a kind.
const ENOSPC: i32 = 28;

impl Fault {
    /// The fault behind an error of the disk.
    pub fn io(path: &str, action: &'static str, error: &io::Error) -> Self {
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) || error.raw_os_error() == Some(ENOSPC);
        if full {
            return Self::NoSpace {
                path: path.to_owned(),
            };
        }
        Self::Io {
            path: path.to_owned(),
            action,
            text: error.to_string(),
        }
    }

    /// Damage in `path` at `offset` bytes.
    pub fn corrupt(path: &str, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            offset,
            what: what.into(),
        }
    }

    /// What the caller may do.
    pub fn class(&self) -> Class {
        match self {
            Self::NoSpace { .. } => Class::Retry,
            Self::Corrupt { .. }
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::Foreign { .. }
            | Self::Io { .. } => Class::Fatal,
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NoSpace { .. } => Self::NoSpace,
            Fault::Corrupt { .. } => Self::Damaged(fault.to_string()),
            other => Self::Storage(other.to_string()),
        }
    }
}

/// A path of a name in a directory; the root of the disk is the empty directory.
pub fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() {
        name.to_owned()
    } else {
        format!("{dir}/{name}")
    }
}
