//! The server's side of a websocket (RFC 6455), as far as the gateway needs it: messages of
//! bounded size in, text out, pings answered.
//!
//! | offset | bits | content |
//! |---|---|---|
//! | 0 | 1, 3, 4 | last frame of the message, extensions (none), kind of frame |
//! | 1 | 1, 7 | masked, length; 126 and 127: the length follows in 2 or 8 bytes |
//! | 2.. | 32 | the mask, in frames of clients always |

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use sha1::{Digest, Sha1};

/// What the protocol appends to a client's key.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Largest content of a ping or a close.
const CONTROL_BYTES_MAX: usize = 125;

/// Most bytes before a frame's content.
const FRAME_HEAD_BYTES_MAX: usize = 14;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Why a websocket ends: what its close frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum End {
    /// All was said.
    Normal = 1000,
    /// The peer broke the protocol.
    Protocol = 1002,
    /// The peer's message is too large.
    TooLarge = 1009,
}

/// What a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A whole message.
    Message(Bytes),
    /// A ping, to be answered with its content.
    Ping(Bytes),
    /// That it is done.
    Close,
}

/// The head of the answer that opens a websocket; none if the request does not ask for one by the
/// rules. A token in the subprotocol is accepted as `Bearer`.
pub fn accept(headers: &HeaderMap) -> Option<String> {
    let version = headers.get("sec-websocket-version")?;
    let key = headers.get("sec-websocket-key")?;
    if version != "13" || key.is_empty() {
        return None;
    }
    let mut sha = Sha1::new();
    sha.update(key.as_bytes());
    sha.update(KEY_SUFFIX);
    let accept = BASE64_STANDARD.encode(sha.finalize());
    let bearer = bearer(headers).map_or("", |_| "sec-websocket-protocol: Bearer\r\n");
    Some(format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {accept}\r\n{bearer}\r\n"
    ))
}

/// The token of a client that cannot set headers, a browser: it stands in the list of
/// subprotocols behind the word `Bearer`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let list = headers.get("sec-websocket-protocol")?.to_str().ok()?;
    let (word, token) = list.split_once(',')?;
    (word.trim() == "Bearer").then_some(token.trim())
}

/// Finds messages in what a client sends.
#[derive(Debug)]
pub struct Reader {
    message_max: usize,
    /// Frames of a message that is not complete.
    partial: BytesMut,
    has_begun: bool,
}

impl Reader {
    /// A reader that refuses messages of more than `message_max` bytes.
    pub fn new(message_max: usize) -> Self {
        Self {
            message_max,
            partial: BytesMut::new(),
            has_begun: false,
        }
    }

    /// Bytes that have to be readable at once, so that any frame that is taken comes together.
    pub fn buffer_max(&self) -> usize {
        self.message_max + FRAME_HEAD_BYTES_MAX
    }

    /// Takes frames off the front of `buf` until something is said, or more bytes are needed.
    ///
    /// # Errors
    /// How to end the websocket.
    pub fn take(&mut self, buf: &mut BytesMut) -> Result<Option<Said>, End> {
        while let Some((first, content)) = self.take_frame(buf)? {
            let (is_final, kind) = (first & 0x80 != 0, first & 0x0f);
            if kind >= CLOSE {
                if !is_final || content.len() > CONTROL_BYTES_MAX {
                    return Err(End::Protocol);
                }
                match kind {
                    CLOSE => return Ok(Some(Said::Close)),
                    PING => return Ok(Some(Said::Ping(content.freeze()))),
                    PONG => continue,
                    _ => return Err(End::Protocol),
                }
            }
            let continues = kind == CONTINUATION;
            if kind > BINARY || continues != self.has_begun {
                return Err(End::Protocol);
            }
            if self.partial.len() + content.len() > self.message_max {
                return Err(End::TooLarge);
            }
            self.has_begun = !is_final;
            self.partial.unsplit(content);
            if is_final {
                let message = std::mem::take(&mut self.partial).freeze();
                return Ok(Some(Said::Message(message)));
            }
        }
        Ok(None)
    }

    /// The first byte and the unmasked content of a frame that is complete.
    fn take_frame(&self, buf: &mut BytesMut) -> Result<Option<(u8, BytesMut)>, End> {
        let mut head: &[u8] = buf;
        let Some([first, second]) = head.first_chunk().copied() else {
            return Ok(None);
        };
        head.advance(2);
        let is_masked = second & 0x80 != 0;
        if first & 0x70 != 0 || !is_masked {
            return Err(End::Protocol);
        }
        let (more, short) = (head.len(), second & 0x7f);
        let len = match short {
            126 if more < 2 => return Ok(None),
            127 if more < 8 => return Ok(None),
            126 => u64::from(head.get_u16()),
            127 => head.get_u64(),
            short => u64::from(short),
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > self.message_max {
            return Err(End::TooLarge);
        }
        let Some(mask) = head.first_chunk::<4>().copied() else {
            return Ok(None);
        };
        head.advance(4);
        if head.len() < len {
            return Ok(None);
        }
        let head_len = buf.len() - head.len();
        buf.advance(head_len);
        let mut content = buf.split_to(len);
        for (byte, mask) in content.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        Ok(Some((first, content)))
    }
}

/// A message as the server sends it.
pub fn text(message: &[u8]) -> Vec<u8> {
    frame(TEXT, message)
}

/// The answer to a ping.
pub fn pong(content: &[u8]) -> Vec<u8> {
    frame(PONG, content)
}

/// The last frame.
pub fn close(end: End) -> Vec<u8> {
    frame(CLOSE, &(end as u16).to_be_bytes())
}

fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_HEAD_BYTES_MAX + content.len());
    out.put_u8(0x80 | kind);
    match content.len() {
        len @ 0..126 => out.put_u8(len as u8),
        len @ 126..65536 => {
            out.put_u8(126);
            out.put_u16(len as u16);
        }
        len => {
            out.put_u8(127);
            out.put_u64(len as u64);
        }
    }
    out.put_slice(content);
    out
}

#[cfg(test)]
mod tests;
