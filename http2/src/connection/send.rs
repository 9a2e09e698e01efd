//! Frames that leave.

use super::stream::{End, OwnedField, Stream};
use super::{Connection, Handler, LEAVING_PING, LIFE_PING, Leaving, Role};
use crate::error::Code;
use crate::frame::{self, HEAD_BYTES, Head, WINDOW_MAX, flag, kind};
use crate::hpack::{Encoder, Field};
use crate::output::{Output, Pieces};

/// Bytes in the output above which streams wait: so that one answer does not stand in front of all
/// others, and what was dropped by a reset was not yet copied.
const OUTPUT_MARK_BYTES: usize = 512 << 10;

/// The stream is not open, or its end was already said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// Takes the fields of a header list, pseudo-headers first.
#[derive(Debug)]
pub struct Block<'a> {
    encoder: &'a mut Encoder,
    out: &'a mut Vec<u8>,
}

impl Block<'_> {
    /// A field that comes in many lists; the tables remember it.
    pub fn common(&mut self, name: &[u8], value: &[u8]) {
        self.encoder.common(Field { name, value }, self.out);
    }

    /// A field that hardly comes again.
    pub fn unique(&mut self, name: &[u8], value: &[u8]) {
        self.encoder.unique(Field { name, value }, self.out);
    }
}

impl<S> Connection<S> {
    /// Opens a stream (clients only). `None` when the peer takes no more at present, or none at
    /// all because it is leaving; then `user` is dropped.
    pub fn open(&mut self, user: S, end: bool, fields: impl FnOnce(&mut Block<'_>)) -> Option<u32> {
        let full = self.streams.len() >= self.peer_streams_max as usize;
        if full || self.peer_leaving.is_some() || i64::from(self.own_next) > WINDOW_MAX {
            return None;
        }
        let id = self.own_next;
        self.own_next += 2;
        let window = i64::from(self.config.stream_window_bytes);
        let mut stream = Stream::new(user, self.peer_window, window);
        if end {
            stream.end = End::Sent;
        }
        self.streams.insert(id, stream);
        self.write_headers(id, end, fields);
        Some(id)
    }

    /// Sends headers on an open stream.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn headers_out(
        &mut self,
        id: u32,
        end: bool,
        fields: impl FnOnce(&mut Block<'_>),
    ) -> Result<(), Closed> {
        let stream = self.streams.get(&id).ok_or(Closed)?;
        if !matches!(stream.end, End::Open) {
            return Err(Closed);
        }
        self.write_headers(id, end, fields);
        if end {
            self.ended(id);
        }
        Ok(())
    }

    /// Sends a piece of the body. Gives the bytes of it that have to wait for window or room;
    /// [`Handler::moved`] tells as they go on.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn data_out(&mut self, id: u32, mut body: Pieces, end: bool) -> Result<usize, Closed> {
        let stream = self.streams.get_mut(&id).ok_or(Closed)?;
        if !matches!(stream.end, End::Open) {
            return Err(Closed);
        }
        if stream.waiting.is_empty() {
            let mut sent_end = false;
            while !sent_end && self.out.len() < OUTPUT_MARK_BYTES {
                let n = stream.frame_len(body.len(), self.send_window, self.peer_payload_max);
                if n == 0 && !(body.is_empty() && end) {
                    break;
                }
                sent_end = end && n == body.len();
                write_data(&mut self.out, id, &mut body, n, sent_end);
                stream.send_window -= n as i64;
                self.send_window -= n as i64;
            }
            if sent_end {
                self.ended(id);
                return Ok(0);
            }
        }
        let waits = body.len();
        self.queued += waits;
        stream.waiting.append(body);
        if end {
            stream.end = End::Data;
        }
        stream.queue_up(id, &mut self.ready);
        Ok(waits)
    }

