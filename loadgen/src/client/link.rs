//! One connection: HTTP/2 without I/O from the crate `http2`, on a socket. What is said and heard
//! in one round of the connection's task is one send and one receive, which is what makes a call
//! cheap.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use http2::{Code, Config, Connection, Fields, Handler, Role};
use server::net::outgoing;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::status::Status;

/// Bytes taken by one receive.
const READ_BYTES: usize = 256 << 10;

/// Whole messages that wait for a slow reader, from which on the server has to wait, too.
const HELD_BYTES: usize = 4 << 20;

/// Windows of a stream and of the connection, bytes.
const CONFIG_WINDOWS: (u32, u32) = (8 << 20, 64 << 20);

const LEAVING: &str = "the server is leaving and takes no further calls on this connection";

/// A connection that many callers share. Its task ends when the last of them is gone.
pub(super) struct Link {
    h2: RefCell<Connection<Rc<Call>>>,
    /// Wakes the connection's task.
    task: RefCell<Option<Waker>>,
    broken: RefCell<Option<Status>>,
    /// Calls that the server takes no more of at present, in their order.
    waiting: RefCell<VecDeque<Waiting>>,
    authority: String,
    scheme: &'static str,
    token: RefCell<Option<String>>,
}

/// A call that waits for a free stream.
struct Waiting {
    call: Rc<Call>,
    path: String,
    frames: Vec<Bytes>,
    last: bool,
}

/// What is wanted of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Its length alone.
    Length,
    /// All of it, as one message.
    Whole,
    /// Message by message, as fast as they are read.
    Messages,
}

/// One call's answer, as far as it came.
pub(super) struct Call {
    /// Its stream; 0 while it waits for one.
    id: Cell<u32>,
    keep: Keep,
    pub(super) len: Cell<usize>,
    body: RefCell<BytesMut>,
    /// Bytes that count against the windows.
    held: Cell<usize>,
    end: RefCell<Option<Result<(), Status>>>,
    waker: RefCell<Option<Waker>>,
}

impl Call {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn finish(&self, result: Result<(), Status>) {
        self.end.borrow_mut().get_or_insert(result);
        self.wake();
    }

    fn wait(&self, cx: &Context<'_>) {
        *self.waker.borrow_mut() = Some(cx.waker().clone());
    }

    /// Whether a whole message waits, and so much that the server should wait, too.
    fn is_full(&self) -> bool {
        let body = self.body.borrow();
        body.len() >= HELD_BYTES && message_len(&body).is_some_and(|len| body.len() >= 5 + len)
    }
}

struct Answers;

impl Handler for Answers {
    type Stream = Rc<Call>;

    fn opened(&mut self, _: u32, _: Fields<'_>, _: bool) -> Result<Rc<Call>, Code> {
        Err(Code::PROTOCOL_ERROR)
    }

    fn headers(
        &mut self,
        _: u32,
        call: &mut Rc<Call>,
        fields: Fields<'_>,
        end: bool,
    ) -> Result<(), Code> {
        if let Some(code) = fields.get(b"grpc-status") {
            let message = fields.get(b"grpc-message").unwrap_or_default();
            call.finish(Status::of_trailers(code, message).map_or(Ok(()), Err));
        } else if let Some(status) = fields.get(b":status").filter(|status| *status != b"200") {
            let status = String::from_utf8_lossy(status);
            call.finish(Err(Status::unavailable(format!("HTTP status {status}"))));
        } else if end {
            let text = "the answer has no trailers";
            call.finish(Err(Status::new(Status::INTERNAL, text)));
        }
        Ok(())
    }

    fn data(&mut self, _: u32, call: &mut Rc<Call>, data: &[u8], _: bool) -> Result<usize, Code> {
        call.len.set(call.len.get() + data.len());
        if call.keep == Keep::Length {
            return Ok(data.len());
        }
        call.body.borrow_mut().extend_from_slice(data);
        call.wake();
        if call.keep == Keep::Messages && call.is_full() {
            call.held.set(call.held.get() + data.len());
            return Ok(0);
        }
        Ok(data.len())
    }

    fn reset(&mut self, _: u32, call: Rc<Call>, code: Code, _: usize) {
        call.finish(Err(Status::unavailable(format!(
            "the stream was reset: {code:?}"
        ))));
    }

    fn moved(&mut self, _: u32, _: &mut Rc<Call>, _: usize) {}
}

