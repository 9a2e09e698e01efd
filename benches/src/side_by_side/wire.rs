//! The cheapest gRPC calls a client can make: request frames are encoded beforehand or into a
//! reused buffer, answers are counted and only decoded where the workload needs them. What is said
//! and heard in one round of the connection's task is one send and one receive.
//! Called by `load`.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http2::{Code, Config, Connection, Fields, Handler, Role};
use prost::Message;
use server::net::outgoing;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

/// What goes wrong in a load run is only reported, never told apart.
pub type Failure = Box<dyn std::error::Error>;

/// Bytes taken by one receive.
const READ_BYTES: usize = 256 << 10;

/// A connection that many callers share.
pub struct Link {
    h2: RefCell<Connection<Rc<Call>>>,
    /// Wakes the connection's task.
    task: RefCell<Option<Waker>>,
    broken: RefCell<Option<String>>,
}

/// One call's answer, as far as it came.
struct Call {
    /// Whether the body is wanted, or its length alone.
    keep: bool,
    len: Cell<usize>,
    body: RefCell<BytesMut>,
    end: RefCell<Option<Result<(), String>>>,
    waker: RefCell<Option<Waker>>,
}

impl Call {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn finish(&self, result: Result<(), String>) {
        self.end.borrow_mut().get_or_insert(result);
        self.wake();
    }

    fn wait(&self, cx: &Context<'_>) {
        *self.waker.borrow_mut() = Some(cx.waker().clone());
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
        match fields.get(b"grpc-status") {
            Some(b"0") => call.finish(Ok(())),
            Some(code) => {
                let text = fields.get(b"grpc-message").unwrap_or_default();
                let (code, text) = (String::from_utf8_lossy(code), String::from_utf8_lossy(text));
                call.finish(Err(format!("status {code}: {text}")));
            }
            None if end => call.finish(Err("the answer has no trailers".to_owned())),
            None => {}
        }
        Ok(())
    }

    fn data(&mut self, _: u32, call: &mut Rc<Call>, data: &[u8], _: bool) -> Result<usize, Code> {
        call.len.set(call.len.get() + data.len());
        if call.keep {
            call.body.borrow_mut().extend_from_slice(data);
            call.wake();
        }
        Ok(data.len())
    }

    fn reset(&mut self, _: u32, call: Rc<Call>, code: Code, _: usize) {
        call.finish(Err(format!("the stream was reset: {code:?}")));
    }

    fn moved(&mut self, _: u32, _: &mut Rc<Call>, _: usize) {}
}

/// Opens a connection and lets its task run on the current `LocalSet`.
///
/// # Errors
/// When the server cannot be reached.
pub async fn connect(addr: SocketAddr) -> Result<Rc<Link>, Failure> {
    let mut tcp = TcpStream::connect(addr).await?;
    tcp.set_nodelay(true)?;
    let config = Config {
        stream_window_bytes: 8 << 20,
        window_bytes: 64 << 20,
        ..Config::default()
    };
    let link = Rc::new(Link {
        h2: RefCell::new(Connection::new(Role::Client, config)),
        task: RefCell::new(None),
        broken: RefCell::new(None),
    });
    let ours = link.clone();
    tokio::task::spawn_local(async move {
        let mut scratch = vec![0; READ_BYTES];
        let why = poll_fn(|cx| ours.poll_turn(&mut tcp, &mut scratch, cx)).await;
        let calls = ours.h2.borrow_mut().take_streams();
        for call in calls {
            call.finish(Err(why.clone()));
        }
        *ours.broken.borrow_mut() = Some(why);
    });
    Ok(link)
}

