//! One end of a connection. `receive` reads frames, `send` writes them; this file holds what both
//! share.

mod ids;
mod receive;
mod send;
mod settings;
mod stream;

use std::collections::{HashMap, VecDeque};

use crate::config::Config;
use crate::error::{Broken, Code};
use crate::frame::{self, Head, PREFACE, WINDOW_DEFAULT, kind, setting};
use crate::hpack::{self, Fields};
use crate::output::Output;
use ids::IdHash;
pub use send::{Block, Closed};
use stream::Stream;

/// Streams ended here whose frames may still be under way.
const FORGOTTEN_MAX: usize = 128;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens streams.
    Client,
    /// Answers on them.
    Server,
}

/// What is done with what arrives. All of it happens inside [`Connection::receive`] and
/// [`Connection::pump`], so none of it can call the connection: note it down and act afterwards.
pub trait Handler {
    /// What is kept for each open stream.
    type Stream;

    /// The peer opened a stream (servers only). `end`: nothing follows the headers.
    ///
    /// # Errors
    /// A code with which the stream is reset.
    fn opened(&mut self, id: u32, fields: Fields<'_>, end: bool) -> Result<Self::Stream, Code>;

    /// Headers on an open stream: the answer's, or trailers.
    ///
    /// # Errors
    /// A code with which the stream is reset.
    fn headers(
        &mut self,
        id: u32,
        stream: &mut Self::Stream,
        fields: Fields<'_>,
        end: bool,
    ) -> Result<(), Code>;

    /// Bytes of the body. Gives how many of them are done with; the others count against the
    /// windows until [`Connection::release`].
    ///
    /// # Errors
    /// A code with which the stream is reset.
    fn data(
        &mut self,
        id: u32,
        stream: &mut Self::Stream,
        data: &[u8],
        end: bool,
    ) -> Result<usize, Code>;

    /// The peer reset a stream, or did what resets it. `unsent` bytes of it will never leave.
    fn reset(&mut self, id: u32, stream: Self::Stream, code: Code, unsent: usize);

    /// Bytes of a stream that had to wait were moved to the output.
    fn moved(&mut self, id: u32, stream: &mut Self::Stream, bytes: usize);
}

/// One end of a connection, with an `S` for each open stream.
#[derive(Debug)]
pub struct Connection<S> {
    role: Role,
    config: Config,
    decoder: hpack::Decoder,
    encoder: hpack::Encoder,
    list: hpack::List,
    /// Bytes of the client's preface that have not come.
    preface: &'static [u8],
    /// Whether the peer's first frame came.
    greeted: bool,
    /// A frame that has not come whole.
    partial: Vec<u8>,
    block: Option<receive::OpenBlock>,
    streams: HashMap<u32, Stream<S>, IdHash>,
    /// Streams ended here before the peer had ended them.
    forgotten: VecDeque<u32>,
    /// Highest stream the peer opened.
    peer_last: u32,
    /// Next stream to open.
    own_next: u32,
    send_window: i64,
    /// What the peer may still send, and what was consumed since it was last told.
    receive_window: i64,
    receive_owed: i64,
    /// Window of new streams towards the peer, and what the frame being read makes of it.
    peer_window: i64,
    peer_window_next: i64,
    peer_payload_max: usize,
    peer_streams_max: u32,
    /// Streams that can send something.
    ready: VecDeque<u32>,
    /// Bytes waiting in streams.
    queued: usize,
    out: Output,
    /// Bytes of answers to control frames since the output was last empty.
    control_bytes: usize,
    resets: usize,
    leaving: Leaving,
    peer_leaving: Option<u32>,
}

/// How far this end is in taking its leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    /// Said; streams under way meanwhile are taken until the ping comes back.
    Begun,
    /// Streams above this one are not taken.
    Said(u32),
}

/// What the ping says that follows the first GOAWAY.
const LEAVING_PING: [u8; 8] = *b"leaving!";

/// What other pings say.
const LIFE_PING: [u8; 8] = *b"alive?\0\0";

