//! A small gRPC client over plain HTTP/2: one connection, unary calls and streams, and every
//! error as (code, text) exactly as the server sent it. All cases use it; etcd's own client
//! libraries would retry and rewrite errors, which is what must be seen here.

use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Uri};
use prost::Message;
use tokio::net::TcpStream;

pub use calls::{cancel, create, pb, progress};

mod calls;

/// How long a unary call, or a wait for one message, may take before it counts as failed.
pub const CALL_LIMIT: Duration = Duration::from_secs(30);

/// A gRPC failure. `code` is gRPC's number; 14 also stands for a broken connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// gRPC status code.
    pub code: u32,
    /// The text, percent-decoded.
    pub message: String,
}

impl Status {
    /// A failure of the connection itself: the outcome of the request is unknown.
    pub fn transport(why: impl std::fmt::Display) -> Status {
        Status {
            code: 14,
            message: format!("transport: {why}"),
        }
    }

    /// Whether the connection broke, so that the server may or may not have done the request.
    #[must_use]
    pub fn is_transport(&self) -> bool {
        self.code == 14 && self.message.starts_with("transport: ")
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({}) {}", self.code, self.message)
    }
}

impl std::error::Error for Status {}

/// One connection. Clones share it.
#[derive(Clone)]
pub struct Client {
    send: SendRequest<Bytes>,
    authority: String,
    /// How long an answer to one request may take.
    limit: Duration,
    /// Further headers of every request.
    metadata: Vec<(&'static str, &'static str)>,
}

/// Flow-control windows of a [`Client`].
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// Bytes one stream may send before we take them.
    pub stream: u32,
    /// Bytes the connection may send before we take them.
    pub connection: u32,
}

impl Default for Windows {
    fn default() -> Self {
        Windows {
            stream: 4 << 20,
            connection: 16 << 20,
        }
    }
}

impl Client {
    /// Connects with wide windows.
    ///
    /// # Errors
    /// When nothing listens or it does not speak HTTP/2.
    pub async fn connect(addr: SocketAddr) -> io::Result<Client> {
        Client::connect_with(addr, Windows::default()).await
    }

    /// Connects with the given flow-control windows.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_with(addr: SocketAddr, windows: Windows) -> io::Result<Client> {
        let tcp = TcpStream::connect(addr).await?;
        tcp.set_nodelay(true)?;
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(windows.stream)
            .initial_connection_window_size(windows.connection)
            .max_concurrent_reset_streams(1024)
            .handshake::<_, Bytes>(tcp)
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(async move {
            // Every call on it learns of the break by itself.
            let _ = connection.await;
        });
        Ok(Client {
            send,
            authority: addr.to_string(),
            limit: CALL_LIMIT,
            metadata: Vec::new(),
        })
    }

    /// The same connection with another limit for one request instead of [`CALL_LIMIT`].
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Client {
        Client { limit, ..self }
    }

    /// The same connection with further headers on every request.
    #[must_use]
    pub fn with_metadata(self, metadata: &[(&'static str, &'static str)]) -> Client {
        let metadata = metadata.to_vec();
        Client { metadata, ..self }
    }

    async fn open(&self, path: &str) -> Result<(ResponseFuture, SendStream<Bytes>), Status> {
        let uri: Uri = format!("http://{}{path}", self.authority)
            .parse()
            .map_err(|e| Status {
                code: 3,
                message: format!("{path}: {e}"),
            })?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in &self.metadata {
            request = request.header(*name, *value);
        }
        let request = request.body(()).map_err(Status::transport)?;
        let mut ready = self.send.clone().ready().await.map_err(Status::transport)?;
        ready
            .send_request(request, false)
            .map_err(Status::transport)
    }

    /// One request, one answer.
    ///
    /// # Errors
    /// The server's status, or [`Status::transport`] when the connection broke.
    pub async fn unary<Q, A>(&self, path: &str, request: &Q) -> Result<A, Status>
    where
        Q: Message,
        A: Message + Default,
    {
        let call = async {
            let mut stream: Receiver<A> = self.server_stream(path, request).await?;
            let answer = stream.next().await?;
            match answer {
                // The status comes after the message and decides.
                Some(answer) => stream.next().await.map(|_| answer),
                None => Err(Status {
                    code: 13,
                    message: "no message and no error".into(),
                }),
            }
        };
        tokio::time::timeout(self.limit, call)
            .await
            .unwrap_or_else(|_| Err(Status::transport(format!("{path}: no answer in time"))))
    }

    /// One request, many answers.
    ///
    /// # Errors
    /// When the stream cannot be opened; later errors come from [`Receiver::next`].
    pub async fn server_stream<Q: Message, A>(
        &self,
        path: &str,
        request: &Q,
    ) -> Result<Receiver<A>, Status> {
        let (response, mut body) = self.open(path).await?;
        body.send_data(frame(request), true)
            .map_err(Status::transport)?;
        Ok(Receiver::new(response))
    }

    /// Many requests, many answers.
    ///
    /// # Errors
    /// When the stream cannot be opened.
    pub async fn bidi<Q: Message, A>(
        &self,
        path: &str,
    ) -> Result<(Sender<Q>, Receiver<A>), Status> {
        let (response, body) = self.open(path).await?;
        Ok((
            Sender {
                body,
                sends: PhantomData,
            },
            Receiver::new(response),
        ))
    }
}

