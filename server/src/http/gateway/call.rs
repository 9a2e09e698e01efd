//! One call of the gateway: a gRPC call like any other, over a pipe in memory to the very code
//! that serves gRPC connections. So it has the same checks, bounds, counters and answers.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http2::{Block, Code as H2Code, Config, Connection, Fields, Handler, Role};
use tokio::io::{AsyncRead, DuplexStream, ReadBuf};

use crate::grpc::conn::{self, Node};
use crate::grpc::message::{Decoder, PREFIX_BYTES};
use crate::grpc::service::Service;
use crate::grpc::{Code, Method, Status};
use crate::net::drain::Drain;
use crate::net::outgoing;
use crate::net::time::Time;

/// Bytes under way in each direction of the pipe.
const PIPE_BYTES: usize = 64 << 10;

/// Bytes read from the pipe at once.
const READ_BYTES: usize = 16 << 10;

/// Headers that mean something to a call and may come under `Grpc-Metadata-`.
const METADATA: [&str; 4] = ["token", "authorization", "hasleader", "client-api-version"];

/// A call, from here; dropped, it is cancelled.
pub struct Call {
    /// The far end of the pipe; none once it has ended.
    serve: Option<Pin<Box<dyn Future<Output = ()>>>>,
    near: DuplexStream,
    h2: Connection<()>,
    id: u32,
    is_last: bool,
    heard: Heard,
}

/// What came of the answer.
struct Heard {
    decoder: Decoder,
    messages: VecDeque<Bytes>,
    /// What of the windows is given back when `messages` are taken.
    owed: usize,
    end: Option<Result<(), Status>>,
}

impl Heard {
    fn finish(&mut self, result: Result<(), Status>) {
        self.end.get_or_insert(result);
    }
}

impl Handler for Heard {
    type Stream = ();

    fn opened(&mut self, _: u32, _: Fields<'_>, _: bool) -> Result<(), H2Code> {
        Err(H2Code::PROTOCOL_ERROR)
    }

    fn headers(&mut self, _: u32, (): &mut (), fields: Fields<'_>, _: bool) -> Result<(), H2Code> {
        // None is fine: headers before messages.
        if let Some(result) = status(fields) {
            self.finish(result);
        }
        Ok(())
    }

    fn data(&mut self, _: u32, (): &mut (), data: &[u8], _: bool) -> Result<usize, H2Code> {
        let mut rest = data;
        while !rest.is_empty() {
            match self.decoder.push(&mut rest) {
                Ok(Some(message)) => self.messages.push_back(message),
                Ok(None) => {}
                Err(status) => {
                    self.finish(Err(status));
                    break;
                }
            }
        }
        if self.messages.is_empty() {
            return Ok(data.len());
        }
        self.owed += data.len();
        Ok(0)
    }

    fn reset(&mut self, _: u32, (): (), code: H2Code, _: usize) {
        self.finish(Err(broken(&format!(
            "the call was reset with code {}",
            code.0
        ))));
    }

    fn moved(&mut self, _: u32, (): &mut (), _: usize) {}
}

fn broken(why: &str) -> Status {
    Status::new(Code::Unavailable, format!("transport is closing: {why}"))
}

impl Call {
    /// Opens a call of `method` with what `headers` say of it.
    ///
    /// # Errors
    /// The pipe does not stand.
    pub fn open<S: Service, T: Time>(
        node: &Rc<Node<S, T>>,
        peer: Option<SocketAddr>,
        drain: &Drain,
        method: Method,
        headers: &HeaderMap,
    ) -> Result<Self, Status> {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let serve = conn::serve(node.clone(), far, peer, drain.clone());
        let serve = async move {
            // The call learns of a broken pipe by itself.
            let _ = serve.await;
        };
        let mut h2 = Connection::new(Role::Client, Config::default());
        let id = h2.open((), false, |block| head(block, method, headers));
        Ok(Self {
            serve: Some(Box::pin(serve)),
            near,
            h2,
            id: id.ok_or_else(|| broken("no stream could be opened"))?,
            is_last: false,
            heard: Heard {
                decoder: Decoder::new(usize::MAX),
                messages: VecDeque::new(),
                owed: 0,
                end: None,
            },
        })
    }