    /// Ends a stream with trailers, after everything that waits. A server's stream is over then,
    /// whether the client had said its last or not.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn trailers_out(&mut self, id: u32, fields: &[(&[u8], &[u8], bool)]) -> Result<(), Closed> {
        let stream = self.streams.get_mut(&id).ok_or(Closed)?;
        if !matches!(stream.end, End::Open) {
            return Err(Closed);
        }
        if stream.waiting.is_empty() {
            self.write_headers(id, true, |block| put_fields(block, fields.iter().copied()));
            self.ended(id);
            return Ok(());
        }
        let own = |(name, value, common): &(&[u8], &[u8], bool)| -> OwnedField {
            ((*name).into(), (*value).into(), *common)
        };
        stream.end = End::Trailers(fields.iter().map(own).collect());
        Ok(())
    }

    /// Ends a stream at once; what waits of it is dropped. Gives what was kept for it.
    pub fn reset_out(&mut self, id: u32, code: Code) -> Option<S> {
        let stream = self.take_out(id)?;
        self.forget(id);
        frame::write_number(self.out.tail(), kind::RST_STREAM, id, code.0);
        Some(stream.user)
    }

    /// Moves what waits to the output, as far as windows and room allow, a frame of each stream in
    /// turn.
    pub fn pump<H: Handler<Stream = S>>(&mut self, handler: &mut H) {
        while self.out.len() < OUTPUT_MARK_BYTES
            && let Some(id) = self.ready.pop_front()
        {
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            let waiting = stream.waiting.len();
            let n = stream.frame_len(waiting, self.send_window, self.peer_payload_max);
            if n == 0 && waiting > 0 {
                if self.send_window <= 0 && stream.send_window > 0 {
                    // The connection's window is used up: it keeps its place.
                    self.ready.push_front(id);
                    return;
                }
                stream.is_ready = false;
                continue;
            }
            let last = n == waiting;
            let end = last && matches!(stream.end, End::Data);
            if n > 0 || end {
                write_data(&mut self.out, id, &mut stream.waiting, n, end);
                stream.send_window -= n as i64;
                self.send_window -= n as i64;
                self.queued -= n;
                handler.moved(id, &mut stream.user, n);
            }
            if end {
                self.ended(id);
            } else if last && let End::Trailers(fields) = &mut stream.end {
                let fields = std::mem::take(fields);
                let all = fields
                    .iter()
                    .map(|(name, value, common)| (&**name, &**value, *common));
                self.write_headers(id, true, |block| put_fields(block, all));
                self.ended(id);
            } else if stream.can_send() {
                self.ready.push_back(id);
            } else {
                stream.is_ready = false;
            }
        }
    }

    /// Notes that received bytes of a stream are done with: the peer may send as many again. Those
    /// of a stream that is over were given back when it ended.
    pub fn release(&mut self, id: u32, bytes: usize) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let bytes = bytes as i64;
        debug_assert!(bytes <= stream.unreleased);
        stream.unreleased -= bytes;
        stream.receive_owed += bytes;
        let half = stream.receive_owed * 2 >= i64::from(self.config.stream_window_bytes);
        if half && !stream.received_end {
            stream.receive_window += stream.receive_owed;
            let owed = std::mem::take(&mut stream.receive_owed) as u32;
            frame::write_number(self.out.tail(), kind::WINDOW_UPDATE, id, owed);
        }
        self.consumed(bytes);
    }

    /// Asks the peer for a sign of life.
    pub fn ping(&mut self) {
        self.write_ping(0, LIFE_PING);
    }

    /// Takes leave: streams that are open go on to their end, and those that the peer opens before
    /// it knows, too.
    pub fn leave(&mut self) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Begun;
            self.say_leaving(WINDOW_MAX as u32, Code::NO_ERROR);
            self.write_ping(0, LEAVING_PING);
        }
    }

    /// Says why the connection is closed now.
    pub fn goodbye(&mut self, code: Code) {
        self.leaving = Leaving::Said(self.peer_last);
        self.say_leaving(self.peer_last, code);
    }

    pub(super) fn say_leaving(&mut self, last: u32, code: Code) {
        let both = u64::from(last) << 32 | u64::from(code.0);
        let out = self.out.tail();
        frame::write(out, kind::GOAWAY, 0, 0, &both.to_be_bytes());
    }

    pub(super) fn write_ping(&mut self, flags: u8, payload: [u8; 8]) {
        frame::write(self.out.tail(), kind::PING, flags, 0, &payload);
    }

    fn write_headers(&mut self, id: u32, end: bool, fields: impl FnOnce(&mut Block<'_>)) {
        let out = self.out.tail();
        let start = out.len();
        out.extend_from_slice(&[0; HEAD_BYTES]);
        self.encoder.begin(out);
        fields(&mut Block {
            encoder: &mut self.encoder,
            out,
        });
        let len = out.len() - start - HEAD_BYTES;
        let end_stream = if end { flag::END_STREAM } else { 0 };
        if len <= self.peer_payload_max {
            let head = Head {
                len,
                kind: kind::HEADERS,
                flags: flag::END_HEADERS | end_stream,
                stream: id,
            };
            out[start..start + HEAD_BYTES].copy_from_slice(&head.bytes());
            return;
        }
        let block = out.split_off(start + HEAD_BYTES);
        out.truncate(start);
        let frames = block.chunks(self.peer_payload_max);
        let count = frames.len();
        for (at, piece) in frames.enumerate() {
            let last = if at + 1 == count {
                flag::END_HEADERS
            } else {
                0
            };
            let (kind, flags) = match at {
                0 => (kind::HEADERS, last | end_stream),
                _ => (kind::CONTINUATION, last),
            };
            frame::write(out, kind, flags, id, piece);
        }
    }

    /// The end of a stream was written.
    fn ended(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.end = End::Sent;
        if stream.received_end {
            self.take_out(id);
        } else if self.role == Role::Server {
            // The rest of the request is of no use to anybody.
            self.reset_out(id, Code::NO_ERROR);
        }
    }

    /// Forgets a stream whose both ends were said.
    pub(super) fn close_if_over(&mut self, id: u32) {
        if let Some(stream) = self.streams.get(&id)
            && stream.received_end
            && matches!(stream.end, End::Sent)
        {
            self.take_out(id);
        }
    }

    /// Takes a stream out of the table, with what it holds of the connection's bounds.
    pub(super) fn take_out(&mut self, id: u32) -> Option<Stream<S>> {
        let stream = self.streams.remove(&id)?;
        self.queued -= stream.waiting.len();
        self.consumed(stream.unreleased);
        Some(stream)
    }

    /// Gives back window of the connection.
    pub(super) fn consumed(&mut self, bytes: i64) {
        self.receive_owed += bytes;
        if self.receive_owed * 2 >= i64::from(self.config.window_bytes) {
            self.receive_window += self.receive_owed;
            let owed = std::mem::take(&mut self.receive_owed) as u32;
            frame::write_number(self.out.tail(), kind::WINDOW_UPDATE, 0, owed);
        }
    }
}

fn put_fields<'f>(block: &mut Block<'_>, fields: impl Iterator<Item = (&'f [u8], &'f [u8], bool)>) {
    for (name, value, common) in fields {
        if common {
            block.common(name, value);
        } else {
            block.unique(name, value);
        }
    }
}

fn write_data(out: &mut Output, id: u32, body: &mut Pieces, n: usize, end: bool) {
    let head = Head {
        len: n,
        kind: kind::DATA,
        flags: if end { flag::END_STREAM } else { 0 },
        stream: id,
    };
    head.write(out.tail());
    body.move_to(n, out);
}
