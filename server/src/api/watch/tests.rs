//! Carrying a watch stream over a real connection, with a made-up hub behind it.
#![allow(clippy::unwrap_used)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use engine::event::{Event, KeyValue, Previous};
use engine::ids::Revision;
use engine::watch::{EventBatch, Kind};
use prost::Message;

use super::*;
use crate::grpc::wire::HeaderBase;
use crate::grpc::{Limits, Metadata, Method, Reply, Service};
use crate::testing::{self, Server, WATCH, call, framed, settle};

/// A hub that answers as told, and notes what it was asked.
#[derive(Default)]
struct Script {
    asked: RefCell<Vec<String>>,
    output: RefCell<VecDeque<Response>>,
    /// Gives events without end.
    flood: Cell<bool>,
    given: Cell<usize>,
    waker: Cell<Option<Waker>>,
}

impl Script {
    fn say(&self, watch_id: i64, kind: Kind) {
        let response = Response {
            watch_id,
            header_revision: 4,
            kind,
        };
        self.output.borrow_mut().push_back(response);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Feed for Script {
    async fn create(&self, request: &CreateRequest) -> Result<(), Error> {
        self.asked
            .borrow_mut()
            .push(format!("create {}", request.watch_id));
        self.say(request.watch_id, Kind::Created);
        Ok(())
    }

    fn cancel(&self, watch_id: i64) {
        self.asked.borrow_mut().push(format!("cancel {watch_id}"));
        self.say(
            watch_id,
            Kind::Canceled {
                compact_revision: 0,
            },
        );
    }

    fn progress(&self) {
        self.asked.borrow_mut().push("progress".to_owned());
        self.say(-1, Kind::Progress);
    }

    async fn next(&self) -> Vec<Response> {
        poll_fn(|cx| {
            if self.flood.get() {
                self.given.set(self.given.get() + 1);
                self.say(0, events(100_000));
            }
            match self.output.borrow_mut().pop_front() {
                Some(response) => Poll::Ready(vec![response]),
                None => {
                    self.waker.set(Some(cx.waker().clone()));
                    Poll::Pending
                }
            }
        })
        .await
    }
}

fn events(bytes: usize) -> Kind {
    let kv = KeyValue {
        key: "k".into(),
        value: vec![1; bytes].into(),
        ..Default::default()
    };
    let revision = Revision::new(4, 0);
    let event = Event {
        revision,
        kv,
        delete: false,
        prev: Previous::Absent,
    };
    let batch = Arc::new(EventBatch::new(vec![event]));
    Kind::Events {
        batch,
        prev_kv: false,
        fragment: false,
    }
}

struct Watches(Rc<Script>);

impl Service for Watches {
    async fn unary(&self, _: Method, message: Bytes, _: &Metadata) -> Result<Reply, Status> {
        Ok(Reply::from_pieces([message]))
    }

    async fn stream(
        &self,
        _: Method,
        inbound: Inbound,
        outbound: Outbound,
        _: &Metadata,
    ) -> Result<(), Status> {
        let base = HeaderBase::new(1, 2);
        let send = |response: &Response| {
            outbound.send_now(wire::watch(base.at(response.header_revision, 3), response))
        };
        carry(&*self.0, inbound, &outbound, send).await
    }
}

fn ask(union: RequestUnion) -> Bytes {
    framed(
        &pb::WatchRequest {
            request_union: Some(union),
        }
        .encode_to_vec(),
    )
}

fn create(watch_id: i64) -> Bytes {
    let request = pb::WatchCreateRequest {
        watch_id,
        ..Default::default()
    };
    ask(RequestUnion::CreateRequest(request))
}

#[test]
fn requests_go_in_and_responses_come_out_in_order() {
    testing::run(async {
        let script = Rc::new(Script::default());
        let server = Server::of(Watches(script.clone()), Limits::default());
        let mut client = server.client().await;
        let (response, mut send) = client
            .send_request(testing::request(WATCH, &[]), false)
            .unwrap();
        send.send_data(create(7), false).unwrap();
        send.send_data(
            ask(RequestUnion::ProgressRequest(Default::default())),
            false,
        )
        .unwrap();
        send.send_data(framed(b""), false).unwrap();
        settle().await;
        script.say(7, events(10));
        let cancel = pb::WatchCancelRequest { watch_id: 7 };
        send.send_data(ask(RequestUnion::CancelRequest(cancel)), false)
            .unwrap();
        settle().await;
        // Who has said his last goes on listening.
        send.send_data(Bytes::new(), true).unwrap();
        settle().await;
        script.say(8, events(10));
        settle().await;
        server.drain.begin();
        let answer = testing::answer(response).await.unwrap();
        assert_eq!(answer.status(), ("14", "etcdserver: server stopped"));
        assert_eq!(*script.asked.borrow(), ["create 7", "progress", "cancel 7"]);

        let mut decoder = crate::grpc::message::Decoder::new(1 << 20);
        let mut body = &answer.body[..];
        let mut seen = Vec::new();
        while let Some(message) = decoder.push(&mut body).unwrap() {
            let got = pb::WatchResponse::decode(message).unwrap();
            seen.push((got.watch_id, got.created, got.canceled, got.events.len()));
        }
        let want = [
            (7, true, false, 0),
            (-1, false, false, 0),
            (7, false, false, 1),
            (7, false, true, 0),
            (8, false, false, 1),
        ];
        assert_eq!(seen, want);
    });
}

#[test]
fn nothing_is_taken_for_a_client_that_does_not_read_but_it_is_still_heard() {
    testing::run(async {
        let script = Rc::new(Script::default());
        script.flood.set(true);
        let server = Server::of(Watches(script.clone()), Limits::default());
        let mut client = server.client().await;
        let (response, mut send) = client
            .send_request(testing::request(WATCH, &[]), false)
            .unwrap();
        send.send_data(create(1), false).unwrap();
        settle().await;
        let given = script.given.get();
        assert!(
            (1..10).contains(&given),
            "{given} answers of 100 KB were taken"
        );
        send.send_data(create(2), false).unwrap();
        settle().await;
        assert_eq!(*script.asked.borrow(), ["create 1", "create 2"]);
        drop((response, send));
    });
}

#[test]
fn a_request_that_does_not_decode_ends_the_stream() {
    testing::run(async {
        let server = Server::of(Watches(Rc::default()), Limits::default());
        let client = server.client().await;
        let answer = call(&client, WATCH, &[], framed(b"\xff\xff"))
            .await
            .unwrap();
        assert_eq!(answer.status().0, "13");
        assert!(
            answer
                .status()
                .1
                .starts_with("grpc: error unmarshalling request")
        );
    });
}
