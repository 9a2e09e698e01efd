//! One websocket: a call whose messages come and go as those of the websocket.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::call::Call;
use super::json::{Shape, Values};
use super::websocket::{self, End, Reader, Said};
use super::{Link, status};
use crate::grpc::service::Service;
use crate::grpc::{Kind, Method, Status};
use crate::http::serve::poll_fill;
use crate::http::{Request, parse};
use crate::net::time::Time;

/// A websocket and its call.
struct Session<'a> {
    call: Call,
    method: Method,
    shape: &'a Shape,
    reader: Reader,
    /// What the client's last message holds that was not said yet.
    values: Values,
    has_said: bool,
}

enum Next {
    /// A message of the answer; none when that has ended well.
    Answer(Result<Option<Bytes>, Status>),
    Ping(Bytes),
    /// A first message that is none of the call's.
    Malformed(Status),
    End(End),
    Gone,
}

/// Runs a websocket to its end.
///
/// # Errors
/// What the socket reports; TimedOut for a client that does not take what is sent.
pub(super) async fn run<S: Service, T: Time, IO: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T, IO>,
    mut request: Request,
    method: Method,
    shape: &Shape,
) -> io::Result<()> {
    let Some(head) = websocket::accept(&request.headers) else {
        link.keep_alive = false;
        return link.refuse(StatusCode::BAD_REQUEST).await.map(drop);
    };
    link.send(head.as_bytes()).await?;
    let token = websocket::bearer(&request.headers).map(|token| format!("Bearer {token}"));
    if let Some(token) = token.and_then(|token| HeaderValue::try_from(token).ok()) {
        request.headers.insert(AUTHORIZATION, token);
    }
    let opened = Call::open(
        link.node,
        request.peer,
        link.drain,
        method,
        &request.headers,
    );
    let call = match opened {
        Ok(call) => call,
        Err(status) => return fail(link, &failure(method, &status)).await,
    };
    let message_max = parse::body_max(link.node.limits.message_bytes_max);
    let mut session = Session {
        call,
        method,
        shape,
        reader: Reader::new(message_max),
        values: Values::new(Bytes::new()),
        has_said: false,
    };
    loop {
        let next = poll_fn(|cx| session.poll(link, cx)).await;
        match next {
            Next::Answer(Ok(None)) => return link.send(&websocket::close(End::Normal)).await,
            Next::Answer(answer) => match answer.and_then(|message| session.line(message)) {
                Ok(line) => link.send(&websocket::text(&line)).await?,
                Err(status) => return fail(link, &failure(method, &status)).await,
            },
            Next::Ping(content) => link.send(&websocket::pong(&content)).await?,
            Next::Malformed(status) => return fail(link, &status::error(&status)).await,
            Next::End(end) => return link.send(&websocket::close(end)).await,
            Next::Gone => return Ok(()),
        }
    }
}

/// Tells a failure, and closes.
async fn fail<S: Service, T: Time, IO: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T, IO>,
    line: &[u8],
) -> io::Result<()> {
    link.send(&websocket::text(line)).await?;
    link.send(&websocket::close(End::Normal)).await
}

/// What is said of a call that failed.
fn failure(method: Method, status: &Status) -> Vec<u8> {
    match method.kind() {
        Kind::Unary => status::error(status),
        _ => status::stream_error(status),
    }
}

impl Session<'_> {
    fn line(&self, message: Option<Bytes>) -> Result<Vec<u8>, Status> {
        let message = message.unwrap_or_default();
        if self.method.kind() == Kind::Unary {
            return self.shape.write(message).map_err(status::internal);
        }
        let line = status::result(self.shape, Some(message))?;
        Ok(line.unwrap_or_default())
    }

    /// Answers go out first. The client's next message is taken once the last one is on its way.
    fn poll<S, T, IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        link: &mut Link<'_, S, T, IO>,
        cx: &mut Context<'_>,
    ) -> Poll<Next> {
        loop {
            if self.call.is_ready()
                && let Some(status) = self.say_next()
            {
                return Poll::Ready(Next::Malformed(status));
            }
            if let Poll::Ready(answer) = self.call.poll_next(cx) {
                return Poll::Ready(Next::Answer(answer));
            }
            if !self.call.is_ready() && !self.call.is_finished() {
                return Poll::Pending;
            }
            match self.reader.take(link.buf) {
                Err(end) => return Poll::Ready(Next::End(end)),
                Ok(Some(Said::Close)) => return Poll::Ready(Next::End(End::Normal)),
                Ok(Some(Said::Ping(content))) => return Poll::Ready(Next::Ping(content)),
                // A call that has all it needs passes over what else is said.
                Ok(Some(Said::Message(_))) if self.call.is_finished() => continue,
                Ok(Some(Said::Message(message))) => {
                    self.values = Values::new(message);
                    continue;
                }
                Ok(None) => {}
            }
            if link.buf.len() >= self.reader.buffer_max() {
                return Poll::Ready(Next::End(End::TooLarge));
            }
            match poll_fill(link.io, link.buf, cx) {
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(_) => return Poll::Ready(Next::Gone),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Says what comes next in the client's last message, if there is more of it. What is no
    /// message of the call ends the input, or the call if it comes first.
    fn say_next(&mut self) -> Option<Status> {
        let message = match self.values.next() {
            Ok(None) => return None,
            Ok(Some(value)) => self.shape.read(&value),
            Err(error) => Err(error),
        };
        let said = message
            .map_err(|error| status::malformed(self.method.kind(), error))
            .and_then(|message| self.call.say(&message));
        let has_said = std::mem::replace(&mut self.has_said, true);
        match said {
            Err(status) if !has_said => return Some(status),
            Err(_) => self.call.finish(),
            Ok(()) if self.method.kind() != Kind::Bidi => self.call.finish(),
            Ok(()) => {}
        }
        None
    }
}
