//! The HTTP/2 connection as its calls see it: `conn` feeds and drains it, `call` and `stream` read
//! requests from it and write answers to it. [`Incoming`] is what the protocol calls as frames
//! arrive.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http2::{Code as H2Code, Connection, Fields, Handler};

use super::message::{Decoder, Reply};
use super::metadata::{Metadata, Refusal};
use super::meter::Meter;
use super::method::Method;
use super::status::{Code, Status};

/// What a call's headers say, or why it is refused.
pub(super) type Head = Result<(Method, Metadata), Refusal>;

/// One connection and what its calls count together.
#[derive(Debug)]
pub(super) struct Link {
    pub h2: RefCell<Connection<Receiving>>,
    /// Answer bytes queued.
    pub meter: Rc<Meter>,
    pub held: Held,
    /// Sums for the metrics page, taken over by `conn`.
    pub received_bytes: Cell<u64>,
    pub sent_bytes: Cell<u64>,
    /// Whether the connection's task is at it; otherwise it is to be woken to send.
    pub in_turn: Cell<bool>,
    pub waker: RefCell<Option<Waker>>,
}

/// Bytes of messages that were begun, or are complete and not taken, of all calls.
#[derive(Debug)]
pub(super) struct Held {
    pub bytes: Cell<usize>,
    pub max: usize,
    pub message_max: usize,
}

/// The receiving side of one call.
#[derive(Debug)]
pub(super) struct Receiving {
    decoder: Decoder,
    messages: VecDeque<Bytes>,
    /// Bytes of `messages`.
    queued: usize,
    /// What of the windows is given back when `messages` are taken.
    owed: usize,
    /// What of [`Held::bytes`] is ours.
    held: usize,
    failed: Option<Status>,
    ended: bool,
    reader: Option<Waker>,
    /// Whoever has to know that the call is over.
    watcher: Option<Waker>,
    /// Told when queued bytes go on.
    meter: Option<Rc<Meter>>,
}

impl Receiving {
    fn new(message_max: usize, ended: bool) -> Self {
        Self {
            decoder: Decoder::new(message_max),
            messages: VecDeque::new(),
            queued: 0,
            owed: 0,
            held: 0,
            failed: None,
            ended,
            reader: None,
            watcher: None,
            meter: None,
        }
    }

    fn wake(&mut self) {
        wake(&mut self.reader);
        wake(&mut self.watcher);
    }

    fn account(&mut self, all: &Held) {
        let held = self.decoder.held() + self.queued;
        all.bytes.set(all.bytes.get() - self.held + held);
        self.held = held;
    }

    fn take(&mut self, data: &[u8], all: &Held) {
        let mut rest = data;
        while self.failed.is_none() && !rest.is_empty() {
            match self.decoder.push(&mut rest) {
                Ok(Some(message)) => {
                    self.queued += message.len();
                    self.messages.push_back(message);
                }
                Ok(None) => {}
                Err(status) => self.failed = Some(status),
            }
        }
        self.account(all);
        if all.bytes.get() > all.max && self.failed.is_none() {
            let text = "grpc: too many incomplete messages on this connection";
            self.failed = Some(Status::new(Code::ResourceExhausted, text));
        }
    }
}

pub(super) fn set_waker(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => *slot = Some(cx.waker().clone()),
    }
}

/// Takes frames as they arrive.
pub(super) struct Incoming<'a> {
    pub held: &'a Held,
    pub peer: Option<SocketAddr>,
    pub now_ns: u64,
    /// Calls that were opened, to be begun when all frames were taken.
    pub opened: &'a mut Vec<(u32, Head)>,
}

