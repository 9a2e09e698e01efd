//! What is done to the disk while both servers are measured. Read by `workload`, `run` and `show`.

use clap::ValueEnum;

use super::beside;

/// How the disk is while both servers are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Disk {
    /// The servers have it for themselves
    Plain,
    /// The kernel lets only so many of the server's writes a second through to it
    Throttled,
    /// Another process writes to it
    Busy,
}

impl Disk {
    /// Its name, as on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Disk::Plain => "plain",
            Disk::Throttled => "throttled",
            Disk::Busy => "busy",
        }
    }

    /// What it stands over.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Disk::Plain => "The disk as it is",
            Disk::Throttled => "A slow disk",
            Disk::Busy => "A disk with other writes",
        }
    }

    /// What is done, precisely; `writes` is the limit of the throttle.
    #[must_use]
    pub fn about(self, writes: u32) -> String {
        match self {
            Disk::Plain => "Nothing else is written to it by this run.".to_owned(),
            Disk::Throttled => format!(
                "Each server runs alone in a group of processes of which the kernel lets {writes} \
                 writes a second through to the disk, from its first start on (blkio throttle, \
                 write_iops)."
            ),
            Disk::Busy => beside::about(),
        }
    }
}
