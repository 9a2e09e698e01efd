//! What the tests of `grpc`, `net` and `http` share: a service that does odd things on request,
//! a clock that tests wind, and an HTTP/2 client.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use crate::grpc::conn::Node;
use crate::grpc::{Inbound, Limits, Metadata, Method, Outbound, Reply, Service, Status};
use crate::http::access::Access;
use crate::http::{Handler, Request as HttpRequest, Response};
use crate::net::conn::Silent;
use crate::net::drain::Drain;
use crate::net::time::Time;

/// Runs a test on one thread with a clock that jumps when nothing else is to be done.
pub fn run<F: Future>(test: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

#[derive(Clone, Copy, Debug)]
pub struct TestTime(tokio::time::Instant);

impl TestTime {
    pub fn new() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Time for TestTime {
    type Sleep = Pin<Box<dyn Future<Output = ()>>>;

    fn now_ns(&self) -> u64 {
        crate::net::time::ns(self.0.elapsed())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// What [`Odd`] saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Calls begun and not ended.
    pub open: Cell<usize>,
    /// Calls whose future was dropped before its end.
    pub dropped: Cell<usize>,
    /// Messages that streams have sent.
    pub sent: Cell<usize>,
}

struct Running<'a>(&'a Seen, bool);

impl<'a> Running<'a> {
    fn new(seen: &'a Seen) -> Self {
        seen.open.set(seen.open.get() + 1);
        Self(seen, false)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        if !self.1 {
            self.0.dropped.set(self.0.dropped.get() + 1);
        }
    }
}

/// A service for tests. Range echoes; Put answers as many bytes as its message says in digits;
/// Txn never answers; Compact fails; Watch echoes each message; Snapshot sends 64 KiB messages
/// for ever; LeaseKeepAlive neither reads nor sends.
#[derive(Clone, Debug, Default)]
pub struct Odd(pub Rc<Seen>);

impl Service for Odd {
    async fn unary(&self, method: Method, message: Bytes, _: &Metadata) -> Result<Reply, Status> {
        let mut running = Running::new(&self.0);
        let result = match method {
            Method::KvRange => Ok(Reply::from_pieces([message])),
            Method::KvPut => {
                let n = std::str::from_utf8(&message).unwrap().parse().unwrap();
                Ok(Reply::from_pieces([Bytes::from(vec![b'x'; n])]))
            }
            Method::KvTxn => pending().await,
            _ => Err(engine::error::Error::Compacted.into()),
        };
        running.1 = true;
        result
    }

    async fn stream(
        &self,
        method: Method,
        mut inbound: Inbound,
        outbound: Outbound,
        _: &Metadata,
    ) -> Result<(), Status> {
        let mut running = Running::new(&self.0);
        match method {
            Method::Watch => {
                while let Some(message) = inbound.next().await? {
                    outbound.send(Reply::from_pieces([message])).await?;
                }
            }
            Method::Snapshot => loop {
                let chunk = Bytes::from(vec![0; 64 << 10]);
                outbound.send(Reply::from_pieces([chunk])).await?;
                self.0.sent.set(self.0.sent.get() + 1);
            },
            _ => pending().await,
        }
        running.1 = true;
        Ok(())
    }
}

/// `/health` and an echo; everything else is not found.
#[derive(Debug)]
pub struct Pages;

impl Handler for Pages {
    fn access(&self) -> &Access {
        static ACCESS: std::sync::OnceLock<Access> = std::sync::OnceLock::new();
        ACCESS.get_or_init(|| Access::new(&[], &[], true))
    }

    async fn handle(&self, request: HttpRequest) -> Response {
        match request.path.as_str() {
            "/health" => Response::json(StatusCode::OK, r#"{"health":"true","reason":""}"#),
            "/echo" => {
                let text = format!("{} {} ", request.method, request.query);
                let mut body = BytesMut::from(text.as_bytes());
                body.put_slice(&request.body);
                Response::text(StatusCode::OK, body.freeze())
            }
            _ => Response::not_found(),
        }
    }
}

pub struct Server<S = Odd> {
    pub node: Rc<Node<S, TestTime>>,
    pub seen: Rc<Seen>,
    pub silent: Rc<Silent>,
    pub drain: Drain,
}

impl Server {
    pub fn new(limits: Limits) -> Self {
        let service = Odd::default();
        let seen = service.0.clone();
        Self {
            seen,
            ..Self::of(service, limits)
        }
    }
}

impl<S: Service> Server<S> {
    pub fn of(service: S, limits: Limits) -> Self {
        let node = Node::new(service, TestTime::new(), limits);
        let seen = Rc::default();
        Self {
            node,
            seen,
            silent: Silent::new(1024),
            drain: Drain::new(),
        }
    }

    /// A connection to this server; the task returns how it ended.
    pub fn connect(&self) -> (DuplexStream, tokio::task::JoinHandle<std::io::Result<()>>) {
        let (client, server) = tokio::io::duplex(64 << 10);
        (client, self.run(server))
    }

    pub fn run(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + 'static,
    ) -> tokio::task::JoinHandle<std::io::Result<()>> {
        let (node, silent, drain) = (self.node.clone(), self.silent.clone(), self.drain.clone());
        let pages = Rc::new(Pages);
        tokio::task::spawn_local(async move {
            crate::net::conn::serve(node, pages, silent, io, None, drain).await
        })
    }

    /// An HTTP/2 client on a new connection.
    pub async fn client(&self) -> SendRequest<Bytes> {
        let (io, _) = self.connect();
        client(io).await
    }
}

pub async fn client(io: DuplexStream) -> SendRequest<Bytes> {
    let (send, connection) = h2::client::handshake(io).await.unwrap();
    tokio::task::spawn_local(connection);
    send
}

pub fn framed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(message.len() as u32);
    out.put_slice(message);
    out.freeze()
}

pub fn request(path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut builder = Request::post(format!("http://stoa{path}"));
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        builder = builder.header("content-type", "application/grpc");
    }
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap()
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub http: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: HeaderMap,
}

impl Answer {
    pub fn status(&self) -> (&str, &str) {
        let of = |name| {
            let value = self.trailers.get(name).or_else(|| self.headers.get(name));
            value.map_or("", |v| v.to_str().unwrap())
        };
        (of("grpc-status"), of("grpc-message"))
    }

    /// The only message.
    pub fn message(&self) -> Bytes {
        let mut body = self.body.clone();
        assert_eq!(body.get_u8(), 0);
        assert_eq!(body.get_u32() as usize, body.len());
        body
    }
}

pub async fn answer(response: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.await?.into_parts();
    let mut body = BytesMut::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        stream.flow_control().release_capacity(chunk.len()).unwrap();
        body.put_slice(&chunk);
    }
    let trailers = stream.trailers().await?.unwrap_or_default();
    Ok(Answer {
        http: head.status,
        headers: head.headers,
        body: body.freeze(),
        trailers,
    })
}

