//! Frames that arrive.

use super::stream::Stream;
use super::{Connection, Handler, LEAVING_PING, Leaving, Role};
use crate::error::{Broken, Code};
use crate::frame::{self, HEAD_BYTES, Head, PAYLOAD_BYTES_DEFAULT, WINDOW_MAX, flag, kind};
use crate::hpack::Malformed;

/// CONTINUATION frames in one header list.
const CONTINUATIONS_MAX: usize = 256;

/// Capacity that the buffer of a partial frame keeps.
const KEEP_BYTES: usize = 4 << 10;

/// A header block whose last frame has not come.
#[derive(Debug)]
pub(super) struct OpenBlock {
    id: u32,
    end_stream: bool,
    bytes: Vec<u8>,
    frames: usize,
}

impl<S> Connection<S> {
    /// Takes bytes that arrived, however they are cut.
    ///
    /// # Errors
    /// The connection cannot go on: say [`Connection::goodbye`], send what is in the output, close.
    pub fn receive<H: Handler<Stream = S>>(
        &mut self,
        mut input: &[u8],
        handler: &mut H,
    ) -> Result<(), Broken> {
        if !self.preface.is_empty() {
            let n = self.preface.len().min(input.len());
            let (expected, later) = self.preface.split_at(n);
            if &input[..n] != expected {
                return Err(Broken::protocol("no HTTP/2 preface"));
            }
            self.preface = later;
            input = &input[n..];
        }
        if !self.partial.is_empty() {
            let mut partial = std::mem::take(&mut self.partial);
            let whole = self.complete(&mut partial, &mut input)?;
            if let Some(head) = whole {
                self.frame(head, &partial[HEAD_BYTES..], handler)?;
                partial.clear();
            }
            if partial.capacity() <= KEEP_BYTES || !partial.is_empty() {
                self.partial = partial;
            }
            if whole.is_none() {
                return Ok(());
            }
        }
        while let Some(head) = Head::read(input) {
            check_len(head)?;
            let Some(payload) = input.get(HEAD_BYTES..HEAD_BYTES + head.len) else {
                break;
            };
            self.frame(head, payload, handler)?;
            input = &input[HEAD_BYTES + head.len..];
        }
        self.partial.extend_from_slice(input);
        Ok(())
    }

    /// Moves what completes the frame begun from `input` to `partial`; its head once it is whole.
    fn complete(&self, partial: &mut Vec<u8>, input: &mut &[u8]) -> Result<Option<Head>, Broken> {
        let mut take = |partial: &mut Vec<u8>, len: usize| {
            let n = len.saturating_sub(partial.len()).min(input.len());
            partial.extend_from_slice(&input[..n]);
            *input = &input[n..];
        };
        take(partial, HEAD_BYTES);
        let Some(head) = Head::read(partial) else {
            return Ok(None);
        };
        check_len(head)?;
        take(partial, HEAD_BYTES + head.len);
        Ok((partial.len() == HEAD_BYTES + head.len).then_some(head))
    }

    fn frame<H: Handler<Stream = S>>(
        &mut self,
        head: Head,
        payload: &[u8],
        handler: &mut H,
    ) -> Result<(), Broken> {
        if !self.greeted {
            if head.kind != kind::SETTINGS || head.has(flag::ACK) {
                return Err(Broken::protocol("the first frame is not SETTINGS"));
            }
            self.greeted = true;
        }
        if let Some(block) = &self.block
            && (head.kind != kind::CONTINUATION || head.stream != block.id)
        {
            return Err(Broken::protocol("a header list is interrupted"));
        }
        match head.kind {
            kind::DATA => self.data(head, payload, handler),
            kind::HEADERS => self.headers(head, payload, handler),
            kind::CONTINUATION => self.continuation(head, payload, handler),
            kind::RST_STREAM => self.reset_frame(head, payload, handler),
            kind::SETTINGS => self.settings(head, payload),
            kind::PING => self.ping_frame(head, payload),
            kind::WINDOW_UPDATE => self.window_update(head, payload, handler),
            kind::GOAWAY => self.goaway(head, payload, handler),
            kind::PRIORITY => match (head.stream, head.len) {
                (0, _) => Err(Broken::protocol("PRIORITY on stream 0")),
                (_, 5) => Ok(()),
                _ => Err(wrong_size()),
            },
            kind::PUSH_PROMISE => Err(Broken::protocol("push is switched off")),
            _ => Ok(()),
        }
    }

