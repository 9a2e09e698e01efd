//! `grpc.health.v1`: whether a service is served. The API's service hands its two methods here;
//! `boot` and the drain change the state.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use prost::Message;
use proto::grpc::health::v1::health_check_response::ServingStatus;
use proto::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse};

use super::message::Reply;
use super::status::{Code, Status};
use super::stream::{Inbound, Outbound};

/// Watchers of the health of one core; more wait in vain for their first answer.
const WATCHERS_MAX: usize = 4096;

/// The health that one core reports; clones share it.
///
/// etcd registers only the service `""`, SERVING from the start.
#[derive(Clone, Debug)]
pub struct Health(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    serving: Cell<bool>,
    version: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Default for Health {
    fn default() -> Self {
        let (serving, version) = (Cell::new(true), Cell::new(1));
        Self(Rc::new(Inner {
            serving,
            version,
            waiting: RefCell::default(),
        }))
    }
}

impl Health {
    /// Changes what is reported, and tells the watchers.
    pub fn set_serving(&self, serving: bool) {
        if self.0.serving.replace(serving) != serving {
            self.0.version.set(self.0.version.get() + 1);
            let waiting = self.0.waiting.take();
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// `Check`.
    ///
    /// # Errors
    /// NotFound `unknown service` for any name but `""`, as grpc-go.
    pub fn check(&self, message: Bytes) -> Result<Reply, Status> {
        if !decode(message)?.service.is_empty() {
            return Err(Status::new(Code::NotFound, "unknown service"));
        }
        Ok(self.reply(""))
    }

    /// `Watch`: the state now and at each change. A name that is not known is told as such and
    /// the stream stays open.
    ///
    /// # Errors
    /// A malformed request, too many watchers, or the end of the call.
    pub async fn watch(&self, mut inbound: Inbound, outbound: Outbound) -> Result<(), Status> {
        let service = decode(inbound.only().await?)?.service;
        loop {
            let seen = self.0.version.get();
            outbound.send(self.reply(&service)).await?;
            poll_fn(|cx| {
                if self.0.version.get() != seen {
                    return Poll::Ready(Ok(()));
                }
                let mut waiting = self.0.waiting.borrow_mut();
                if waiting.iter().any(|w| w.will_wake(cx.waker())) {
                    return Poll::Pending;
                }
                if waiting.len() >= WATCHERS_MAX {
                    return Poll::Ready(Err(engine::error::Error::TooManyRequests));
                }
                waiting.push(cx.waker().clone());
                Poll::Pending
            })
            .await?;
        }
    }

    fn reply(&self, service: &str) -> Reply {
        let status = match (service, self.0.serving.get()) {
            ("", true) => ServingStatus::Serving,
            ("", false) => ServingStatus::NotServing,
            _ => ServingStatus::ServiceUnknown,
        };
        Reply::encode(&HealthCheckResponse {
            status: status.into(),
        })
    }
}

fn decode(message: Bytes) -> Result<HealthCheckRequest, Status> {
    HealthCheckRequest::decode(message).map_err(malformed)
}

/// grpc-go's words for a message that does not decode.
pub fn malformed(error: prost::DecodeError) -> Status {
    Status::new(
        Code::Internal,
        format!("grpc: error unmarshalling request: {error}"),
    )
}
