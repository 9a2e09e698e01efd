//! The named ends of the process: each condition that no code can work around has a name, an exit
//! code of its own and one line that says what to do. The only place that ends the process.
//! Called by the boot, the watchdog and whoever learns that the disk failed.
//!
//! A panic is for our own bugs; an exit is for the world's. `docs/exit-codes.md` lists the codes
//! for operators, and a test holds the two together.

pub mod lock;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::net::port::PortError;

/// Why the process ends. Codes below 10 belong to the system and to shells.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Exit {
    /// The flags or variables cannot be followed.
    #[error("{0}")]
    BadConfig(String),
    /// Another process holds the data directory.
    #[error(
        "data directory {} is in use by {holder}; stop it or give another --data-dir",
        dir.display()
    )]
    DataDirInUse {
        /// The directory.
        dir: PathBuf,
        /// `process 123`, or `another process`.
        holder: String,
    },
    /// The data directory cannot be made or opened.
    #[error("data directory {}: {why}; give a --data-dir that this user may write", dir.display())]
    DataDirUnusable {
        /// The directory.
        dir: PathBuf,
        /// The system's word.
        why: String,
    },
    /// The data was written by a version with another format, or by something else than this
    /// server.
    #[error("{file}: {what}; start the version that wrote it or give another --data-dir")]
    NewerFormat {
        /// The file whose format is not known.
        file: String,
        /// What was found there.
        what: String,
    },
    /// The data belongs to another member or cluster than the flags say.
    #[error("the data directory is not this member's: {0}")]
    IdentityMismatch(String),
    /// A listener's address is taken.
    #[error("{address} is already in use; stop who listens there or change {flag}")]
    PortInUse {
        /// The address.
        address: String,
        /// The flag that asked for it.
        flag: &'static str,
    },
    /// A listener cannot be opened for another reason.
    #[error("cannot listen on {address}: {why}; change {flag}")]
    ListenFailed {
        /// The address.
        address: String,
        /// The flag that asked for it.
        flag: &'static str,
        /// The system's word.
        why: String,
    },
    /// Less memory may be locked than the executors need.
    #[error("{0}")]
    LockedMemory(String),
    /// The kernel or the container does not let this process use io_uring.
    #[error("{0}")]
    IoUringForbidden(String),
    /// The executors cannot be started for another reason.
    #[error("{0}; change --cores or the CPUs this process may use")]
    ExecutorsFailed(String),
    /// The disk is full where the log or the pages have to grow.
    #[error("no space left for {0}; make room and start again, nothing is lost")]
    NoSpace(String),
    /// What the disk gave back is not what was written.
    #[error("corruption: {0}; restore this member from a snapshot or add it anew")]
    Corruption(String),
    /// A read, write or sync failed. A failed sync is never tried again.
    #[error("the disk failed: {0}; check the device, then start again")]
    DiskFailed(String),
    /// A snapshot file is none, is damaged, or cannot be taken for another reason.
    #[error("the snapshot is refused: {0}")]
    BadSnapshot(String),
    /// An executor has not turned for too long.
    #[error("core {core} has not turned for {stalled_ms} ms; start again and report this")]
    CoreStalled {
        /// The core.
        core: u16,
        /// For how long, milliseconds.
        stalled_ms: u64,
    },
    /// An executor panicked.
    #[error("core {core} panicked: {message}; start again and report this")]
    CorePanicked {
        /// The core.
        core: u16,
        /// What it said.
        message: String,
    },
    /// A second signal came before the first was followed to its end.
    #[error("told to stop twice; left without waiting")]
    StopForced,
    /// Closing down took longer than it may.
    #[error("closing down took more than {0:?}; left without waiting")]
    StopTimedOut(Duration),
}