    fn data<H: Handler<Stream = S>>(
        &mut self,
        head: Head,
        payload: &[u8],
        handler: &mut H,
    ) -> Result<(), Broken> {
        let id = head.stream;
        let padded = "padding longer than its frame";
        let data = frame::unpadded(head, payload).ok_or(Broken::protocol(padded))?;
        let len = head.len as i64;
        self.receive_window -= len;
        if self.receive_window < 0 {
            let what = "more data than the connection's window";
            return Err(Broken::new(Code::FLOW_CONTROL_ERROR, what));
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            self.consumed(len);
            return self.late(id);
        };
        if stream.received_end {
            self.consumed(len);
            return self.fail(id, Code::STREAM_CLOSED, handler);
        }
        stream.receive_window -= len;
        if stream.receive_window < 0 {
            self.consumed(len);
            return self.fail(id, Code::FLOW_CONTROL_ERROR, handler);
        }
        let end = head.has(flag::END_STREAM);
        stream.received_end = end;
        match handler.data(id, &mut stream.user, data, end) {
            Ok(done) => {
                stream.unreleased += len;
                self.release(id, done + (head.len - data.len()));
                self.close_if_over(id);
                Ok(())
            }
            Err(code) => {
                self.consumed(len);
                self.fail(id, code, handler)
            }
        }
    }