/// Runs a connection over `io` on the current `LocalSet`. `scheme` is http or https.
pub(super) fn open(
    io: impl AsyncRead + AsyncWrite + Unpin + 'static,
    scheme: &'static str,
    authority: String,
) -> Rc<Link> {
    let config = Config {
        stream_window_bytes: CONFIG_WINDOWS.0,
        window_bytes: CONFIG_WINDOWS.1,
        ..Config::default()
    };
    let link = Rc::new(Link {
        h2: RefCell::new(Connection::new(Role::Client, config)),
        task: RefCell::new(None),
        broken: RefCell::new(None),
        waiting: RefCell::default(),
        authority,
        scheme,
        token: RefCell::new(None),
    });
    tokio::task::spawn_local(serve(Rc::downgrade(&link), io));
    link
}

async fn serve(weak: Weak<Link>, mut io: impl AsyncRead + AsyncWrite + Unpin) {
    let mut scratch = vec![0; READ_BYTES];
    let turn = |cx: &mut Context<'_>| match weak.upgrade() {
        Some(link) => link.poll_turn(&mut io, &mut scratch, cx),
        // Nobody calls any more.
        None => Poll::Ready(String::new()),
    };
    let why = Status::unavailable(poll_fn(turn).await);
    let Some(link) = weak.upgrade() else { return };
    let calls = link.h2.borrow_mut().take_streams();
    for call in calls {
        call.finish(Err(why.clone()));
    }
    link.refuse_waiting(&why);
    *link.broken.borrow_mut() = Some(why);
}

impl Drop for Link {
    fn drop(&mut self) {
        self.wake();
    }
}

impl Link {
    pub(super) fn set_token(&self, token: String) {
        *self.token.borrow_mut() = Some(token);
    }

    /// Why no further call can be made, if so.
    pub(super) fn broken(&self) -> Option<Status> {
        let broken = self.broken.borrow().clone();
        let leaving = || self.h2.borrow().is_peer_leaving();
        broken.or_else(|| leaving().then(|| Status::unavailable(LEAVING)))
    }

    fn wake(&self) {
        if let Some(waker) = self.task.take() {
            waker.wake();
        }
    }

