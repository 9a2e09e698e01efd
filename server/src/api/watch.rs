//! Watch: one stream of watchers between a client and the engine's hub. What is sent and when is
//! the hub's affair; here it is only carried, with back-pressure.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use engine::env::Env;
use engine::error::Error;
use engine::shard::client::WatchStream;
use engine::watch::{CreateRequest, Response};
use proto::etcdserverpb as pb;
use proto::etcdserverpb::watch_request::RequestUnion;

use super::{Api, convert, decode};
use crate::grpc::{Inbound, Outbound, Status, wire};

/// Where watchers are made and their output comes from.
trait Feed {
    fn create(&self, request: &CreateRequest) -> impl Future<Output = Result<(), Error>>;
    fn cancel(&self, watch_id: i64);
    fn progress(&self);
    fn next(&self) -> impl Future<Output = Vec<Response>>;
}

impl<E: Env> Feed for WatchStream<E> {
    async fn create(&self, request: &CreateRequest) -> Result<(), Error> {
        WatchStream::create(self, request).await
    }

    fn cancel(&self, watch_id: i64) {
        WatchStream::cancel(self, watch_id);
    }

    fn progress(&self) {
        WatchStream::progress(self);
    }

    async fn next(&self) -> Vec<Response> {
        WatchStream::next(self).await
    }
}

impl<E: Env> Api<E> {
    pub(super) async fn watch(&self, inbound: Inbound, outbound: Outbound) -> Result<(), Status> {
        let feed = self.core.watch_open();
        let send = |response: &Response| {
            let header = self.header(response.header_revision);
            outbound.send_now(wire::watch(header, response))
        };
        carry(&feed, inbound, &outbound, send).await
    }
}

/// What comes next on a stream.
enum Next {
    Output(Vec<Response>),
    Input(Result<Option<Bytes>, Status>),
}

/// Carries requests in and responses out until the call is cancelled: as in etcd a client that has
/// said its last goes on listening. While the client does not read, nothing is taken from the hub,
/// whose queue is bounded.
async fn carry(
    feed: &impl Feed,
    mut inbound: Inbound,
    outbound: &Outbound,
    send: impl Fn(&Response) -> Result<(), crate::grpc::stream::Gone>,
) -> Result<(), Status> {
    let mut output = pin!(feed.next());
    let mut is_heard = true;
    loop {
        let next = poll_fn(|cx| {
            if outbound.poll_room(cx).is_ready()
                && let Poll::Ready(responses) = output.as_mut().poll(cx)
            {
                return Poll::Ready(Next::Output(responses));
            }
            match is_heard {
                true => inbound.poll_next(cx).map(Next::Input),
                false => Poll::Pending,
            }
        });
        match next.await {
            Next::Output(responses) => {
                output.set(feed.next());
                responses.iter().try_for_each(&send)?;
            }
            Next::Input(message) => match message? {
                Some(message) => request(feed, message).await?,
                None => is_heard = false,
            },
        }
    }
}

async fn request(feed: &impl Feed, message: Bytes) -> Result<(), Status> {
    let request: pb::WatchRequest = decode(message)?;
    match request.request_union {
        Some(RequestUnion::CreateRequest(request)) => {
            feed.create(&convert::watch_create(request)).await?;
        }
        Some(RequestUnion::CancelRequest(request)) => feed.cancel(request.watch_id),
        Some(RequestUnion::ProgressRequest(_)) => feed.progress(),
        // As etcd: a request without content is passed over.
        None => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
