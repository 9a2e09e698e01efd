//! What can go wrong with the log, and where. Seen by `group` and by the node at start.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::error::Class;

/// An error of the log.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WalError {
    /// The disk failed. If it was a write or a sync of a lane, the lane takes no more.
    #[error("{file}: cannot {act}: {text}")]
    Io {
        /// What was tried.
        act: &'static str,
        /// The file or directory.
        file: Arc<str>,
        /// The system's kind of error.
        kind: io::ErrorKind,
        /// The system's words.
        text: Arc<str>,
    },
    /// Bytes that were durable are not what was written.
    #[error("{file}: offset {offset}: {what}")]
    Corrupt {
        /// The file.
        file: Arc<str>,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// Segments between others are gone.
    #[error("{dir}/{number:020}.seg: the segment is missing, though later ones are there")]
    LostSegment {
        /// The lane's directory.
        dir: Arc<str>,
        /// The first that is missing.
        number: u64,
    },
    /// A lane ends before a frame that a checkpoint knows to have been durable.
    #[error(
        "{file}: lost or cut at offset {offset}: the log ends with frame {found}, \
         and the checkpoint knows that frame {known} was durable"
    )]
    EndsEarly {
        /// The segment that the frame was in.
        file: Arc<str>,
        /// Where in it the frames end; 0 if it is not there.
        offset: u64,
        /// The last frame that is there.
        found: u64,
        /// The last that was durable when the checkpoint was made.
        known: u64,
    },
    /// Written by a later version of this program.
    #[error("{file}: format version {found} is newer than {known}, the newest known here")]
    NewerFormat {
        /// The file.
        file: Arc<str>,
        /// Its version.
        found: u32,
        /// The newest this program reads.
        known: u32,
    },
    /// The log of another cluster.
    #[error("{file}: belongs to cluster {found:x}, not to {own:x}")]
    OtherCluster {
        /// The file.
        file: Arc<str>,
        /// Whose it is.
        found: u64,
        /// Whose it should be.
        own: u64,
    },
    /// The log of another member.
    #[error("{file}: belongs to member {found:x}, not to {own:x}")]
    OtherMember {
        /// The file.
        file: Arc<str>,
        /// Whose it is.
        found: u64,
        /// Whose it should be.
        own: u64,
    },
    /// No space for another segment. Nothing was queued; appends work again when there is space.
    #[error("no space is left for the log")]
    NoSpace,
    /// As much is queued as may be. Nothing was queued; try again when some of it is durable.
    #[error("too much is queued for the log")]
    Busy,
    /// A payload that fits in no segment.
    #[error("a log entry of {len} bytes is larger than {max}, the most a segment takes")]
    TooLarge {
        /// Bytes of the payload.
        len: u64,
        /// The most.
        max: u64,
    },
    /// The frame was released and its segment may be in use again.
    #[error("log segment {0} was released")]
    Released(u64),
    /// No frame was ever appended there.
    #[error("nothing was written at offset {offset} of log segment {segment}")]
    NoSuchFrame {
        /// The segment.
        segment: u64,
        /// The offset.
        offset: u32,
    },
    /// The lane is stopped.
    #[error("the log is stopped")]
    Stopped,
    /// The lane is there already, but the caller knows nothing of it.
    #[error("{0}: segments are there already")]
    Exists(Arc<str>),
    /// A lane was asked for that cannot be.
    #[error("{0}")]
    Misuse(&'static str),
}

impl WalError {
    /// What the caller may do.
    pub fn class(&self) -> Class {
        match self {
            Self::NoSpace | Self::Busy => Class::Retry,
            Self::TooLarge { .. } | Self::Released(_) | Self::NoSuchFrame { .. } => Class::Caller,
            Self::Stopped => Class::Unknown,
            Self::Io { .. }
            | Self::Corrupt { .. }
            | Self::LostSegment { .. }
            | Self::EndsEarly { .. }
            | Self::NewerFormat { .. }
            | Self::OtherCluster { .. }
            | Self::OtherMember { .. }
            | Self::Exists(_)
            | Self::Misuse(_) => Class::Fatal,
        }
    }
}

/// Gives an operation's error its file and what was tried.
pub(super) trait Tried<T> {
    fn tried(self, act: &'static str, file: &str) -> Result<T, WalError>;
}

impl<T> Tried<T> for io::Result<T> {
    fn tried(self, act: &'static str, file: &str) -> Result<T, WalError> {
        self.map_err(|error| WalError::Io {
            act,
            file: file.into(),
            kind: error.kind(),
            text: error.to_string().into(),
        })
    }
}

pub(super) fn corrupt<T>(file: &str, offset: u64, what: &'static str) -> Result<T, WalError> {
    Err(WalError::Corrupt {
        file: file.into(),
        offset,
        what,
    })
}
