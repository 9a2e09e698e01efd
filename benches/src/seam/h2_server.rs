//! A unary server on one connection, as lean as `h2` allows, in turns: take every request that is
//! readable, handle all, and only then poll the connection again, which sends all answers at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use engine::env::channels::OneshotReceiver;
use futures::stream::{FuturesUnordered, Stream};
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Response};
use server::runtime::tcp::CoalescedStream;

/// Window of a stream, bytes: a request of the default size needs no update.
const STREAM_WINDOW: u32 = 2 << 20;

/// Window of a connection, bytes.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// What a handler says to one message.
pub enum Answer {
    /// Answered at once.
    Now(Bytes),
    /// Answered later.
    Later(OneshotReceiver<Bytes>),
}

struct Call {
    body: RecvStream,
    gathered: BytesMut,
    respond: Option<SendResponse<Bytes>>,
}

type Waiting = Pin<Box<dyn Future<Output = (SendResponse<Bytes>, Bytes)>>>;

/// Serves the connection to its end.
///
/// # Errors
/// When the peer breaks the protocol or the connection.
pub async fn serve(io: CoalescedStream, handle: impl Fn(Bytes) -> Answer) -> Result<(), h2::Error> {
    let mut connection = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(1024)
        .handshake::<_, Bytes>(io)
        .await?;
    let mut calls = Vec::new();
    let mut waiting = FuturesUnordered::new();
    poll_fn(move |cx| turn(cx, &mut connection, &mut calls, &mut waiting, &handle)).await
}

fn turn(
    cx: &mut Context<'_>,
    connection: &mut Connection<CoalescedStream, Bytes>,
    calls: &mut Vec<Call>,
    waiting: &mut FuturesUnordered<Waiting>,
    handle: &impl Fn(Bytes) -> Answer,
) -> Poll<Result<(), h2::Error>> {
    loop {
        loop {
            match connection.poll_accept(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(request)) => {
                    let (request, respond) = request?;
                    let body = request.into_body();
                    calls.push(Call {
                        body,
                        gathered: BytesMut::new(),
                        respond: Some(respond),
                    });
                }
            }
        }
        let mut answered = false;
        calls.retain_mut(|call| match poll_body(cx, call) {
            Poll::Pending => true,
            Poll::Ready(None) => false,
            Poll::Ready(Some(body)) => {
                if let Some(respond) = call.respond.take() {
                    match handle(body) {
                        Answer::Now(message) => answered |= answer(respond, message),
                        Answer::Later(later) => waiting.push(Box::pin(async move {
                            (respond, later.await.unwrap_or_default())
                        })),
                    }
                }
                false
            }
        });
        while let Poll::Ready(Some((respond, message))) = Pin::new(&mut *waiting).poll_next(cx) {
            answered |= answer(respond, message);
        }
        if !answered {
            return Poll::Pending;
        }
    }
}

/// Ready with the whole body, or with nothing if the stream was reset.
fn poll_body(cx: &mut Context<'_>, call: &mut Call) -> Poll<Option<Bytes>> {
    loop {
        match call.body.poll_data(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => return Poll::Ready(Some(call.gathered.split().freeze())),
            Poll::Ready(Some(Err(_))) => return Poll::Ready(None),
            Poll::Ready(Some(Ok(data))) => {
                if call.body.is_end_stream() && call.gathered.is_empty() {
                    return Poll::Ready(Some(data));
                }
                let _ = call.body.flow_control().release_capacity(data.len());
                call.gathered.extend_from_slice(&data);
            }
        }
    }
}

fn answer(mut respond: SendResponse<Bytes>, message: Bytes) -> bool {
    let mut head = Response::new(());
    let kind = HeaderValue::from_static("application/grpc");
    head.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    let Ok(mut stream) = respond.send_response(head, false) else {
        return true;
    };
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let sent = stream
        .send_data(message, false)
        .and_then(|()| stream.send_trailers(trailers));
    if sent.is_err() {
        stream.send_reset(Reason::INTERNAL_ERROR);
    }
    true
}
