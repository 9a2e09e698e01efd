//! What can be measured: a pattern of writes or reads, with its block size, depth and number of
//! logs. Listed by `plan`, run by `measure`.

use std::fmt;

use serde::Serialize;

use crate::report::number;

/// Bytes of an entry in the patterns that write a log's records: about a Kubernetes object.
pub const ENTRY_BYTES: usize = 1024;

/// How the disk is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// A buffered write that extends a file, then fdatasync.
    AppendFdatasync,
    /// A buffered write over written blocks, then fdatasync.
    OverwriteFdatasync,
    /// The same at depth 1 through the ring.
    OverwriteFdatasyncUring,
    /// One write with `O_DIRECT` and `O_DSYNC` over written blocks, through the ring.
    DirectDsync,
    /// The same as a plain system call.
    DirectDsyncPwrite,
    /// An `O_DIRECT` write over written blocks with a linked fdatasync, through the ring.
    LinkedFsync,
    /// Buffered writes over written blocks that nothing is done for: what a sync adds.
    BufferedUnsynced,
    /// Stoa's write-ahead log, each write durable by itself.
    Wal,
    /// Stoa's write-ahead log, a write and then a sync.
    WalWriteSync,
    /// etcd's write-ahead log.
    Etcd,
    /// Direct reads in order.
    SequentialRead,
    /// Direct reads anywhere.
    RandomRead,
    /// Direct writes in order, not synced.
    SequentialWrite,
    /// Direct writes anywhere, not synced.
    RandomWrite,
}

impl Pattern {
    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Pattern::AppendFdatasync => "append-fdatasync",
            Pattern::OverwriteFdatasync => "overwrite-fdatasync",
            Pattern::OverwriteFdatasyncUring => "overwrite-fdatasync-uring",
            Pattern::DirectDsync => "direct-dsync",
            Pattern::DirectDsyncPwrite => "direct-dsync-pwrite",
            Pattern::LinkedFsync => "linked-fsync",
            Pattern::BufferedUnsynced => "buffered-unsynced",
            Pattern::Wal => "wal",
            Pattern::WalWriteSync => "wal-write-sync",
            Pattern::Etcd => "etcd",
            Pattern::SequentialRead => "sequential-read",
            Pattern::RandomRead => "random-read",
            Pattern::SequentialWrite => "sequential-write",
            Pattern::RandomWrite => "random-write",
        }
    }

    /// Whether what it writes is durable when it is counted.
    #[must_use]
    pub fn is_durable(self) -> bool {
        !matches!(
            self,
            Pattern::BufferedUnsynced
                | Pattern::SequentialRead
                | Pattern::RandomRead
                | Pattern::SequentialWrite
                | Pattern::RandomWrite
        )
    }

    /// Whether it is a log whose entries share a sync when several wait.
    #[must_use]
    pub fn is_log(self) -> bool {
        matches!(self, Pattern::Wal | Pattern::WalWriteSync | Pattern::Etcd)
    }
}

/// One measurement to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    /// How the disk is used.
    pub pattern: Pattern,
    /// Bytes of a write or read; of an entry in a log.
    pub block_bytes: usize,
    /// Operations under way at once in each log.
    pub depth: usize,
    /// Files written at once.
    pub logs: usize,
    /// Whether a checkpoint is written meanwhile.
    pub background: bool,
    /// Its share of the time, relative to the others'.
    pub weight: u32,
}

impl Case {
    /// 4 KiB blocks, entries of [`ENTRY_BYTES`] in a log, one at a time, nothing beside it.
    #[must_use]
    pub fn new(pattern: Pattern) -> Case {
        let block_bytes = if pattern.is_log() { ENTRY_BYTES } else { 4096 };
        Case {
            pattern,
            block_bytes,
            depth: 1,
            logs: 1,
            background: false,
            weight: 1,
        }
    }

    /// With another block size.
    #[must_use]
    pub fn block(self, block_bytes: usize) -> Case {
        Case {
            block_bytes,
            ..self
        }
    }

    /// With another depth.
    #[must_use]
    pub fn depth(self, depth: usize) -> Case {
        Case { depth, ..self }
    }

    /// With more logs.
    #[must_use]
    pub fn logs(self, logs: usize) -> Case {
        Case { logs, ..self }
    }

    /// With a larger share of the time.
    #[must_use]
    pub fn weight(self, weight: u32) -> Case {
        Case { weight, ..self }
    }

    /// With a checkpoint beside it.
    #[must_use]
    pub fn with_background(self) -> Case {
        let background = true;
        Case { background, ..self }
    }

    /// Whether it measures the same, whatever its share of the time.
    #[must_use]
    pub fn is_same(&self, other: &Case) -> bool {
        self.weight(0) == other.weight(0)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let block = number::bytes(self.block_bytes as u64);
        write!(f, "{} {block}", self.pattern.name())?;
        if self.depth > 1 {
            write!(f, ", depth {}", self.depth)?;
        }
        if self.logs > 1 {
            write!(f, ", {} logs", self.logs)?;
        }
        if self.background {
            f.write_str(", beside a checkpoint")?;
        }
        Ok(())
    }
}
