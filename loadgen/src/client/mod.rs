//! A cheap gRPC client of any etcd v3 server, on one thread: a put costs it a few microseconds.
//!
//! A [`Channel`] is one connection, which many callers share; it needs tokio's `LocalSet`. The
//! commands of etcd's services are in `calls`. Request frames may be made beforehand ([`frame`])
//! and answers merely counted ([`Channel::count`]), for loads in which the client must not be what
//! is measured.

pub mod calls;
mod endpoint;
mod link;
mod status;

use std::rc::Rc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use proto::etcdserverpb as pb;

pub use endpoint::{Endpoint, Options};
use link::{Body, Keep, Link};
pub use status::Status;

/// A connection to one server.
#[derive(Clone)]
pub struct Channel {
    link: Rc<Link>,
    endpoint: Rc<Endpoint>,
}

impl Channel {
    /// Makes the `number`th connection of a run: the endpoints take turns. Logs in if there is a
    /// user.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for options that cannot be meant, `UNAVAILABLE` when the server is not
    /// reached, and what it says of the user.
    pub async fn connect(options: &Options, number: usize) -> Result<Channel, Status> {
        let invalid = |why: String| Status::new(Status::INVALID_ARGUMENT, why);
        let places = options.places().map_err(invalid)?;
        let endpoint = places[number % places.len()].clone();
        let tcp = endpoint.dial(options.dial_limit()).await?;
        let authority = endpoint.authority();
        let link = if endpoint.tls {
            let tls = options.tls().map_err(invalid)?;
            let secured = endpoint.secure(&tls, tcp).await?;
            link::open(secured, "https", authority)
        } else {
            link::open(tcp, "http", authority)
        };
        let channel = Channel {
            link,
            endpoint: Rc::new(endpoint),
        };
        if let Some((name, password)) = options.login()? {
            let login = pb::AuthenticateRequest { name, password };
            let answer = within(options.dial_limit(), channel.authenticate(&login)).await?;
            channel.link.set_token(answer.token);
        }
        Ok(channel)
    }

    /// The server at the other end.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Why no further call can be made on it, if so: the connection broke.
    #[must_use]
    pub fn broken(&self) -> Option<Status> {
        self.link.broken()
    }

    /// Calls `path` (such as `/etcdserverpb.KV/Put`) with a request made by [`frame`]; of the
    /// answer only the length is taken, in bytes.
    ///
    /// # Errors
    /// What the server says, or `UNAVAILABLE`.
    pub async fn count(&self, path: &str, frame: Bytes) -> Result<usize, Status> {
        let body = self.link.call(path, frame, Keep::Length, true)?;
        body.end().await?;
        Ok(body.call.len.get())
    }

    /// As [`Channel::count`], with the answer decoded.
    ///
    /// # Errors
    /// As [`Channel::count`]; `INTERNAL` when the answer is no `A`.
    pub async fn unary<A: Message + Default>(&self, path: &str, frame: Bytes) -> Result<A, Status> {
        let mut body = self.link.call(path, frame, Keep::Whole, true)?;
        body.end().await?;
        let message = body.next().await?;
        decode(message.ok_or_else(|| Status::new(Status::INTERNAL, "no answer and no error"))?)
    }

    /// Opens a stream of answers `A` with a first request; `last`: the only one.
    ///
    /// # Errors
    /// `UNAVAILABLE`; what the server says comes with the first answer.
    pub fn stream<A: Message + Default>(
        &self,
        path: &str,
        frame: Bytes,
        last: bool,
    ) -> Result<Stream<A>, Status> {
        let body = self.link.call(path, frame, Keep::Messages, last)?;
        Ok(Stream {
            body,
            answers: std::marker::PhantomData,
        })
    }
}

/// A stream of answers, and of requests; dropped, it is cancelled. A server that is not read has to
/// wait once some MiB lie here.
pub struct Stream<A> {
    body: Body,
    answers: std::marker::PhantomData<A>,
}

impl<A: Message + Default> Stream<A> {
    /// The next answer, `None` at the end.
    ///
    /// # Errors
    /// How the stream ended, if not well; `INTERNAL` when an answer is no `A`.
    pub async fn next(&mut self) -> Result<Option<A>, Status> {
        self.body.next().await?.map(decode).transpose()
    }

    /// Sends a further request.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn send(&self, request: &impl Message) -> Result<(), Status> {
        self.body.send(frame(&mut BytesMut::new(), request), false)
    }

    /// Says that no request follows.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn finish(&self) -> Result<(), Status> {
        self.body.send(Bytes::new(), true)
    }
}

fn decode<A: Message + Default>(message: Bytes) -> Result<A, Status> {
    let bad = |e| Status::new(Status::INTERNAL, format!("the answer is malformed: {e}"));
    A::decode(message).map_err(bad)
}

/// Encodes a request frame into `buffer`, whose space is used again once the frame is sent.
///
/// # Panics
/// Above 4 GiB, which no server takes.
pub fn frame(buffer: &mut BytesMut, message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    buffer.reserve(5 + len);
    buffer.put_u8(0);
    buffer.put_u32(u32::try_from(len).expect("requests are below 4 GiB"));
    message.encode(buffer).expect("the space was reserved");
    buffer.split().freeze()
}

/// Gives a call a time limit.
///
/// # Errors
/// `DEADLINE_EXCEEDED`, or as the call.
pub async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let late = |_| {
        let text = format!("no answer within {limit:?}");
        Status::new(Status::DEADLINE_EXCEEDED, text)
    };
    tokio::time::timeout(limit, call).await.map_err(late)?
}
