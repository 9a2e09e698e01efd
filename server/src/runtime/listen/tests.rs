//! Both protocols over real sockets of a real executor.
#![allow(clippy::unwrap_used)]

use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::grpc::Limits;
use crate::grpc::conn::Node;
use crate::net::accept::{self, Bounds, Front};
use crate::net::drain::Drain;
use crate::net::port;
use crate::runtime::local::Executor;
use crate::testing::{Odd, PUT, Pages, RANGE, call, framed};

#[test]
fn grpc_and_http_are_served_on_one_port_until_the_node_drains() {
    let executor = Executor::new(Duration::ZERO).unwrap();
    executor.block_on(async {
        let addr = port::check("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = Listener::bind(addr).unwrap();
        assert!(matches!(
            port::check(addr),
            Err(port::PortError::PortInUse { .. })
        ));
        let node = Node::new(Odd::default(), LocalTime::default(), Limits::default());
        let drain = Drain::new();
        let front = Front {
            node: node.clone(),
            handler: Rc::new(Pages),
            drain: drain.clone(),
            bounds: Bounds::default(),
        };
        let serving = spawn_scheduled(async move {
            accept::serve(&listener, &front, &LocalSpawn).await;
        });

        let mut http = CoalescedStream::connect(addr).await.unwrap();
        http.write_all(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        http.flush().await.unwrap();
        let mut page = String::new();
        http.read_to_string(&mut page).await.unwrap();
        assert!(page.ends_with(r#"{"health":"true","reason":""}"#), "{page}");

        let stream = CoalescedStream::connect(addr).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = spawn_scheduled(connection);
        let answer = call(&client, RANGE, &[], framed(b"over tcp"))
            .await
            .unwrap();
        assert_eq!(answer.message(), "over tcp");
        let answer = call(&client, PUT, &[], framed(b"5000000")).await.unwrap();
        assert_eq!(answer.message().len(), 5_000_000);
        assert_eq!(node.counters.connections_total.get(), 2);

        drain.begin();
        serving.await;
        drop(client);
        let _ = connection.await;
    });
}
