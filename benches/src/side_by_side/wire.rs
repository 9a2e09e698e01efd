//! The cheapest gRPC calls a client can make: request frames are encoded beforehand or into a
//! reused buffer, answers are counted and only decoded where the workload needs them.
//! Called by `load`.

use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use prost::Message;
use tokio::net::TcpStream;

/// What goes wrong in a load run is only reported, never told apart.
pub type Failure = Box<dyn std::error::Error>;

/// One client's end of a shared connection, calling one method.
#[derive(Clone)]
pub struct Caller {
    send: SendRequest<Bytes>,
    uri: Uri,
    headers: HeaderMap,
}

/// Opens a connection and lets its task run on the current `LocalSet`.
///
/// # Errors
/// When the server cannot be reached.
pub async fn connect(addr: SocketAddr) -> Result<SendRequest<Bytes>, Failure> {
    let tcp = TcpStream::connect(addr).await?;
    tcp.set_nodelay(true)?;
    let (send, connection) = h2::client::Builder::new()
        .initial_window_size(8 << 20)
        .initial_connection_window_size(64 << 20)
        .max_concurrent_reset_streams(1024)
        .handshake::<_, Bytes>(tcp)
        .await?;
    tokio::task::spawn_local(async move {
        // Each call on it reports the break.
        let _ = connection.await;
    });
    Ok(send)
}

impl Caller {
    /// A caller of `path` (such as `/etcdserverpb.KV/Put`) on a connection.
    ///
    /// # Errors
    /// When the path is no URI.
    pub fn new(send: SendRequest<Bytes>, addr: SocketAddr, path: &str) -> Result<Caller, Failure> {
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        Ok(Caller {
            send,
            uri: format!("http://{addr}{path}").parse()?,
            headers,
        })
    }

    /// Opens a stream and sends `frame`; `last` says whether anything follows.
    ///
    /// # Errors
    /// When the connection or the stream breaks, or the server refuses.
    pub async fn open(
        &mut self,
        frame: Bytes,
        last: bool,
    ) -> Result<(RecvStream, SendStream<Bytes>), Failure> {
        std::future::poll_fn(|cx| self.send.poll_ready(cx)).await?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let (response, mut body) = self.send.send_request(request, false)?;
        body.send_data(frame, last)?;
        let response = response.await?;
        succeeded(response.headers())?;
        Ok((response.into_body(), body))
    }

    /// A unary call whose answer is only counted: its length in bytes.
    ///
    /// # Errors
    /// As [`Caller::open`], or a status other than OK.
    pub async fn count(&mut self, frame: Bytes) -> Result<usize, Failure> {
        let (mut body, _) = self.open(frame, true).await?;
        let mut len = 0;
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            len += data.len();
        }
        finished(&mut body).await?;
        Ok(len)
    }

    /// A unary call whose answer is decoded.
    ///
    /// # Errors
    /// As [`Caller::count`], or an answer that is no `A`.
    pub async fn call<A: Message + Default>(&mut self, frame: Bytes) -> Result<A, Failure> {
        let (mut body, _) = self.open(frame, true).await?;
        let mut messages = Messages::default();
        let answer = messages
            .next::<A>(&mut body)
            .await?
            .ok_or("no answer and no error")?;
        while let Some(data) = body.data().await {
            body.flow_control().release_capacity(data?.len())?;
        }
        finished(&mut body).await?;
        Ok(answer)
    }
}

/// Cuts a stream of data chunks into messages, without copying those that lie in one chunk.
#[derive(Default)]
pub struct Messages {
    buffer: BytesMut,
    chunk: Bytes,
}

impl Messages {
    /// The next message, `None` at the stream's end.
    ///
    /// # Errors
    /// When the stream breaks or the message is no `A`.
    pub async fn next<A: Message + Default>(
        &mut self,
        body: &mut RecvStream,
    ) -> Result<Option<A>, Failure> {
        loop {
            if let Some(message) = self.take() {
                return Ok(Some(A::decode(message)?));
            }
            let Some(data) = body.data().await else {
                return Ok(None);
            };
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            if self.chunk.is_empty() && self.buffer.is_empty() {
                self.chunk = data;
            } else {
                self.buffer
                    .extend_from_slice(&std::mem::take(&mut self.chunk));
                self.buffer.extend_from_slice(&data);
            }
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        if self.buffer.is_empty() {
            let len = whole(&self.chunk)?;
            self.chunk.advance(5);
            return Some(self.chunk.split_to(len));
        }
        let len = whole(&self.buffer)?;
        self.buffer.advance(5);
        Some(self.buffer.split_to(len).freeze())
    }
}

/// The length of the message at the front, if all of it is there.
fn whole(data: &[u8]) -> Option<usize> {
    let &[_, a, b, c, d] = data.first_chunk::<5>()?;
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    (data.len() >= 5 + len).then_some(len)
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

async fn finished(body: &mut RecvStream) -> Result<(), Failure> {
    match body.trailers().await? {
        Some(trailers) => succeeded(&trailers),
        None => Err("the answer has no trailers".into()),
    }
}

fn succeeded(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get("grpc-status") {
        Some(code) if code != "0" => {
            let text = headers
                .get("grpc-message")
                .map(|m| m.to_str().unwrap_or("?"));
            Err(format!("status {code:?}: {}", text.unwrap_or("")).into())
        }
        _ => Ok(()),
    }
}
