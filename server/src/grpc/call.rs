//! One call from its headers to its status. `conn` runs one of these futures per open call.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use h2::RecvStream;
use h2::server::SendResponse;
use http::{Method as HttpMethod, Request};

use super::conn::Context;
use super::counters::bump;
use super::deadline::Deadline;
use super::message::{Reply, Rope};
use super::metadata::{Metadata, Refusal};
use super::method::{Kind, Method};
use super::service::Service;
use super::status::{Code, Status};
use super::stream::{self, Inbound, Outbound};
use crate::net::time::Time;

/// Runs a call to its end.
pub(super) async fn run<S: Service, T: Time>(
    context: Rc<Context<S, T>>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Rope>,
) {
    let (head, body) = request.into_parts();
    let (method, meta) = match admit(&context, &head) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            stream::refuse_headers(&mut respond, &refusal);
            return;
        }
    };
    bump(&context.node.counters.method(method).started, 1);
    let inbound = Inbound::new(body, context.shared.clone());
    match method.kind() {
        Kind::Unary => unary(&context, method, &meta, inbound, respond).await,
        // Boxed, so that the future of a unary call stays small.
        Kind::ServerStream | Kind::Bidi => {
            Box::pin(streaming(&context, method, &meta, inbound, respond)).await;
        }
    }
}

fn admit<S, T>(
    context: &Context<S, T>,
    head: &http::request::Parts,
) -> Result<(Method, Metadata), Refusal> {
    if head.method != HttpMethod::POST {
        let name = head.method.as_str();
        let text = format!("Received a HEADERS frame with :method {name:?} which should be POST");
        return Err(Refusal::new(405, Code::Internal, text));
    }
    let meta = Metadata::parse(&head.headers, context.peer, context.deadlines.now())?;
    let path = head.uri.path();
    let method = Method::from_path(path)
        .ok_or_else(|| Refusal::new(200, Code::Unimplemented, Method::unknown(path)))?;
    Ok((method, meta))
}

/// How a call's work ended.
enum End<R> {
    Done(R),
    /// Cancelled by the client, or its connection is gone.
    Gone,
    Stopped(Status),
}

fn expired() -> Status {
    Status::new(Code::DeadlineExceeded, "context deadline exceeded")
}

async fn unary<S: Service, T: Time>(
    context: &Context<S, T>,
    method: Method,
    meta: &Metadata,
    mut inbound: Inbound,
    mut respond: SendResponse<Rope>,
) {
    let counters = context.node.counters.method(method);
    let stream = respond.stream_id().as_u32();
    let end = {
        let mut work = pin!(async {
            let message = inbound.only().await?;
            // Work is begun only when its answer has somewhere to go.
            if !context.shared.meter.has_room() {
                poll_fn(|cx| context.shared.meter.poll_room(stream, cx)).await;
            }
            bump(&counters.received, 1);
            context.node.service.unary(method, message, meta).await
        });
        let mut deadline = Deadline::new(&context.deadlines, meta.deadline_ns);
        let drain = method.waits().then(|| context.drain.watch());
        poll_fn(|cx| {
            if let Poll::Ready(result) = work.as_mut().poll(cx) {
                return Poll::Ready(End::Done(result));
            }
            if respond.poll_reset(cx).is_ready() {
                return Poll::Ready(End::Gone);
            }
            if drain
                .as_ref()
                .is_some_and(|drain| drain.poll(cx).is_ready())
            {
                return Poll::Ready(End::Stopped(engine::error::Error::Stopped.into()));
            }
            deadline.poll(cx).map(|()| End::Stopped(expired()))
        })
        .await
    };
    context.shared.meter.forget(stream);
    let code = finish_unary(context, end, &mut respond);
    if code == Code::Ok {
        bump(&counters.sent, 1);
    }
    context.node.counters.finish(method, code);
    context.shared.queued.set(true);
}

fn finish_unary<S, T>(
    context: &Context<S, T>,
    end: End<Result<Reply, Status>>,
    respond: &mut SendResponse<Rope>,
) -> Code {
    match end {
        End::Done(Ok(reply)) => {
            stream::answer(respond, reply, &context.shared);
            Code::Ok
        }
        End::Done(Err(status)) | End::Stopped(status) => {
            stream::refuse(respond, http::StatusCode::OK, &status);
            status.code
        }
        End::Gone => Code::Canceled,
    }
}

async fn streaming<S: Service, T: Time>(
    context: &Context<S, T>,
    method: Method,
    meta: &Metadata,
    inbound: Inbound,
    respond: SendResponse<Rope>,
) {
    let mark = context.node.limits.stream_queued_bytes_max;
    let outbound = Outbound::new(respond, mark, context.shared.clone());
    let received = inbound.messages();
    let end = {
        let work = context
            .node
            .service
            .stream(method, inbound, outbound.clone(), meta);
        run_stream(context, meta, pin!(work), &outbound).await
    };
    let result = match end {
        End::Done(result) => result,
        End::Gone => Err(Status::new(Code::Canceled, "context canceled")),
        End::Stopped(status) => Err(status),
    };
    outbound.finish(result.as_ref().copied());
    let counters = context.node.counters.method(method);
    bump(&counters.received, received.get());
    bump(&counters.sent, outbound.messages());
    context
        .node
        .counters
        .finish(method, result.err().map_or(Code::Ok, |s| s.code));
}

/// Lets the service work until it is done, the client is gone, time is up or the node drains: a
/// stream may last for ever, so it ends then and its client goes on elsewhere.
async fn run_stream<S, T>(
    context: &Context<S, T>,
    meta: &Metadata,
    mut work: Pin<&mut impl Future<Output = Result<(), Status>>>,
    outbound: &Outbound,
) -> End<Result<(), Status>> {
    let mut deadline = Deadline::new(&context.deadlines, meta.deadline_ns);
    let drain = context.drain.watch();
    poll_fn(|cx| {
        if let Poll::Ready(result) = work.as_mut().poll(cx) {
            return Poll::Ready(End::Done(result));
        }
        if outbound.poll_gone(cx).is_ready() {
            return Poll::Ready(End::Gone);
        }
        if drain.poll(cx).is_ready() {
            return Poll::Ready(End::Stopped(engine::error::Error::Stopped.into()));
        }
        deadline.poll(cx).map(|()| End::Stopped(expired()))
    })
    .await
}
