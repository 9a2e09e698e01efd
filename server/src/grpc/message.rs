//! gRPC's length-prefixed messages: [`Reply`] is one ready to send, [`Decoder`] finds them in what
//! arrives. `call` and `stream` use both; the API services build replies.
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 1 | 1 if compressed, else 0 |
//! | 1 | 4 | length of the message, big-endian |
//! | 5 | length | the message |

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http2::Pieces;
use prost::Message;

use super::status::{Code, Status};

/// Bytes before each message.
pub const PREFIX_BYTES: usize = 5;

/// Memory taken for a message on the word of its length prefix; more is taken as it arrives.
const TRUSTED_BYTES: usize = 16 << 10;

/// One framed message: a first piece and, for large answers, further ones that are borrowed from
/// where they are stored and never joined.
#[derive(Debug, Default)]
pub struct Reply(Pieces);

impl Reply {
    /// Frames an encoded protobuf message.
    pub fn encode<M: Message>(message: &M) -> Self {
        let len = message.encoded_len();
        let mut buf = BytesMut::with_capacity(PREFIX_BYTES + len);
        put_prefix(&mut buf, len);
        message.encode_raw(&mut buf);
        Self(buf.freeze().into())
    }

    /// Frames a message that is given in pieces, in order.
    pub fn from_pieces(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let rest: VecDeque<Bytes> = pieces.into_iter().filter(|p| !p.is_empty()).collect();
        let mut buf = BytesMut::with_capacity(PREFIX_BYTES);
        put_prefix(&mut buf, rest.iter().map(Bytes::len).sum());
        Self::from_framed(buf.freeze(), rest)
    }

    /// Takes a frame whose first piece already begins with the prefix.
    pub(super) fn from_framed(head: Bytes, rest: VecDeque<Bytes>) -> Self {
        Self(Pieces::new(head, rest))
    }

    /// Bytes on the wire, the prefix included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing to send. A framed message is never empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The message in one piece, without its prefix: for tests and for answers that go out over
    /// HTTP/1.
    pub fn message(&self) -> Bytes {
        let mut buf = BytesMut::with_capacity(self.len());
        self.0.iter().for_each(|piece| buf.put_slice(piece));
        buf.advance(PREFIX_BYTES.min(buf.len()));
        buf.freeze()
    }

    #[cfg(test)]
    pub(super) fn piece_at(&self, at: usize) -> Option<&Bytes> {
        self.0.iter().nth(at)
    }

    pub(super) fn into_pieces(self) -> Pieces {
        self.0
    }
}

/// Writes the prefix of a message of `len` bytes.
///
/// # Panics
/// Never for what fits in memory here: messages are bounded far below 4 GiB.
pub(super) fn put_prefix(buf: &mut impl BufMut, len: usize) {
    buf.put_u8(0);
    buf.put_u32(u32::try_from(len).expect("an answer is below 4 GiB"));
}

/// Finds messages in chunks as they arrive, and copies them: what they arrived in is used again.
#[derive(Debug)]
pub struct Decoder {
    max: usize,
    prefix: [u8; PREFIX_BYTES],
    prefix_have: usize,
    /// The message begun, when it did not fit in its first chunk.
    partial: BytesMut,
}

impl Decoder {
    /// A decoder that refuses messages of more than `max` bytes.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            prefix: [0; PREFIX_BYTES],
            prefix_have: 0,
            partial: BytesMut::new(),
        }
    }

    /// Bytes held of a message that is not complete.
    pub fn held(&self) -> usize {
        self.partial.len()
    }

    /// Whether the stream may end here.
    pub fn at_boundary(&self) -> bool {
        self.prefix_have == 0
    }

    /// Takes from `chunk` until a message is complete or the chunk is used up.
    ///
    /// # Errors
    /// grpc-go's status for compressed and for oversized messages; the stream cannot go on then.
    pub fn push(&mut self, chunk: &mut &[u8]) -> Result<Option<Bytes>, Status> {
        if self.prefix_have < PREFIX_BYTES {
            let n = chunk.len().min(PREFIX_BYTES - self.prefix_have);
            self.prefix[self.prefix_have..self.prefix_have + n].copy_from_slice(&chunk[..n]);
            self.prefix_have += n;
            *chunk = &chunk[n..];
            if self.prefix_have < PREFIX_BYTES {
                return Ok(None);
            }
        }
        let len = self.checked_len()?;
        if self.partial.is_empty() && chunk.len() >= len {
            self.prefix_have = 0;
            let (message, rest) = chunk.split_at(len);
            *chunk = rest;
            return Ok(Some(Bytes::copy_from_slice(message)));
        }
        let n = chunk.len().min(len - self.partial.len());
        if self.partial.capacity() == 0 {
            self.partial.reserve(len.min(TRUSTED_BYTES.max(n)));
        }
        self.partial.put_slice(&chunk[..n]);
        *chunk = &chunk[n..];
        if self.partial.len() < len {
            return Ok(None);
        }
        self.prefix_have = 0;
        Ok(Some(std::mem::take(&mut self.partial).freeze()))
    }

    fn checked_len(&self) -> Result<usize, Status> {
        let [flag, length @ ..] = self.prefix;
        if flag != 0 {
            let text = "grpc: compressed flag set with identity or empty encoding";
            return Err(Status::new(Code::Internal, text));
        }
        let len = u32::from_be_bytes(length) as usize;
        if len > self.max {
            let max = self.max;
            let text = format!("grpc: received message larger than max ({len} vs. {max})");
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests;
