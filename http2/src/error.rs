//! Why a stream or a connection ends: [`Code`] is what is told to the peer, [`Broken`] ends the
//! connection.

use std::fmt;

/// An error code of RFC 9113, section 7. Unknown ones are kept as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    /// Nothing is wrong.
    pub const NO_ERROR: Self = Self(0x0);
    /// The other side broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(0x1);
    /// Our own fault.
    pub const INTERNAL_ERROR: Self = Self(0x2);
    /// More was sent than there was window for.
    pub const FLOW_CONTROL_ERROR: Self = Self(0x3);
    /// Settings were not acknowledged.
    pub const SETTINGS_TIMEOUT: Self = Self(0x4);
    /// A frame came for a stream that has ended.
    pub const STREAM_CLOSED: Self = Self(0x5);
    /// A frame has a length that it cannot have.
    pub const FRAME_SIZE_ERROR: Self = Self(0x6);
    /// The stream was not looked at and may be tried again.
    pub const REFUSED_STREAM: Self = Self(0x7);
    /// The stream is no longer wanted.
    pub const CANCEL: Self = Self(0x8);
    /// The header tables have come apart.
    pub const COMPRESSION_ERROR: Self = Self(0x9);
    /// The peer asks for too much.
    pub const ENHANCE_YOUR_CALM: Self = Self(0xb);
}

/// The connection cannot go on: the peer broke the protocol, or did it too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What is told to the peer.
    pub code: Code,
    /// What happened, for a log line.
    pub what: &'static str,
}

impl Broken {
    pub(crate) const fn new(code: Code, what: &'static str) -> Self {
        Self { code, what }
    }

    /// A window was raised above [`WINDOW_MAX`](crate::frame::WINDOW_MAX).
    pub(crate) const fn window() -> Self {
        Self::new(Code::FLOW_CONTROL_ERROR, "a window above 2^31 - 1")
    }

    pub(crate) const fn protocol(what: &'static str) -> Self {
        Self::new(Code::PROTOCOL_ERROR, what)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP/2 error {}: {}", self.code.0, self.what)
    }
}

impl std::error::Error for Broken {}
