//! Both directions of a call: [`Inbound`] gives the client's messages, [`Outbound`] takes ours.
//! `call` makes them, the API services use them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::message::{Decoder, Reply, Rope};
use super::metadata::Refusal;
use super::meter::Meter;
use super::status::{Code, Status};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_ACCEPT: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// What the calls of one connection count together.
#[derive(Debug)]
pub(super) struct Shared {
    /// Answer bytes queued.
    pub meter: Rc<Meter>,
    /// Bytes of incomplete messages, and their bound.
    pub partial: Cell<usize>,
    pub partial_max: usize,
    pub message_max: usize,
    /// Set when something was queued, so that the turn goes on until it is encoded.
    pub queued: Cell<bool>,
    /// Sums for the metrics page, taken over by `conn`.
    pub received_bytes: Cell<u64>,
    pub sent_bytes: Cell<u64>,
}

/// The client's messages, in order.
#[derive(Debug)]
pub struct Inbound {
    body: RecvStream,
    decoder: Decoder,
    /// Received and not yet looked at.
    chunk: Bytes,
    /// What of `shared.partial` is ours.
    held: usize,
    ended: bool,
    messages: Rc<Cell<u64>>,
    shared: Rc<Shared>,
}

impl Inbound {
    pub(super) fn new(body: RecvStream, shared: Rc<Shared>) -> Self {
        Self {
            decoder: Decoder::new(shared.message_max),
            body,
            chunk: Bytes::new(),
            held: 0,
            ended: false,
            messages: Rc::default(),
            shared,
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
        loop {
            if !self.chunk.is_empty() {
                let message = self.decoder.push(&mut self.chunk)?;
                self.account()?;
                if let Some(message) = message {
                    self.messages.set(self.messages.get() + 1);
                    let bytes = &self.shared.received_bytes;
                    bytes.set(bytes.get() + message.len() as u64);
                    return Poll::Ready(Ok(Some(message)));
                }
            }
            if self.ended || self.body.is_end_stream() {
                return Poll::Ready(self.end());
            }
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(chunk)) => {
                    // The window opens again at once: what is held here has its own bound.
                    let _ = self.body.flow_control().release_capacity(chunk.len());
                    self.chunk = chunk;
                }
                Some(Err(_)) => {
                    let canceled = Status::new(Code::Canceled, "context canceled");
                    return Poll::Ready(Err(canceled));
                }
                None => self.ended = true,
            }
        }
    }

    fn end(&self) -> Result<Option<Bytes>, Status> {
        if self.decoder.at_boundary() {
            return Ok(None);
        }
        Err(Status::new(Code::Internal, "unexpected EOF"))
    }

    /// Keeps the connection's sum of incomplete messages, within its bound.
    fn account(&mut self) -> Result<(), Status> {
        let held = self.decoder.held();
        let sum = self.shared.partial.get() - self.held + held;
        self.shared.partial.set(sum);
        self.held = held;
        if sum > self.shared.partial_max {
            let text = "grpc: too many incomplete messages on this connection";
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        Ok(())
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.shared
            .partial
            .set(self.shared.partial.get() - self.held);
    }
}

/// The client is gone or has cancelled: nothing more can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl From<Gone> for Status {
    fn from(_: Gone) -> Self {
        Self::new(Code::Canceled, "context canceled")
    }
}

/// Takes messages for the client. Clones send on the same call.
#[derive(Clone, Debug)]
pub struct Outbound(Rc<Sending>);

#[derive(Debug)]
struct Sending {
    state: RefCell<State>,
    meter: Rc<Meter>,
    stream: u32,
    messages: Cell<u64>,
    shared: Rc<Shared>,
}

#[derive(Debug)]
enum State {
    /// Headers are not sent.
    Fresh(SendResponse<Rope>),
    Open(SendStream<Rope>),
    Closed,
}

