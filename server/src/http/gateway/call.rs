//! One call of the gateway: a gRPC call like any other, over a pipe in memory to the very code
//! that serves gRPC connections. So it has the same checks, bounds, counters and answers.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::future::join;
use h2::client::{Builder, ResponseFuture};
use h2::{RecvStream, SendStream};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, Request};

use crate::grpc::conn::{self, Node};
use crate::grpc::message::{Decoder, PREFIX_BYTES};
use crate::grpc::service::Service;
use crate::grpc::{Code, Method, Status};
use crate::net::drain::Drain;
use crate::net::time::Time;

/// Bytes under way in each direction of the pipe.
const PIPE_BYTES: usize = 64 << 10;

/// Headers that mean something to a call and may come under `Grpc-Metadata-`.
const METADATA: [&str; 4] = ["token", "authorization", "hasleader", "client-api-version"];

/// A call, from here; dropped, it is cancelled.
pub struct Call {
    /// Both ends of the pipe; none once they have ended.
    pipe: Option<Pin<Box<dyn Future<Output = ()>>>>,
    send: SendStream<Bytes>,
    /// What is left to send of the message that was said last.
    unsent: Bytes,
    is_last: bool,
    has_sent_end: bool,
    receive: Receive,
    decoder: Decoder,
    chunk: Bytes,
}

enum Receive {
    Head(ResponseFuture),
    Body(RecvStream),
    Ended,
}

fn broken(error: h2::Error) -> Status {
    Status::new(Code::Unavailable, format!("transport is closing: {error}"))
}

impl Call {
    /// Opens a call of `method` with what `headers` say of it.
    ///
    /// # Errors
    /// The pipe does not stand.
    pub async fn open<S: Service, T: Time>(
        node: &Rc<Node<S, T>>,
        peer: Option<SocketAddr>,
        drain: &Drain,
        method: Method,
        headers: &HeaderMap,
    ) -> Result<Self, Status> {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let serve = conn::serve(node.clone(), far, peer, drain.clone());
        let (mut client, connection) = Builder::new().handshake(near).await.map_err(broken)?;
        let head = head(method, headers)?;
        let (response, send) = client.send_request(head, false).map_err(broken)?;
        let pipe = async move {
            // The call learns of a broken pipe by itself.
            let _ = join(serve, connection).await;
        };
        Ok(Self {
            pipe: Some(Box::pin(pipe)),
            send,
            unsent: Bytes::new(),
            is_last: false,
            has_sent_end: false,
            receive: Receive::Head(response),
            decoder: Decoder::new(usize::MAX),
            chunk: Bytes::new(),
        })
    }

    /// Whether the last message is on its way, so that the next may be said.
    pub fn is_ready(&self) -> bool {
        self.unsent.is_empty() && !self.is_last
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
        self.unsent = frame.freeze();
        Ok(())
    }

    /// No message comes after those that were said.
    pub fn finish(&mut self) {
        self.is_last = true;
    }

    /// Carries the call on; the next message of the answer, or `None` when it has ended well.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        self.poll_send(cx);
        if let Some(pipe) = &mut self.pipe
            && pipe.as_mut().poll(cx).is_ready()
        {
            self.pipe = None;
        }
        // The pipe may have made room, or may have to be told of what is sent now: then it wakes
        // this task.
        self.poll_send(cx);
        self.poll_receive(cx)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) {
        while !self.unsent.is_empty() {
            self.send.reserve_capacity(self.unsent.len());
            let room = match self.send.capacity() {
                0 => self.send.poll_capacity(cx),
                room => Poll::Ready(Some(Ok(room))),
            };
            match room {
                Poll::Ready(Some(Ok(room))) => {
                    let piece = self.unsent.split_to(room.min(self.unsent.len()));
                    let _ = self.send.send_data(piece, false);
                }
                // The answer says why nothing more is taken.
                Poll::Ready(Some(Err(_)) | None) => self.unsent.clear(),
                Poll::Pending => return,
            }
        }
        if self.is_last && !std::mem::replace(&mut self.has_sent_end, true) {
            let _ = self.send.send_data(Bytes::new(), true);
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            match &mut self.receive {
                Receive::Ended => return Poll::Ready(Ok(None)),
                Receive::Head(response) => {
                    let response = ready!(Pin::new(response).poll(cx)).map_err(broken)?;
                    let (head, body) = response.into_parts();
                    self.receive = Receive::Body(body);
                    status(&head.headers)?;
                }
                Receive::Body(body) => {
                    let mut rest = &self.chunk[..];
                    let message = self.decoder.push(&mut rest)?;
                    let taken = self.chunk.len() - rest.len();
                    self.chunk.advance(taken);
                    if message.is_some() {
                        return Poll::Ready(Ok(message));
                    }
                    if let Some(chunk) = ready!(body.poll_data(cx)) {
                        let chunk = chunk.map_err(broken)?;
                        let _ = body.flow_control().release_capacity(chunk.len());
                        self.chunk = chunk;
                        continue;
                    }
                    let trailers = ready!(body.poll_trailers(cx)).map_err(broken)?;
                    self.receive = Receive::Ended;
                    status(&trailers.unwrap_or_default())?;
                }
            }
        }
    }
}

fn head(method: Method, headers: &HeaderMap) -> Result<Request<()>, Status> {
    let path = format!("http://gateway/{}/{}", method.service(), method.name());
    let mut head = Request::new(());
    *head.method_mut() = HttpMethod::POST;
    *head.uri_mut() = path
        .parse()
        .map_err(|_| Status::new(Code::Internal, "a method without a path"))?;
    let grpc = HeaderValue::from_static("application/grpc");
    head.headers_mut().insert(CONTENT_TYPE, grpc);
    for (name, value) in headers {
        let name = match name.as_str() {
            "authorization" => AUTHORIZATION,
            "grpc-timeout" => HeaderName::from_static("grpc-timeout"),
            other => match other.strip_prefix("grpc-metadata-") {
                Some(name) if METADATA.contains(&name) => match HeaderName::try_from(name) {
                    Ok(name) => name,
                    Err(_) => continue,
                },
                _ => continue,
            },
        };
        head.headers_mut().insert(name, value.clone());
    }
    Ok(head)
}

/// The status in headers or trailers; none is fine (headers before messages).
fn status(headers: &HeaderMap) -> Result<(), Status> {
    let Some(digits) = headers.get("grpc-status") else {
        return Ok(());
    };
    let found = Code::ALL.iter().find(|code| digits == code.digits());
    match found.copied().unwrap_or(Code::Unknown) {
        Code::Ok => Ok(()),
        code => {
            let text = headers.get("grpc-message").map(HeaderValue::as_bytes);
            Err(Status::new(code, percent_decode(text.unwrap_or_default())))
        }
    }
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