impl Handler for Incoming<'_> {
    type Stream = Receiving;

    fn opened(&mut self, id: u32, fields: Fields<'_>, end: bool) -> Result<Receiving, H2Code> {
        let head = if fields.is_too_large() {
            let text = "header list is too large";
            Err(Refusal::new(431, Code::ResourceExhausted, text))
        } else {
            admit(fields, self.peer, self.now_ns)?
        };
        self.opened.push((id, head));
        Ok(Receiving::new(self.held.message_max, end))
    }

    fn headers(
        &mut self,
        _: u32,
        call: &mut Receiving,
        _: Fields<'_>,
        _: bool,
    ) -> Result<(), H2Code> {
        // Trailers of a request mean nothing here, but that it ends.
        call.ended = true;
        wake(&mut call.reader);
        Ok(())
    }

    fn data(
        &mut self,
        _: u32,
        call: &mut Receiving,
        data: &[u8],
        end: bool,
    ) -> Result<usize, H2Code> {
        call.ended = end;
        if call.failed.is_none() {
            call.take(data, self.held);
        }
        wake(&mut call.reader);
        if call.messages.is_empty() {
            // What is held of a message that is not complete has a bound of its own.
            return Ok(data.len());
        }
        call.owed += data.len();
        Ok(0)
    }

    fn reset(&mut self, _: u32, mut call: Receiving, _: H2Code, unsent: usize) {
        self.held.bytes.set(self.held.bytes.get() - call.held);
        if let Some(meter) = &call.meter {
            meter.sub(unsent);
        }
        call.wake();
    }

    fn moved(&mut self, _: u32, call: &mut Receiving, bytes: usize) {
        if let Some(meter) = &call.meter {
            meter.sub(bytes);
        }
    }
}

fn wake(slot: &mut Option<Waker>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}

