//! What the protocol keeps for one open stream.

use std::collections::VecDeque;

use crate::output::Pieces;

/// A field of trailers that wait for the data before them.
pub(super) type OwnedField = (Box<[u8]>, Box<[u8]>, bool);

/// How a stream's sending ends, once what waits has left.
#[derive(Debug)]
pub(super) enum End {
    /// Not yet.
    Open,
    /// With the last byte.
    Data,
    /// With trailers. Encoded when they leave: the order of the tables is that of the wire.
    Trailers(Vec<OwnedField>),
    /// The end is written.
    Sent,
}

#[derive(Debug)]
pub(super) struct Stream<S> {
    pub user: S,
    pub send_window: i64,
    pub receive_window: i64,
    pub receive_owed: i64,
    /// Bytes received that are not done with.
    pub unreleased: i64,
    /// The peer has said its last.
    pub received_end: bool,
    pub waiting: Pieces,
    pub end: End,
    /// Whether it stands in the queue of those that can send.
    pub is_ready: bool,
}

impl<S> Stream<S> {
    pub fn new(user: S, send_window: i64, receive_window: i64) -> Self {
        Self {
            user,
            send_window,
            receive_window,
            receive_owed: 0,
            unreleased: 0,
            received_end: false,
            waiting: Pieces::default(),
            end: End::Open,
            is_ready: false,
        }
    }

    /// Bytes of the next DATA frame, as far as both windows and the peer's frames allow.
    pub fn frame_len(&self, waiting: usize, send_window: i64, payload_max: usize) -> usize {
        let window = self.send_window.min(send_window);
        let window = usize::try_from(window).unwrap_or(0);
        waiting.min(window).min(payload_max)
    }

    /// Takes its place among those that can send, if it can and does not stand there.
    pub fn queue_up(&mut self, id: u32, ready: &mut VecDeque<u32>) {
        if self.can_send() && !self.is_ready {
            self.is_ready = true;
            ready.push_back(id);
        }
    }

    /// Whether a frame could leave if the connection's window allows it.
    pub fn can_send(&self) -> bool {
        if self.waiting.is_empty() {
            matches!(self.end, End::Data | End::Trailers(_))
        } else {
            self.send_window > 0
        }
    }
}