impl Outbound {
    pub(super) fn new(respond: SendResponse<Rope>, mark: usize, shared: Rc<Shared>) -> Self {
        Self(Rc::new(Sending {
            stream: respond.stream_id().as_u32(),
            state: RefCell::new(State::Fresh(respond)),
            meter: Meter::new(mark, Some(shared.meter.clone())),
            messages: Cell::new(0),
            shared,
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
        self.0.meter.poll_room(self.0.stream, cx)
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
        let bytes = reply.len() as u64;
        let state = &mut *sending.state.borrow_mut();
        if let State::Fresh(respond) = state {
            *state = match respond.send_response(answer_head(), false) {
                Ok(send) => State::Open(send),
                Err(_) => State::Closed,
            };
        }
        let State::Open(send) = state else {
            return Err(Gone);
        };
        send.send_data(reply.into_rope(&sending.meter), false)
            .map_err(|_| Gone)?;
        sending.messages.set(sending.messages.get() + 1);
        let sum = &sending.shared.sent_bytes;
        sum.set(sum.get() + bytes);
        sending.shared.queued.set(true);
        Ok(())
    }

    pub(super) fn messages(&self) -> u64 {
        self.0.messages.get()
    }

    /// Ready when the client has reset the call or its connection has ended.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self.0.state.borrow_mut() {
            State::Fresh(respond) => respond.poll_reset(cx).map(|_| ()),
            State::Open(send) => send.poll_reset(cx).map(|_| ()),
            State::Closed => Poll::Ready(()),
        }
    }

    /// Ends the call.
    pub(super) fn finish(&self, result: Result<(), &Status>) {
        let mut state = self.0.state.borrow_mut();
        match std::mem::replace(&mut *state, State::Closed) {
            State::Fresh(mut respond) => match result {
                Err(status) => refuse(&mut respond, StatusCode::OK, status),
                Ok(()) => {
                    let mut head = answer_head();
                    head.headers_mut()
                        .insert(GRPC_STATUS, HeaderValue::from_static("0"));
                    let _ = respond.send_response(head, true);
                }
            },
            State::Open(mut send) => {
                let mut trailers = HeaderMap::with_capacity(2);
                put_status(&mut trailers, result);
                let _ = send.send_trailers(trailers);
            }
            State::Closed => {}
        }
        self.0.shared.queued.set(true);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.meter.forget(self.stream);
    }
}

/// Answers a unary call that succeeded.
pub(super) fn answer(respond: &mut SendResponse<Rope>, reply: Reply, shared: &Shared) {
    let sum = &shared.sent_bytes;
    sum.set(sum.get() + reply.len() as u64);
    // Each of these fails only when the client is gone; then nobody wants the answer.
    let Ok(mut send) = respond.send_response(answer_head(), false) else {
        return;
    };
    if send
        .send_data(reply.into_rope(&shared.meter), false)
        .is_err()
    {
        return;
    }
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    let _ = send.send_trailers(trailers);
}

/// Answers with a status alone: headers that are trailers, too.
pub(super) fn refuse(respond: &mut SendResponse<Rope>, http: StatusCode, status: &Status) {
    let mut head = answer_head();
    *head.status_mut() = http;
    put_status(head.headers_mut(), Err(status));
    if status.code == Code::Unimplemented {
        head.headers_mut()
            .insert(GRPC_ACCEPT, HeaderValue::from_static("identity"));
    }
    let _ = respond.send_response(head, true);
}

/// Answers a call that its headers disqualify.
pub(super) fn refuse_headers(respond: &mut SendResponse<Rope>, refusal: &Refusal) {
    let http = StatusCode::from_u16(refusal.http).unwrap_or(StatusCode::OK);
    refuse(respond, http, &refusal.status);
}

fn answer_head() -> Response<()> {
    let mut head = Response::new(());
    head.headers_mut().insert(CONTENT_TYPE, GRPC);
    head
}

fn put_status(headers: &mut HeaderMap, result: Result<(), &Status>) {
    let digits = result.map_or_else(|status| status.code.digits(), |()| "0");
    headers.insert(GRPC_STATUS, HeaderValue::from_static(digits));
    if let Err(status) = result {
        headers.insert(GRPC_MESSAGE, status.encoded_message());
    }
}
