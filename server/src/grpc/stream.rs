//! Both directions of a call: [`Inbound`] gives the client's messages, [`Outbound`] takes ours.
//! `call` makes them, the API services use them.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;

pub use super::link::Gone;
use super::link::Link;
use super::message::Reply;
use super::meter::Meter;
use super::status::{Code, Status};

/// The client's messages, in order.
#[derive(Debug)]
pub struct Inbound {
    link: Rc<Link>,
    id: u32,
    messages: Rc<Cell<u64>>,
}

impl Inbound {
    pub(super) fn new(link: Rc<Link>, id: u32) -> Self {
        Self {
            link,
            id,
            messages: Rc::default(),
        }
    }

    /// Messages given out so far; stays readable when the stream is gone.
    pub(super) fn messages(&self) -> Rc<Cell<u64>> {
        self.messages.clone()
    }

    /// The next message, or `None` when the client has said its last.
    ///
    /// # Errors
    /// A message that is too large, compressed or cut off; Canceled when the client reset the
    /// call or its connection ended.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The only message of a call that has exactly one.
    ///
    /// # Errors
    /// As [`Inbound::next`], and Internal when there is none or more than one.
    pub async fn only(&mut self) -> Result<Bytes, Status> {
        let Some(message) = self.next().await? else {
            let text = "cardinality violation: received no request message";
            return Err(Status::new(Code::Internal, text));
        };
        if self.next().await?.is_some() {
            let text = "cardinality violation: received more than one request message";
            return Err(Status::new(Code::Internal, text));
        }
        Ok(message)
    }

    /// [`Inbound::next`] for hand-written futures.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        let next = self.link.poll_message(self.id, cx);
        if matches!(next, Poll::Ready(Ok(Some(_)))) {
            self.messages.set(self.messages.get() + 1);
        }
        next
    }
}

/// Takes messages for the client. Clones send on the same call.
#[derive(Clone, Debug)]
pub struct Outbound(Rc<Sending>);

#[derive(Debug)]
struct Sending {
    link: Rc<Link>,
    id: u32,
    state: Cell<State>,
    meter: Rc<Meter>,
    messages: Cell<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Headers are not sent.
    Fresh,
    Open,
    Closed,
}

impl Outbound {
    pub(super) fn new(link: Rc<Link>, id: u32, mark: usize) -> Self {
        Self(Rc::new(Sending {
            meter: Meter::new(mark, Some(link.meter.clone())),
            link,
            id,
            state: Cell::new(State::Fresh),
            messages: Cell::new(0),
        }))
    }

    /// Waits until the client has taken enough of what was sent before, then sends.
    ///
    /// # Errors
    /// [`Gone`] when the call is over.
    pub async fn send(&self, reply: Reply) -> Result<(), Gone> {
        self.room().await;
        self.send_now(reply)
    }

    /// Waits until there is room. A call that is over has room: the next send tells.
    pub async fn room(&self) {
        poll_fn(|cx| self.poll_room(cx)).await;
    }

    /// [`Outbound::room`] for hand-written futures.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.meter.poll_room(self.0.id, cx)
    }

    /// Whether a message would go out without waiting.
    pub fn has_room(&self) -> bool {
        self.0.meter.has_room()
    }

    /// Sends without waiting. Whoever sends many asks for room first: this is what keeps the
    /// memory bounded that a client costs who does not read.
    ///
    /// # Errors
    /// [`Gone`] when the call is over.
    pub fn send_now(&self, reply: Reply) -> Result<(), Gone> {
        let sending = &*self.0;
        match sending.state.get() {
            State::Closed => return Err(Gone),
            State::Open => {}
            State::Fresh => sending.link.send_head(sending.id)?,
        }
        sending.state.set(State::Open);
        sending.link.send(sending.id, reply, &sending.meter)?;
        sending.messages.set(sending.messages.get() + 1);
        Ok(())
    }

    pub(super) fn messages(&self) -> u64 {
        self.0.messages.get()
    }

    /// Ready when the client has reset the call or its connection has ended.
    pub(super) fn poll_gone(&self, cx: &Context<'_>) -> Poll<()> {
        self.0.link.poll_gone(self.0.id, cx)
    }

    /// Ends the call.
    pub(super) fn finish(&self, result: Result<(), &Status>) {
        let sending = &*self.0;
        match (sending.state.replace(State::Closed), result) {
            (State::Closed, _) => {}
            (State::Fresh, Err(status)) => sending.link.refuse(sending.id, 200, status),
            (State::Fresh, Ok(())) => {
                if sending.link.send_head(sending.id).is_ok() {
                    sending.link.end(sending.id, result);
                }
            }
            (State::Open, _) => sending.link.end(sending.id, result),
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.meter.forget(self.id);
    }
}

/// Answers a unary call that succeeded.
pub(super) fn answer(link: &Link, id: u32, reply: Reply) {
    // Each of these fails only when the client is gone; then nobody wants the answer.
    if link.send_head(id).is_ok() && link.send(id, reply, &link.meter).is_ok() {
        link.end(id, Ok(()));
    }
}