/// Reads the headers of a call.
fn admit(fields: Fields<'_>, peer: Option<SocketAddr>, now_ns: u64) -> Result<Head, H2Code> {
    let (mut method, mut path) = (None, None);
    for field in fields.iter().take_while(|f| f.name.starts_with(b":")) {
        // Any text passes as the authority, as with Go: etcd's client 3.4 sends whole URLs.
        let once = match field.name {
            b":method" => method.replace(field.value),
            b":path" => path.replace(field.value),
            b":scheme" | b":authority" => None,
            _ => return Err(H2Code::PROTOCOL_ERROR),
        };
        if once.is_some() {
            return Err(H2Code::PROTOCOL_ERROR);
        }
    }
    let (Some(name), Some(path)) = (method, path) else {
        return Err(H2Code::PROTOCOL_ERROR);
    };
    if name != b"POST" {
        let name = String::from_utf8_lossy(name);
        let text = format!("Received a HEADERS frame with :method {name:?} which should be POST");
        return Ok(Err(Refusal::new(405, Code::Internal, text)));
    }
    let meta = match Metadata::parse(fields.iter(), peer, now_ns) {
        Ok(meta) => meta,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let path = path.split(|b| *b == b'?').next().unwrap_or(path);
    let known = std::str::from_utf8(path).ok().and_then(Method::from_path);
    Ok(known.map(|method| (method, meta)).ok_or_else(|| {
        let unknown = Method::unknown(&String::from_utf8_lossy(path));
        Refusal::new(200, Code::Unimplemented, unknown)
    }))
}

impl Link {
    /// Notes that there is something to send.
    fn touch(&self) {
        if !self.in_turn.get() {
            wake(&mut self.waker.borrow_mut());
        }
    }

    /// The next message of a call, `None` after its last.
    pub fn poll_message(&self, id: u32, cx: &Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        let h2 = &mut *self.h2.borrow_mut();
        let Some(call) = h2.stream(id) else {
            return Poll::Ready(Err(canceled()));
        };
        if let Some(message) = call.messages.pop_front() {
            call.queued -= message.len();
            call.account(&self.held);
            let bytes = self.received_bytes.get() + message.len() as u64;
            self.received_bytes.set(bytes);
            if call.messages.is_empty() {
                let owed = std::mem::take(&mut call.owed);
                h2.release(id, owed);
                self.touch();
            }
            return Poll::Ready(Ok(Some(message)));
        }
        if let Some(status) = &call.failed {
            return Poll::Ready(Err(status.clone()));
        }
        if !call.ended {
            set_waker(&mut call.reader, cx);
            return Poll::Pending;
        }
        if call.decoder.at_boundary() {
            return Poll::Ready(Ok(None));
        }
        Poll::Ready(Err(Status::new(Code::Internal, "unexpected EOF")))
    }

    /// Ready when the client has reset the call.
    pub fn poll_gone(&self, id: u32, cx: &Context<'_>) -> Poll<()> {
        match self.h2.borrow_mut().stream(id) {
            None => Poll::Ready(()),
            Some(call) => {
                set_waker(&mut call.watcher, cx);
                Poll::Pending
            }
        }
    }

    /// Sends the headers before messages.
    pub fn send_head(&self, id: u32) -> Result<(), Gone> {
        let mut h2 = self.h2.borrow_mut();
        h2.headers_out(id, false, |block| {
            block.common(b":status", b"200");
            block.common(b"content-type", b"application/grpc");
        })
        .map_err(|_| Gone)
    }

    /// Sends a message; what has to wait counts on `meter`.
    pub fn send(&self, id: u32, reply: Reply, meter: &Rc<Meter>) -> Result<(), Gone> {
        let bytes = self.sent_bytes.get() + reply.len() as u64;
        let h2 = &mut *self.h2.borrow_mut();
        let waits = h2
            .data_out(id, reply.into_pieces(), false)
            .map_err(|_| Gone)?;
        if waits > 0 {
            meter.add(waits);
            if let Some(call) = h2.stream(id) {
                call.meter = Some(meter.clone());
            }
        }
        self.sent_bytes.set(bytes);
        self.touch();
        Ok(())
    }

    /// Ends a call after its messages.
    pub fn end(&self, id: u32, result: Result<(), &Status>) {
        let text = result.err().map(Status::encoded_message);
        let digits = result.map_or_else(|status| status.code.digits(), |()| "0");
        let status: (&[u8], &[u8], bool) = (b"grpc-status", digits.as_bytes(), true);
        let h2 = &mut *self.h2.borrow_mut();
        self.dismiss(h2, id);
        // A call that is gone needs no end.
        let _ = match text {
            None => h2.trailers_out(id, &[status]),
            Some(text) => h2.trailers_out(id, &[status, (b"grpc-message", text.as_bytes(), false)]),
        };
        self.touch();
    }

    /// Answers with a status alone: headers that are trailers, too.
    pub fn refuse(&self, id: u32, http: u16, status: &Status) {
        let h2 = &mut *self.h2.borrow_mut();
        self.dismiss(h2, id);
        let text = status.encoded_message();
        let _ = h2.headers_out(id, true, |block| {
            let mut digits = [0; 3];
            block.common(b":status", decimal(http, &mut digits));
            block.common(b"content-type", b"application/grpc");
            block.common(b"grpc-status", status.code.digits().as_bytes());
            block.unique(b"grpc-message", text.as_bytes());
            if status.code == Code::Unimplemented {
                block.common(b"grpc-accept-encoding", b"identity");
            }
        });
        self.touch();
    }

    /// Lets go of what a call received: nobody will read it.
    fn dismiss(&self, h2: &mut Connection<Receiving>, id: u32) {
        if let Some(call) = h2.stream(id) {
            self.held.bytes.set(self.held.bytes.get() - call.held);
            call.held = 0;
            call.messages.clear();
            call.queued = 0;
            call.decoder = Decoder::new(0);
            let closed = Status::new(Code::Internal, "the call has ended");
            call.failed.get_or_insert(closed);
            let owed = std::mem::take(&mut call.owed);
            if owed > 0 {
                h2.release(id, owed);
            }
        }
    }
}

fn canceled() -> Status {
    Status::new(Code::Canceled, "context canceled")
}

fn decimal(number: u16, digits: &mut [u8; 3]) -> &[u8] {
    let n = number.min(999);
    *digits = [n / 100, n / 10 % 10, n % 10].map(|d| b'0' + d as u8);
    digits
}

/// The client is gone or has cancelled: nothing more can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl From<Gone> for Status {
    fn from(_: Gone) -> Self {
        canceled()
    }
}