/// The length-prefixed form in which gRPC carries a message.
pub fn frame<Q: Message>(message: &Q) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + message.encoded_len());
    out.put_u8(0);
    out.put_u32(u32::try_from(message.encoded_len()).expect("test messages are small"));
    message.encode(&mut out).expect("a BytesMut grows");
    out.freeze()
}

/// The sending half of a two-way stream. Dropping it without [`Sender::finish`] resets the stream.
pub struct Sender<Q> {
    body: SendStream<Bytes>,
    sends: PhantomData<fn(Q)>,
}

impl<Q: Message> Sender<Q> {
    /// Queues one message.
    ///
    /// # Errors
    /// When the stream is closed.
    pub fn send(&mut self, message: &Q) -> Result<(), Status> {
        self.body
            .send_data(frame(message), false)
            .map_err(Status::transport)
    }

    /// Says that no more messages come.
    ///
    /// # Errors
    /// When the stream is closed already.
    pub fn finish(&mut self) -> Result<(), Status> {
        self.body
            .send_data(Bytes::new(), true)
            .map_err(Status::transport)
    }
}

/// The receiving half of a stream.
pub struct Receiver<A> {
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    buffer: BytesMut,
    receives: PhantomData<fn() -> A>,
}

impl<A> Receiver<A> {
    fn new(response: ResponseFuture) -> Receiver<A> {
        Receiver {
            response: Some(response),
            body: None,
            buffer: BytesMut::new(),
            receives: PhantomData,
        }
    }
}

impl<A: Message + Default> Receiver<A> {
    /// The next message; `None` when the stream ended well.
    ///
    /// # Errors
    /// The status with which the server ended the stream, or a broken connection.
    pub async fn next(&mut self) -> Result<Option<A>, Status> {
        if let Some(response) = self.response.take() {
            let (head, body) = response.await.map_err(Status::transport)?.into_parts();
            if head.status != 200 {
                return Err(Status::transport(format!("HTTP status {}", head.status)));
            }
            // An error before any message comes in the headers alone.
            ended(&head.headers)?;
            self.body = Some(body);
        }
        let Some(body) = self.body.as_mut() else {
            return Ok(None);
        };
        loop {
            if let Some(message) = take_frame(&mut self.buffer)? {
                let answer = A::decode(message);
                return answer.map(Some).map_err(Status::transport);
            }
            match body.data().await {
                Some(data) => {
                    let data = data.map_err(Status::transport)?;
                    body.flow_control()
                        .release_capacity(data.len())
                        .map_err(Status::transport)?;
                    self.buffer.extend_from_slice(&data);
                }
                None => {
                    let trailers = body.trailers().await.map_err(Status::transport)?;
                    self.body = None;
                    let none = HeaderMap::new();
                    ended(trailers.as_ref().unwrap_or(&none))?;
                    return Ok(None);
                }
            }
        }
    }

    /// As [`Receiver::next`], but a missing message after `limit` is `Ok(None)` too. For "nothing
    /// more comes" and for bounded waits.
    ///
    /// # Errors
    /// As [`Receiver::next`].
    pub async fn next_within(&mut self, limit: Duration) -> Result<Option<A>, Status> {
        tokio::time::timeout(limit, self.next())
            .await
            .unwrap_or(Ok(None))
    }
}

/// Takes one whole message off the buffer's front.
fn take_frame(buffer: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let Some(&[compressed, a, b, c, d]) = buffer.first_chunk::<5>() else {
        return Ok(None);
    };
    if compressed != 0 {
        return Err(Status::transport(
            "a compressed message, which was not asked for",
        ));
    }
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    if buffer.len() < 5 + len {
        return Ok(None);
    }
    buffer.advance(5);
    Ok(Some(buffer.split_to(len).freeze()))
}

/// The status in headers or trailers; none at all is fine (headers before messages).
fn ended(headers: &HeaderMap) -> Result<(), Status> {
    let Some(code) = headers.get("grpc-status") else {
        return Ok(());
    };
    let code = code.to_str().ok().and_then(|c| c.parse().ok());
    let code = code.ok_or_else(|| Status::transport("grpc-status is no number"))?;
    if code == 0 {
        return Ok(());
    }
    let text = headers
        .get("grpc-message")
        .map(|m| percent_decoded(m.as_bytes()));
    Err(Status {
        code,
        message: text.unwrap_or_default(),
    })
}

fn percent_decoded(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
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

/// Runs a case's async body on one thread.
///
/// # Panics
/// When the runtime cannot be made.
pub fn run<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs only a few descriptors")
        .block_on(body)
}