impl<S> Connection<S> {
    /// A connection whose first words are in the output.
    #[must_use]
    pub fn new(role: Role, config: Config) -> Self {
        let mut connection = Self {
            role,
            config,
            decoder: hpack::Decoder::default(),
            encoder: hpack::Encoder::default(),
            list: hpack::List::default(),
            preface: if role == Role::Server { PREFACE } else { &[] },
            greeted: false,
            partial: Vec::new(),
            block: None,
            streams: HashMap::default(),
            forgotten: VecDeque::new(),
            peer_last: 0,
            own_next: 1,
            send_window: WINDOW_DEFAULT,
            receive_window: i64::from(config.window_bytes).max(WINDOW_DEFAULT),
            receive_owed: 0,
            peer_window: WINDOW_DEFAULT,
            peer_window_next: WINDOW_DEFAULT,
            peer_payload_max: frame::PAYLOAD_BYTES_DEFAULT,
            peer_streams_max: u32::MAX,
            ready: VecDeque::new(),
            queued: 0,
            out: Output::default(),
            control_bytes: 0,
            resets: 0,
            leaving: Leaving::No,
            peer_leaving: None,
        };
        connection.greet();
        connection
    }

    fn greet(&mut self) {
        let settings: &[(u16, u32)] = &match self.role {
            Role::Server => [
                (setting::MAX_CONCURRENT_STREAMS, self.config.streams_max),
                (
                    setting::INITIAL_WINDOW_SIZE,
                    self.config.stream_window_bytes,
                ),
                (setting::MAX_HEADER_LIST_SIZE, self.config.header_bytes_max),
            ],
            Role::Client => [
                (setting::ENABLE_PUSH, 0),
                (
                    setting::INITIAL_WINDOW_SIZE,
                    self.config.stream_window_bytes,
                ),
                (setting::MAX_HEADER_LIST_SIZE, self.config.header_bytes_max),
            ],
        };
        let out = self.out.tail();
        if self.role == Role::Client {
            out.extend_from_slice(PREFACE);
        }
        let head = Head {
            len: 6 * settings.len(),
            kind: kind::SETTINGS,
            flags: 0,
            stream: 0,
        };
        head.write(out);
        for (name, value) in settings {
            out.extend_from_slice(&name.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        }
        let more = self.receive_window - WINDOW_DEFAULT;
        if more > 0 {
            frame::write_number(out, kind::WINDOW_UPDATE, 0, more as u32);
        }
    }

    /// What is to be sent.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.out
    }

    /// Notes that bytes of the output were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.out.advance(bytes);
        if self.out.is_empty() {
            self.control_bytes = 0;
        }
    }

    /// Bytes that wait in streams for window or for room in the output.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Begins a turn: bounds that hold for a burst begin anew.
    pub fn begin_turn(&mut self) {
        self.resets = 0;
    }

    /// What is kept for a stream, while it is open.
    pub fn stream(&mut self, id: u32) -> Option<&mut S> {
        self.streams.get_mut(&id).map(|stream| &mut stream.user)
    }

    /// Whether the peer has said that it speaks HTTP/2.
    #[must_use]
    pub fn has_preface(&self) -> bool {
        self.preface.is_empty()
    }

    /// Number of open streams.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Takes all streams out: the connection is over.
    pub fn take_streams(&mut self) -> Vec<S> {
        self.queued = 0;
        self.ready.clear();
        self.streams
            .drain()
            .map(|(_, stream)| stream.user)
            .collect()
    }

    /// Whether leave was taken and nothing is left to do.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let leaving = self.peer_leaving.is_some() || matches!(self.leaving, Leaving::Said(_));
        leaving && self.streams.is_empty() && self.out.is_empty()
    }

    /// Whether the peer has said what it takes, and takes one more stream at present. Asked by
    /// clients before [`Connection::open`], which before the peer's first words takes it that
    /// there is no limit.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.greeted && self.streams.len() < self.peer_streams_max as usize
    }

    /// Whether the peer takes no further streams.
    #[must_use]
    pub fn is_peer_leaving(&self) -> bool {
        self.peer_leaving.is_some()
    }

    fn forget(&mut self, id: u32) {
        if self.forgotten.len() == FORGOTTEN_MAX {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(id);
    }

    /// Counts an answer to a control frame.
    fn control(&mut self, bytes: usize) -> Result<(), Broken> {
        self.control_bytes += bytes;
        if self.control_bytes > self.config.control_bytes_max {
            let what = "control frames whose answers are not read";
            return Err(Broken::new(Code::ENHANCE_YOUR_CALM, what));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