impl Link {
    /// One round of the connection: everything that came, then everything to be sent. Ready with
    /// the reason when the connection is over.
    fn poll_turn(
        &self,
        tcp: &mut TcpStream,
        scratch: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<String> {
        let h2 = &mut *self.h2.borrow_mut();
        loop {
            let mut buf = ReadBuf::new(scratch);
            match Pin::new(&mut *tcp).poll_read(cx, &mut buf) {
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
        if let Poll::Ready(Err(e)) = outgoing::poll_send(h2, tcp, &mut Answers, cx) {
            return Poll::Ready(e.to_string());
        }
        *self.task.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    fn open(&self, head: &Head, frame: Bytes, keep: bool, last: bool) -> Result<Body<'_>, Failure> {
        if let Some(why) = &*self.broken.borrow() {
            return Err(why.clone().into());
        }
        let call = Rc::new(Call {
            keep,
            len: Cell::new(0),
            body: RefCell::default(),
            end: RefCell::default(),
            waker: RefCell::default(),
        });
        let h2 = &mut *self.h2.borrow_mut();
        let id = h2.open(call.clone(), false, |block| {
            block.common(b":method", b"POST");
            block.common(b":scheme", b"http");
            block.common(b":path", head.path.as_bytes());
            block.common(b":authority", head.authority.as_bytes());
            block.common(b"content-type", b"application/grpc");
            block.common(b"te", b"trailers");
        });
        let id = id.ok_or("the server takes no further calls on this connection")?;
        let sent = h2.data_out(id, frame.into(), last);
        sent.map_err(|_| "the stream closed at once")?;
        if let Some(waker) = self.task.take() {
            waker.wake();
        }
        Ok(Body {
            link: self,
            id,
            call,
        })
    }
}

#[derive(Clone)]
struct Head {
    path: Rc<str>,
    authority: Rc<str>,
}

/// One client's end of a shared connection, calling one method.
#[derive(Clone)]
pub struct Caller {
    link: Rc<Link>,
    head: Head,
}

impl Caller {
    /// A caller of `path` (such as `/etcdserverpb.KV/Put`) on a connection.
    pub fn new(link: Rc<Link>, addr: SocketAddr, path: &str) -> Caller {
        let head = Head {
            path: path.into(),
            authority: addr.to_string().into(),
        };
        Caller { link, head }
    }

    /// Opens a stream and sends `frame`; `last` says whether anything follows.
    ///
    /// # Errors
    /// When the connection is broken or takes no more.
    pub fn open(&self, frame: Bytes, last: bool) -> Result<Body<'_>, Failure> {
        self.link.open(&self.head, frame, true, last)
    }

    /// A unary call whose answer is only counted: its length in bytes.
    ///
    /// # Errors
    /// As [`Caller::open`], or a status other than OK.
    pub async fn count(&self, frame: Bytes) -> Result<usize, Failure> {
        let body = self.link.open(&self.head, frame, false, true)?;
        body.end().await?;
        Ok(body.call.len.get())
    }

    /// A unary call whose answer is decoded.
    ///
    /// # Errors
    /// As [`Caller::count`], or an answer that is no `A`.
    pub async fn call<A: Message + Default>(&self, frame: Bytes) -> Result<A, Failure> {
        let mut body = self.open(frame, true)?;
        body.end().await?;
        body.next()
            .await?
            .ok_or_else(|| "no answer and no error".into())
    }
}

/// The answer to a call; dropped, the call is cancelled.
pub struct Body<'a> {
    link: &'a Link,
    id: u32,
    call: Rc<Call>,
}

impl Body<'_> {
    /// Waits for the end of the call.
    async fn end(&self) -> Result<(), Failure> {
        poll_fn(|cx| match &*self.call.end.borrow() {
            Some(result) => Poll::Ready(result.clone()),
            None => {
                self.call.wait(cx);
                Poll::Pending
            }
        })
        .await
        .map_err(Failure::from)
    }

    /// The next message, `None` at the stream's end.
    ///
    /// # Errors
    /// When the stream breaks or the message is no `A`.
    pub async fn next<A: Message + Default>(&mut self) -> Result<Option<A>, Failure> {
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
        });
        Ok(message.await?.map(A::decode).transpose()?)
    }
}

impl Drop for Body<'_> {
    fn drop(&mut self) {
        if self.call.end.borrow().is_none() {
            self.link.h2.borrow_mut().reset_out(self.id, Code::CANCEL);
        }
    }
}

/// The message at the front, if all of it is there.
fn take(data: &mut BytesMut) -> Option<Bytes> {
    let &[_, a, b, c, d] = data.first_chunk::<5>()?;
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    if data.len() < 5 + len {
        return None;
    }
    data.advance(5);
    Some(data.split_to(len).freeze())
}

/// Encodes a request frame into `buffer`, whose space is used again once the frame is sent.
pub fn frame(buffer: &mut BytesMut, message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    buffer.reserve(5 + len);
    buffer.put_u8(0);
    buffer.put_u32(u32::try_from(len).expect("requests of a load run are small"));
    message.encode(buffer).expect("the space was reserved");
    buffer.split().freeze()
}
