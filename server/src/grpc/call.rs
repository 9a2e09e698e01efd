//! One call from its headers to its status. `conn` runs one of these futures per open call.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use super::conn::Context;
use super::counters::bump;
use super::deadline::Deadline;
use super::link::Head;
use super::message::Reply;
use super::metadata::Metadata;
use super::method::{Kind, Method};
use super::service::Service;
use super::status::{Code, Status};
use super::stream::{self, Inbound, Outbound};
use crate::net::time::Time;

/// Runs a call to its end. `id` is its stream.
pub(super) async fn run<S: Service, T: Time>(context: Rc<Context<S, T>>, id: u32, head: Head) {
    let (method, meta) = match head {
        Ok(admitted) => admitted,
        Err(refusal) => {
            context.link.refuse(id, refusal.http, &refusal.status);
            return;
        }
    };
    bump(&context.node.counters.method(method).started, 1);
    match method.kind() {
        Kind::Unary => unary(&context, method, &meta, id).await,
        // Boxed, so that the future of a unary call stays small.
        Kind::ServerStream | Kind::Bidi => {
            Box::pin(streaming(&context, method, &meta, id)).await;
        }
    }
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
    id: u32,
) {
    let counters = context.node.counters.method(method);
    let link = &context.link;
    let mut inbound = Inbound::new(link.clone(), id);
    let end = {
        let mut work = pin!(async {
            let message = inbound.only().await?;
            // Work is begun only when its answer has somewhere to go.
            if !link.meter.has_room() {
                poll_fn(|cx| link.meter.poll_room(id, cx)).await;
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
            if link.poll_gone(id, cx).is_ready() {
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
    link.meter.forget(id);
    let code = finish_unary(context, end, id);
    if code == Code::Ok {
        bump(&counters.sent, 1);
    }
    context.node.counters.finish(method, code);
}

fn finish_unary<S, T>(context: &Context<S, T>, end: End<Result<Reply, Status>>, id: u32) -> Code {
    match end {
        End::Done(Ok(reply)) => {
            stream::answer(&context.link, id, reply);
            Code::Ok
        }
        End::Done(Err(status)) | End::Stopped(status) => {
            context.link.refuse(id, 200, &status);
            status.code
        }
        End::Gone => Code::Canceled,
    }
}

async fn streaming<S: Service, T: Time>(
    context: &Context<S, T>,
    method: Method,
    meta: &Metadata,
    id: u32,
) {
    let mark = context.node.limits.stream_queued_bytes_max;
    let outbound = Outbound::new(context.link.clone(), id, mark);
    let inbound = Inbound::new(context.link.clone(), id);
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