impl Exit {
    /// The exit code. Each name has its own and keeps it for ever.
    pub const fn code(&self) -> u8 {
        match self {
            Self::BadConfig(_) => 10,
            Self::DataDirInUse { .. } => 11,
            Self::DataDirUnusable { .. } => 12,
            Self::NewerFormat { .. } => 13,
            Self::IdentityMismatch(_) => 14,
            Self::PortInUse { .. } => 15,
            Self::ListenFailed { .. } => 16,
            Self::LockedMemory(_) => 17,
            Self::IoUringForbidden(_) => 18,
            Self::ExecutorsFailed(_) => 19,
            Self::NoSpace(_) => 20,
            Self::Corruption(_) => 21,
            Self::DiskFailed(_) => 22,
            Self::BadSnapshot(_) => 23,
            Self::CoreStalled { .. } => 30,
            Self::CorePanicked { .. } => 31,
            Self::StopForced => 40,
            Self::StopTimedOut(_) => 41,
        }
    }

    /// The name, as in `docs/exit-codes.md`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BadConfig(_) => "BadConfig",
            Self::DataDirInUse { .. } => "DataDirInUse",
            Self::DataDirUnusable { .. } => "DataDirUnusable",
            Self::NewerFormat { .. } => "NewerFormat",
            Self::IdentityMismatch(_) => "IdentityMismatch",
            Self::PortInUse { .. } => "PortInUse",
            Self::ListenFailed { .. } => "ListenFailed",
            Self::LockedMemory(_) => "LockedMemory",
            Self::IoUringForbidden(_) => "IoUringForbidden",
            Self::ExecutorsFailed(_) => "ExecutorsFailed",
            Self::NoSpace(_) => "NoSpace",
            Self::Corruption(_) => "Corruption",
            Self::DiskFailed(_) => "DiskFailed",
            Self::BadSnapshot(_) => "BadSnapshot",
            Self::CoreStalled { .. } => "CoreStalled",
            Self::CorePanicked { .. } => "CorePanicked",
            Self::StopForced => "StopForced",
            Self::StopTimedOut(_) => "StopTimedOut",
        }
    }

    /// What to print: always one line, whatever the parts contain.
    pub fn line(&self) -> String {
        let text = self.to_string().replace(['\n', '\r'], " ");
        format!("stoa: {} (exit code {}): {text}", self.name(), self.code())
    }

    /// The named end for an address that cannot be listened on, as `flag` asks.
    pub fn of_port(error: &PortError, flag: &'static str) -> Self {
        match error {
            PortError::PortInUse { addr } => Self::PortInUse {
                address: addr.to_string(),
                flag,
            },
            PortError::Bind { addr, source } => Self::ListenFailed {
                address: addr.to_string(),
                flag,
                why: source.to_string(),
            },
        }
    }

    /// The named end for an I/O error at `what` (a file, and the offset where there is one).
    pub fn of_io(what: &str, error: &std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Self::NoSpace(format!("{what} ({error})")),
            _ => Self::DiskFailed(format!("{what}: {error}")),
        }
    }
}

impl From<crate::config::ConfigError> for Exit {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::BadConfig(error.0)
    }
}

/// How long the log may take to write what it holds before the process ends all the same.
const FLUSH_MAX: Duration = Duration::from_millis(500);

/// Ends the process: one line to standard error and to the log, then the reason's exit code.
/// From any thread; what other threads do in the meantime is lost, like at a power cut.
pub fn exit(reason: &Exit) -> ! {
    tracing::error!(exit_code = reason.code(), name = reason.name(), "{reason}");
    crate::log::flush(FLUSH_MAX);
    // Standard error may be gone or full; that must not keep the process alive.
    let _ = writeln!(std::io::stderr(), "{}", reason.line());
    std::process::exit(i32::from(reason.code()))
}

/// Ends the process after an orderly stop, with code 0.
pub fn exit_cleanly() -> ! {
    crate::log::flush(FLUSH_MAX);
    std::process::exit(0)
}

#[cfg(test)]
mod tests;