/// One call with this body, as it is.
pub async fn call(
    client: &SendRequest<Bytes>,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Answer, h2::Error> {
    let mut client = client.clone().ready().await?;
    let (response, mut send) = client.send_request(request(path, headers), false)?;
    send.send_data(body, true)?;
    answer(response).await
}

pub const RANGE: &str = "/etcdserverpb.KV/Range";
pub const PUT: &str = "/etcdserverpb.KV/Put";
pub const TXN: &str = "/etcdserverpb.KV/Txn";
pub const COMPACT: &str = "/etcdserverpb.KV/Compact";
pub const WATCH: &str = "/etcdserverpb.Watch/Watch";
pub const SNAPSHOT: &str = "/etcdserverpb.Maintenance/Snapshot";
pub const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

/// Lets every task run until none can go on.
pub async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// A small seeded generator: the same seed gives the same tests.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.roll() % n.max(1) as u64) as usize
    }

    /// Flips, cuts, repeats or inserts a few bytes.
    pub fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(out.len());
            match self.below(6) {
                0 if !out.is_empty() => out[at] ^= 1 << self.below(8),
                1 if !out.is_empty() => out[at] = self.roll() as u8,
                2 => out.truncate(at),
                3 => out.insert(at.min(out.len()), self.roll() as u8),
                4 if !out.is_empty() => {
                    let end = at + self.below(out.len() - at);
                    let piece = out[at..end].to_vec();
                    out.splice(at..at, piece);
                }
                _ => {
                    let n = self.below(8);
                    out.extend((0..n).map(|_| 0xff));
                }
            }
        }
        out
    }
}