    /// Whether the last message is on its way, so that the next may be said.
    pub fn is_ready(&self) -> bool {
        self.h2.queued() == 0 && !self.is_last
    }

    /// Whether no message comes after those that were said.
    pub fn is_finished(&self) -> bool {
        self.is_last
    }

    /// Says a message. Call it only when [`Call::is_ready`].
    ///
    /// # Errors
    /// The message has a length that gRPC cannot say.
    pub fn say(&mut self, message: &[u8]) -> Result<(), Status> {
        let too_long = |_| Status::new(Code::ResourceExhausted, "grpc: message too large");
        let len = u32::try_from(message.len()).map_err(too_long)?;
        let mut frame = BytesMut::with_capacity(PREFIX_BYTES + message.len());
        frame.put_u8(0);
        frame.put_u32(len);
        frame.put_slice(message);
        // Where the stream is closed, the answer says why.
        let _ = self.h2.data_out(self.id, frame.freeze().into(), false);
        Ok(())
    }

    /// No message comes after those that were said.
    pub fn finish(&mut self) {
        if !std::mem::replace(&mut self.is_last, true) {
            let _ = self.h2.data_out(self.id, Bytes::new().into(), true);
        }
    }

    /// Carries the call on; the next message of the answer, or `None` when it has ended well.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            if let Some(message) = self.heard.messages.pop_front() {
                if self.heard.messages.is_empty() {
                    let owed = std::mem::take(&mut self.heard.owed);
                    self.h2.release(self.id, owed);
                }
                return Poll::Ready(Ok(Some(message)));
            }
            if let Some(result) = &self.heard.end {
                return Poll::Ready(result.clone().map(|()| None));
            }
            let sent = outgoing::poll_send(&mut self.h2, &mut self.near, &mut self.heard, cx);
            if let Poll::Ready(Err(_)) = sent {
                self.heard.finish(Err(broken("nobody reads it")));
                continue;
            }
            // The far end is asked after what was sent: its task is this one.
            if let Some(serve) = &mut self.serve
                && serve.as_mut().poll(cx).is_ready()
            {
                self.serve = None;
            }
            if !self.poll_receive(cx) {
                return Poll::Pending;
            }
        }
    }

    /// Whether something came.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut scratch = [0; READ_BYTES];
        let mut buf = ReadBuf::new(&mut scratch);
        match Pin::new(&mut self.near).poll_read(cx, &mut buf) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
            Poll::Ready(_) => {
                self.heard.finish(Err(broken("it ended before its answer")));
                return true;
            }
        }
        if let Err(why) = self.h2.receive(buf.filled(), &mut self.heard) {
            self.heard.finish(Err(broken(why.what)));
        }
        true
    }
}

fn head(block: &mut Block<'_>, method: Method, headers: &HeaderMap) {
    let path = format!("/{}/{}", method.service(), method.name());
    block.unique(b":method", b"POST");
    block.unique(b":scheme", b"http");
    block.unique(b":path", path.as_bytes());
    block.unique(b":authority", b"gateway");
    block.unique(b"content-type", b"application/grpc");
    for (name, value) in headers {
        let name = match name.as_str() {
            "authorization" => "authorization",
            "grpc-timeout" => "grpc-timeout",
            other => match other.strip_prefix("grpc-metadata-") {
                Some(name) if METADATA.contains(&name) => name,
                _ => continue,
            },
        };
        block.unique(name.as_bytes(), value.as_bytes());
    }
}

/// The status in headers or trailers.
fn status(fields: Fields<'_>) -> Option<Result<(), Status>> {
    let digits = fields.get(b"grpc-status")?;
    let found = Code::ALL
        .iter()
        .find(|code| digits == code.digits().as_bytes());
    Some(match found.copied().unwrap_or(Code::Unknown) {
        Code::Ok => Ok(()),
        code => {
            let text = fields.get(b"grpc-message").unwrap_or_default();
            Err(Status::new(code, percent_decode(text)))
        }
    })
}

fn percent_decode(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        let byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
        match byte {
            Some(byte) if first == b'%' => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
