//! Frames on the wire (RFC 9113, section 4).
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 3 | length of the payload, big-endian |
//! | 3 | 1 | kind |
//! | 4 | 1 | flags |
//! | 5 | 4 | stream, big-endian; the highest bit is ignored |

/// What a client says first.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes before each payload.
pub const HEAD_BYTES: usize = 9;

/// Largest payload a peer takes unless it says otherwise; what we take, too.
pub const PAYLOAD_BYTES_DEFAULT: usize = 16 << 10;

/// Largest payload that can be announced.
pub const PAYLOAD_BYTES_MAX: usize = (1 << 24) - 1;

/// Largest flow-control window.
pub const WINDOW_MAX: i64 = (1 << 31) - 1;

/// Window of a connection, and of a stream without settings, at the beginning.
pub const WINDOW_DEFAULT: i64 = 65_535;

/// Kinds of frames.
pub mod kind {
    /// Body bytes.
    pub const DATA: u8 = 0;
    /// The beginning of a header list.
    pub const HEADERS: u8 = 1;
    /// Deprecated; only its form is looked at.
    pub const PRIORITY: u8 = 2;
    /// Ends one stream at once.
    pub const RST_STREAM: u8 = 3;
    /// What the sender can take.
    pub const SETTINGS: u8 = 4;
    /// Never allowed here: push is switched off.
    pub const PUSH_PROMISE: u8 = 5;
    /// A sign of life and its echo.
    pub const PING: u8 = 6;
    /// The sender takes no further streams.
    pub const GOAWAY: u8 = 7;
    /// More window.
    pub const WINDOW_UPDATE: u8 = 8;
    /// More of a header list.
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    /// DATA, HEADERS: the last of the stream.
    pub const END_STREAM: u8 = 0x1;
    /// SETTINGS, PING: an answer.
    pub const ACK: u8 = 0x1;
    /// HEADERS, CONTINUATION: the last of the header list.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS: padding follows the content.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: five bytes of priority precede the content.
    pub const PRIORITY: u8 = 0x20;
}

/// Settings that mean something here.
pub mod setting {
    /// Bytes of the peer's table of headers.
    pub const HEADER_TABLE_SIZE: u16 = 1;
    /// Whether push is wanted.
    pub const ENABLE_PUSH: u16 = 2;
    /// Streams open at once.
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    /// Window of each new stream.
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    /// Largest payload.
    pub const MAX_FRAME_SIZE: u16 = 5;
    /// Largest header list.
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the payload.
    pub len: usize,
    /// One of [`kind`], or one nobody knows.
    pub kind: u8,
    /// [`flag`]s.
    pub flags: u8,
    /// The stream; 0 is the connection.
    pub stream: u32,
}

impl Head {
    /// Reads a head from the first bytes of `bytes`, if there are enough.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, s0, s1, s2, s3] = bytes.first_chunk::<HEAD_BYTES>()?;
        Some(Self {
            len: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        })
    }

    /// The head on the wire.
    #[must_use]
    pub fn bytes(self) -> [u8; HEAD_BYTES] {
        debug_assert!(self.len <= PAYLOAD_BYTES_MAX);
        let [_, a, b, c] = (self.len as u32).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, s0, s1, s2, s3]
    }

    /// Appends the head.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes());
    }

    /// Whether a flag is set.
    #[must_use]
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends a whole frame.
pub(crate) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let head = Head {
        len: payload.len(),
        kind,
        flags,
        stream,
    };
    head.write(out);
    out.extend_from_slice(payload);
}

/// Appends a frame of one number: RST_STREAM and WINDOW_UPDATE.
pub(crate) fn write_number(out: &mut Vec<u8>, kind: u8, stream: u32, number: u32) {
    write(out, kind, 0, stream, &number.to_be_bytes());
}

/// The big-endian number that a payload of four bytes is.
pub(crate) fn number(payload: &[u8]) -> Option<u32> {
    payload.try_into().ok().map(u32::from_be_bytes)
}

/// A payload without its padding; `None` when the padding is longer than the frame.
pub(crate) fn unpadded(head: Head, payload: &[u8]) -> Option<&[u8]> {
    if !head.has(flag::PADDED) {
        return Some(payload);
    }
    let (&padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(padding.into())?)
}
