//! How a call ended: gRPC's code and the server's words.

use std::borrow::Cow;

/// Anything but success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} ({code}): {message}", self.name())]
pub struct Status {
    /// gRPC's number of what went wrong.
    pub code: u32,
    /// The server's words, or ours where no server was reached.
    pub message: String,
}

/// gRPC's codes by their numbers, as its documents spell them.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl Status {
    /// Nothing is known of the call but that it was given up.
    pub const CANCELLED: u32 = 1;
    /// Somebody else was in the way.
    pub const ABORTED: u32 = 10;
    /// What was asked for is not there.
    pub const NOT_FOUND: u32 = 5;
    /// What was asked cannot be meant.
    pub const INVALID_ARGUMENT: u32 = 3;
    /// The answer is not what was asked for.
    pub const INTERNAL: u32 = 13;
    /// It took too long.
    pub const DEADLINE_EXCEEDED: u32 = 4;
    /// There is no more room, or too much was asked.
    pub const RESOURCE_EXHAUSTED: u32 = 8;
    /// The server was not reached, or went away.
    pub const UNAVAILABLE: u32 = 14;

    /// A status of this end's.
    pub fn new(code: u32, message: impl Into<String>) -> Status {
        Status {
            code,
            message: message.into(),
        }
    }

    /// The server was not reached, or went away.
    pub fn unavailable(why: impl std::fmt::Display) -> Status {
        Status::new(Self::UNAVAILABLE, why.to_string())
    }

    /// The code in words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let known = usize::try_from(self.code).ok().and_then(|at| NAMES.get(at));
        known.copied().unwrap_or("UNKNOWN_CODE")
    }

    /// What trailers say: nothing if the call went well.
    pub(super) fn of_trailers(code: &[u8], message: &[u8]) -> Option<Status> {
        let code = std::str::from_utf8(code).ok().and_then(|c| c.parse().ok());
        let message = || match percent_encoding::percent_decode(message).decode_utf8_lossy() {
            Cow::Borrowed(text) => text.to_owned(),
            Cow::Owned(text) => text,
        };
        match code {
            Some(0) => None,
            Some(code) => Some(Status::new(code, message())),
            None => Some(Status::new(Self::INTERNAL, "the status is no number")),
        }
    }
}
