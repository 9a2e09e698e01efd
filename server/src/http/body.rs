//! The body of an HTTP/1 request, taken off the wire as it comes: of a length told in the head, or
//! in chunks (RFC 9112, 7.1), whose sizes, extensions and trailers are passed over. `serve` and the
//! gateway call it.

use bytes::{Buf, BytesMut};
use http::StatusCode;

/// Most bytes of the line that tells the size of a chunk.
const SIZE_LINE_MAX: usize = 256;

/// Most bytes of trailers.
const TRAILERS_MAX: usize = 16 << 10;

/// Most digits of a chunk's size: no body may be so long that it needs more.
const SIZE_DIGITS_MAX: usize = 15;

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// It has so many bytes.
    Length(usize),
    /// Chunks, the last of them empty.
    Chunked,
}

/// A body on its way.
#[derive(Debug)]
pub struct Body {
    state: State,
}

#[derive(Debug)]
enum State {
    Plain { left: usize },
    Size,
    Chunk { left: usize },
    ChunkEnd,
    Trailers { taken: usize },
    Ended,
}

impl Body {
    /// A body of which nothing was taken.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Ended,
            Framing::Length(left) => State::Plain { left },
            Framing::Chunked => State::Size,
        };
        Self { state }
    }

    /// Whether all of it was taken.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether content is to come next, for which there has to be room.
    pub fn wants_room(&self) -> bool {
        matches!(self.state, State::Plain { .. } | State::Chunk { .. })
    }

    /// Moves content from the front of `buf` to the end of `out`, at most `room` bytes.
    ///
    /// # Errors
    /// The status to refuse with: the chunks are not well formed.
    pub fn take(
        &mut self,
        buf: &mut BytesMut,
        out: &mut BytesMut,
        mut room: usize,
    ) -> Result<(), StatusCode> {
        loop {
            match &mut self.state {
                State::Ended => return Ok(()),
                State::Plain { left } | State::Chunk { left } => {
                    let n = (*left).min(room).min(buf.len());
                    if n == 0 {
                        return Ok(());
                    }
                    out.extend_from_slice(&buf[..n]);
                    buf.advance(n);
                    room -= n;
                    *left -= n;
                    if *left == 0 {
                        self.state = match self.state {
                            State::Plain { .. } => State::Ended,
                            _ => State::ChunkEnd,
                        };
                    }
                }
                State::Size => {
                    let Some(line) = line(buf, SIZE_LINE_MAX)? else {
                        return Ok(());
                    };
                    self.state = match size(&line)? {
                        0 => State::Trailers { taken: 0 },
                        left => State::Chunk { left },
                    };
                }
                State::ChunkEnd => match line(buf, 0)? {
                    None => return Ok(()),
                    Some(_) => self.state = State::Size,
                },
                State::Trailers { taken } => {
                    let Some(line) = line(buf, TRAILERS_MAX - *taken)? else {
                        return Ok(());
                    };
                    *taken += line.len();
                    if line.is_empty() {
                        self.state = State::Ended;
                    }
                }
            }
        }
    }
}

/// A line without its end, if it is complete; it may have `max` bytes.
fn line(buf: &mut BytesMut, max: usize) -> Result<Option<BytesMut>, StatusCode> {
    let window = &buf[..buf.len().min(max + 2)];
    let Some(at) = window.iter().position(|byte| *byte == b'\n') else {
        return match buf.len() > max + 1 {
            true => Err(StatusCode::BAD_REQUEST),
            false => Ok(None),
        };
    };
    let mut line = buf.split_to(at + 1);
    line.truncate(at);
    if line.last() != Some(&b'\r') {
        return Err(StatusCode::BAD_REQUEST);
    }
    line.truncate(at - 1);
    Ok(Some(line))
}

fn size(line: &[u8]) -> Result<usize, StatusCode> {
    let text = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let text = text.trim_ascii_end();
    let is_plain =
        !text.is_empty() && text.len() <= SIZE_DIGITS_MAX && text.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(text).unwrap_or_default();
    match usize::from_str_radix(digits, 16) {
        Ok(size) if is_plain => Ok(size),
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

#[cfg(test)]
mod tests;