    fn headers<H: Handler<Stream = S>>(
        &mut self,
        head: Head,
        payload: &[u8],
        handler: &mut H,
    ) -> Result<(), Broken> {
        let padded = "padding longer than its frame";
        let mut block = frame::unpadded(head, payload).ok_or(Broken::protocol(padded))?;
        if head.has(flag::PRIORITY) {
            block = block.get(5..).ok_or(wrong_size())?;
        }
        if head.stream == 0 {
            return Err(Broken::protocol("HEADERS on stream 0"));
        }
        let end_stream = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.header_list(head.stream, end_stream, block, handler);
        }
        self.block = Some(OpenBlock {
            id: head.stream,
            end_stream,
            bytes: block.to_vec(),
            frames: 0,
        });
        Ok(())
    }

    fn continuation<H: Handler<Stream = S>>(
        &mut self,
        head: Head,
        payload: &[u8],
        handler: &mut H,
    ) -> Result<(), Broken> {
        let Some(mut block) = self.block.take() else {
            return Err(Broken::protocol("CONTINUATION of nothing"));
        };
        block.bytes.extend_from_slice(payload);
        block.frames += 1;
        if head.has(flag::END_HEADERS) {
            return self.header_list(block.id, block.end_stream, &block.bytes, handler);
        }
        // What the list may have, and one frame more: the code makes lists shorter, not longer.
        let max = self.config.header_bytes_max as usize + PAYLOAD_BYTES_DEFAULT;
        if block.bytes.len() > max || block.frames > CONTINUATIONS_MAX {
            let what = "a header list without an end";
            return Err(Broken::new(Code::ENHANCE_YOUR_CALM, what));
        }
        self.block = Some(block);
        Ok(())
    }

    fn header_list<H: Handler<Stream = S>>(
        &mut self,
        id: u32,
        end: bool,
        block: &[u8],
        handler: &mut H,
    ) -> Result<(), Broken> {
        let max = self.config.header_bytes_max as usize;
        let decoded = self.decoder.decode(block, &mut self.list, max);
        decoded.map_err(|Malformed| {
            Broken::new(Code::COMPRESSION_ERROR, "a header list that cannot be read")
        })?;
        let fields = self.list.fields();
        if let Some(stream) = self.streams.get_mut(&id) {
            if stream.received_end {
                return self.fail(id, Code::STREAM_CLOSED, handler);
            }
            // Trailers are the last of a request.
            let misplaced = self.role == Role::Server && !end;
            if misplaced || !fields.is_well_formed() {
                return self.fail(id, Code::PROTOCOL_ERROR, handler);
            }
            stream.received_end = end;
            let result = handler.headers(id, &mut stream.user, fields, end);
            return match result {
                Ok(()) => {
                    self.close_if_over(id);
                    Ok(())
                }
                Err(code) => self.fail(id, code, handler),
            };
        }
        if self.role == Role::Client || id <= self.peer_last {
            return self.late(id);
        }
        if id.is_multiple_of(2) {
            return Err(Broken::protocol("a client's stream with an even number"));
        }
        self.peer_last = id;
        if let Leaving::Said(last) = self.leaving
            && id > last
        {
            return Ok(());
        }
        if self.streams.len() >= self.config.streams_max as usize {
            return self.refuse(id, Code::REFUSED_STREAM);
        }
        if !fields.is_well_formed() {
            return self.refuse(id, Code::PROTOCOL_ERROR);
        }
        match handler.opened(id, fields, end) {
            Ok(user) => {
                let window = i64::from(self.config.stream_window_bytes);
                let mut stream = Stream::new(user, self.peer_window, window);
                stream.received_end = end;
                self.streams.insert(id, stream);
                Ok(())
            }
            Err(code) => self.refuse(id, code),
        }
    }

    fn reset_frame<H: Handler<Stream = S>>(
        &mut self,
        head: Head,
        payload: &[u8],
        handler: &mut H,
    ) -> Result<(), Broken> {
        let code = frame::number(payload).ok_or(wrong_size())?;
        if self.is_idle(head.stream) {
            return Err(Broken::protocol(
                "RST_STREAM of a stream that was not opened",
            ));
        }
        if let Some(stream) = self.take_out(head.stream) {
            handler.reset(head.stream, stream.user, Code(code), stream.waiting.len());
            self.resets += 1;
            if self.role == Role::Server && self.resets > self.config.resets_max {
                let what = "streams cancelled as soon as they were opened";
                return Err(Broken::new(Code::ENHANCE_YOUR_CALM, what));
            }
        }
        Ok(())
    }

    fn ping_frame(&mut self, head: Head, payload: &[u8]) -> Result<(), Broken> {
        if head.stream != 0 {
            return Err(Broken::protocol("PING on a stream"));
        }
        let echo: [u8; 8] = payload.try_into().map_err(|_| wrong_size())?;
        if head.has(flag::ACK) {
            if echo == LEAVING_PING && self.leaving == Leaving::Begun {
                self.say_leaving(self.peer_last, Code::NO_ERROR);
                self.leaving = Leaving::Said(self.peer_last);
            }
            return Ok(());
        }
        self.write_ping(flag::ACK, echo);
        self.control(HEAD_BYTES + 8)
    }

    fn window_update<H: Handler<Stream = S>>(
        &mut self,
        head: Head,
        payload: &[u8],
        handler: &mut H,
    ) -> Result<(), Broken> {
        let more = frame::number(payload).ok_or(wrong_size())? & 0x7fff_ffff;
        let id = head.stream;
        if id == 0 {
            self.send_window += i64::from(more);
            if more == 0 {
                return Err(Broken::protocol("a WINDOW_UPDATE of nothing"));
            }
            if self.send_window > WINDOW_MAX {
                return Err(Broken::window());
            }
            return Ok(());
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return if self.is_idle(id) {
                Err(Broken::protocol(
                    "WINDOW_UPDATE of a stream that was not opened",
                ))
            } else {
                Ok(())
            };
        };
        stream.send_window += i64::from(more);
        if more == 0 {
            return self.fail(id, Code::PROTOCOL_ERROR, handler);
        }
        if stream.send_window > WINDOW_MAX {
            return self.fail(id, Code::FLOW_CONTROL_ERROR, handler);
        }
        stream.queue_up(id, &mut self.ready);
        Ok(())
    }

    fn goaway<H: Handler<Stream = S>>(
        &mut self,
        head: Head,
        payload: &[u8],
        handler: &mut H,
    ) -> Result<(), Broken> {
        if head.stream != 0 {
            return Err(Broken::protocol("GOAWAY on a stream"));
        }
        let last = payload.get(..4).and_then(frame::number);
        let last = last.ok_or(wrong_size())? & 0x7fff_ffff;
        self.peer_leaving = Some(last);
        if self.role == Role::Client {
            let over: Vec<u32> = self
                .streams
                .keys()
                .filter(|id| **id > last)
                .copied()
                .collect();
            for id in over {
                if let Some(stream) = self.take_out(id) {
                    let unsent = stream.waiting.len();
                    handler.reset(id, stream.user, Code::REFUSED_STREAM, unsent);
                }
            }
        }
        Ok(())
    }

    /// Whether a stream was never opened.
    fn is_idle(&self, id: u32) -> bool {
        match self.role {
            Role::Server => id > self.peer_last || id.is_multiple_of(2),
            Role::Client => id >= self.own_next || id.is_multiple_of(2),
        }
    }

    /// A frame for a stream that is not open.
    fn late(&mut self, id: u32) -> Result<(), Broken> {
        if self.is_idle(id) {
            return Err(Broken::protocol("a frame of a stream that was not opened"));
        }
        if self.forgotten.contains(&id) {
            return Ok(());
        }
        self.refuse(id, Code::STREAM_CLOSED)
    }

    /// Resets a stream that does not stand in the table.
    fn refuse(&mut self, id: u32, code: Code) -> Result<(), Broken> {
        self.forget(id);
        frame::write_number(self.out.tail(), kind::RST_STREAM, id, code.0);
        self.control(HEAD_BYTES + 4)
    }

    /// Resets an open stream for what the peer did on it.
    fn fail<H: Handler<Stream = S>>(
        &mut self,
        id: u32,
        code: Code,
        handler: &mut H,
    ) -> Result<(), Broken> {
        if let Some(stream) = self.take_out(id) {
            handler.reset(id, stream.user, code, stream.waiting.len());
        }
        self.refuse(id, code)
    }
}

fn check_len(head: Head) -> Result<(), Broken> {
    if head.len > PAYLOAD_BYTES_DEFAULT {
        let what = "a frame above the size that was announced";
        return Err(Broken::new(Code::FRAME_SIZE_ERROR, what));
    }
    Ok(())
}

pub(super) fn wrong_size() -> Broken {
    Broken::new(Code::FRAME_SIZE_ERROR, "a frame of a length it cannot have")
}
