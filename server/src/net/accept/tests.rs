//! Taking connections: bounds, failures, leave-taking.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;

use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use super::*;
use crate::grpc::Limits;
use crate::testing::{self, *};

struct Queue(RefCell<mpsc::Receiver<io::Result<DuplexStream>>>);

impl Listen for Queue {
    type Io = DuplexStream;

    async fn accept(&self) -> io::Result<(DuplexStream, Option<SocketAddr>)> {
        let next = poll_fn(|cx| self.0.borrow_mut().poll_recv(cx)).await;
        match next {
            Some(result) => result.map(|io| (io, None)),
            None => std::future::pending().await,
        }
    }
}

struct Local;

impl Spawn for Local {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        tokio::task::spawn_local(task);
    }
}

#[test]
fn connections_are_bounded_failures_are_survived_and_draining_ends_it() {
    testing::run(async {
        let (sender, receiver) = mpsc::channel(8);
        let node = Node::new(Odd::default(), TestTime::new(), Limits::default());
        let drain = Drain::new();
        let bounds = Bounds {
            connections_max: 2,
            silent_max: 10,
        };
        let handler = Rc::new(Pages);
        let front = Front {
            node: node.clone(),
            handler,
            drain: drain.clone(),
            bounds,
        };
        let serving = tokio::task::spawn_local(async move {
            serve(&Queue(RefCell::new(receiver)), &front, &Local).await;
        });
        let connect = || {
            let (near, far) = tokio::io::duplex(1 << 16);
            sender.try_send(Ok(far)).unwrap();
            near
        };
        let first = client(connect()).await;
        sender.try_send(Err(io::ErrorKind::Other.into())).unwrap();
        let second = client(connect()).await;
        for client in [&first, &second] {
            let answer = call(client, RANGE, &[], framed(b"x")).await.unwrap();
            assert_eq!(answer.message(), "x");
        }
        let refused = client(connect()).await;
        assert!(call(&refused, RANGE, &[], framed(b"x")).await.is_err());
        assert_eq!(node.counters.connections_refused.get(), 1);
        assert_eq!(node.counters.connections.get(), 2);

        drain.begin();
        serving.await.unwrap();
        settle().await;
        assert_eq!(node.counters.connections.get(), 0);
        assert!(call(&first, RANGE, &[], framed(b"x")).await.is_err());
    });
}