    /// One round of the connection: everything that came, then everything to be sent. Ready with
    /// the reason when the connection is over.
    fn poll_turn(
        &self,
        io: &mut (impl AsyncRead + AsyncWrite + Unpin),
        scratch: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<String> {
        let h2 = &mut *self.h2.borrow_mut();
        loop {
            let mut buf = ReadBuf::new(scratch);
            match Pin::new(&mut *io).poll_read(cx, &mut buf) {
                Poll::Pending => break,
                Poll::Ready(Err(e)) => return Poll::Ready(e.to_string()),
                Poll::Ready(Ok(())) if buf.filled().is_empty() => {
                    return Poll::Ready("the server closed the connection".to_owned());
                }
                Poll::Ready(Ok(())) => {}
            }
            if let Err(broken) = h2.receive(buf.filled(), &mut Answers) {
                return Poll::Ready(broken.to_string());
            }
        }
        self.open_waiting(h2);
        if let Poll::Ready(Err(e)) = outgoing::poll_send(h2, io, &mut Answers, cx) {
            return Poll::Ready(e.to_string());
        }
        *self.task.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Calls that wait for a stream have failed.
    fn refuse_waiting(&self, why: &Status) {
        for waiting in self.waiting.take() {
            waiting.call.finish(Err(why.clone()));
        }
    }

    /// Begins calls that wait, as far as the server takes them now.
    fn open_waiting(&self, h2: &mut Connection<Rc<Call>>) {
        if h2.is_peer_leaving() {
            return self.refuse_waiting(&Status::unavailable(LEAVING));
        }
        while h2.has_room() {
            let Some(next) = self.waiting.borrow_mut().pop_front() else {
                return;
            };
            let frames = next.frames.into_iter();
            if let Err(why) = self.open(h2, &next.call, &next.path, frames, next.last) {
                next.call.finish(Err(why));
            }
        }
    }

    /// Opens a call's stream and sends its frames; `last`: nothing follows them.
    fn open(
        &self,
        h2: &mut Connection<Rc<Call>>,
        call: &Rc<Call>,
        path: &str,
        frames: impl ExactSizeIterator<Item = Bytes>,
        last: bool,
    ) -> Result<(), Status> {
        let token = self.token.borrow();
        let id = h2.open(call.clone(), false, |block| {
            block.common(b":method", b"POST");
            block.common(b":scheme", self.scheme.as_bytes());
            block.common(b":path", path.as_bytes());
            block.common(b":authority", self.authority.as_bytes());
            block.common(b"content-type", b"application/grpc");
            block.common(b"te", b"trailers");
            if let Some(token) = &*token {
                block.common(b"token", token.as_bytes());
            }
        });
        let Some(id) = id else {
            // Calls under way go on; who asks again gets another connection.
            let why = Status::unavailable("all stream numbers of this connection are used up");
            *self.broken.borrow_mut() = Some(why.clone());
            return Err(why);
        };
        call.id.set(id);
        let mut left = frames.len();
        for frame in frames {
            left -= 1;
            let sent = h2.data_out(id, frame.into(), last && left == 0);
            sent.map_err(|_| Status::unavailable("the stream closed at once"))?;
        }
        Ok(())
    }

    /// Begins a call of `path` with its first frame; `last`: nothing follows it. Where the server
    /// takes no more calls at present it waits for its turn.
    pub(super) fn call(
        self: &Rc<Self>,
        path: &str,
        frame: Bytes,
        keep: Keep,
        last: bool,
    ) -> Result<Body, Status> {
        if let Some(why) = self.broken() {
            return Err(why);
        }
        let call = Rc::new(Call {
            id: Cell::new(0),
            keep,
            len: Cell::new(0),
            body: RefCell::default(),
            held: Cell::new(0),
            end: RefCell::default(),
            waker: RefCell::default(),
        });
        let h2 = &mut *self.h2.borrow_mut();
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() && h2.has_room() {
            self.open(h2, &call, path, std::iter::once(frame), last)?;
        } else {
            waiting.push_back(Waiting {
                call: call.clone(),
                path: path.to_owned(),
                frames: vec![frame],
                last,
            });
        }
        self.wake();
        Ok(Body {
            link: self.clone(),
            call,
        })
    }
}

/// The answer to a call; dropped, the call is cancelled.
pub(super) struct Body {
    link: Rc<Link>,
    pub(super) call: Rc<Call>,
}

impl Body {
    /// Sends a further frame; `last`: the last one.
    pub(super) fn send(&self, frame: Bytes, last: bool) -> Result<(), Status> {
        if let Some(Err(status)) = &*self.call.end.borrow() {
            return Err(status.clone());
        }
        let id = self.call.id.get();
        if id == 0 {
            let mut waiting = self.link.waiting.borrow_mut();
            let mut waiting = waiting.iter_mut();
            let ours = waiting.find(|waiting| Rc::ptr_eq(&waiting.call, &self.call));
            let ours = ours.filter(|ours| !ours.last);
            let ours = ours.ok_or_else(|| Status::unavailable("the stream has ended"))?;
            ours.frames.push(frame);
            ours.last = last;
            return Ok(());
        }
        let sent = self.link.h2.borrow_mut().data_out(id, frame.into(), last);
        sent.map_err(|_| Status::unavailable("the stream has ended"))?;
        self.link.wake();
        Ok(())
    }

    /// Waits for the end of the call.
    pub(super) async fn end(&self) -> Result<(), Status> {
        poll_fn(|cx| match &*self.call.end.borrow() {
            Some(result) => Poll::Ready(result.clone()),
            None => {
                self.call.wait(cx);
                Poll::Pending
            }
        })
        .await
    }

    /// The next message, `None` at the stream's end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        let message = poll_fn(|cx| {
            if let Some(message) = take(&mut self.call.body.borrow_mut()) {
                return Poll::Ready(Ok(Some(message)));
            }
            match &*self.call.end.borrow() {
                Some(result) => Poll::Ready(result.clone().map(|()| None)),
                None => {
                    self.call.wait(cx);
                    Poll::Pending
                }
            }
        })
        .await?;
        if self.call.held.get() > 0 && !self.call.is_full() {
            let held = self.call.held.replace(0);
            self.link.h2.borrow_mut().release(self.call.id.get(), held);
            self.link.wake();
        }
        Ok(message)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if self.call.end.borrow().is_some() {
            return;
        }
        match self.call.id.get() {
            0 => {
                let mut waiting = self.link.waiting.borrow_mut();
                waiting.retain(|waiting| !Rc::ptr_eq(&waiting.call, &self.call));
            }
            id => {
                self.link.h2.borrow_mut().reset_out(id, Code::CANCEL);
                self.link.wake();
            }
        }
    }
}

/// Length of the message at the front, as far as that is known.
fn message_len(data: &[u8]) -> Option<usize> {
    let &[_, a, b, c, d] = data.first_chunk::<5>()?;
    Some(u32::from_be_bytes([a, b, c, d]) as usize)
}

/// The message at the front, if all of it is there.
fn take(data: &mut BytesMut) -> Option<Bytes> {
    let len = message_len(data)?;
    if data.len() < 5 + len {
        return None;
    }
    data.advance(5);
    Some(data.split_to(len).freeze())
}
