//! How the pages fail. Callers of `Pages` act on [`PageError::class`].

use thiserror::Error;

use crate::error::{Class, Error};
use crate::format::fault::Fault;

/// Why pages could not be read or written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PageError {
    /// A file is damaged, foreign or refused by the disk.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The page's file was rewritten and removed since the place was looked up: look it up anew.
    #[error("page file {file} was removed")]
    Gone {
        /// Number of the file.
        file: u32,
    },
}

impl PageError {
    pub(super) fn corrupt(path: &str, offset: u64, what: &str) -> Self {
        Self::Fault(Fault::corrupt(path, offset, what))
    }

    /// What the caller may do.
    pub fn class(&self) -> Class {
        match self {
            Self::Fault(fault) => fault.class(),
            Self::Gone { .. } => Class::Retry,
        }
    }
}

impl From<PageError> for Error {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Fault(fault) => fault.into(),
            // Whoever names pages from the index and loads them without a turn between never
            // meets this; whoever does not must look the place up again.
            PageError::Gone { .. } => Self::TooManyRequests,
        }
    }
}
