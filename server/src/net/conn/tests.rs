//! Telling protocols apart, silent connections, and broken HTTP/2 of every kind.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::grpc::Limits;
use crate::testing::*;

#[test]
fn both_protocols_are_known_however_the_bytes_arrive() {
    run(async {
        let server = Server::new(Limits::default());
        for cut in 1..5 {
            let (mut io, _) = server.connect();
            let wire = b"POST /echo HTTP/1.1\r\nConnection: close\r\n\r\n";
            for piece in wire.chunks(cut) {
                io.write_all(piece).await.unwrap();
                settle().await;
            }
            let mut out = String::new();
            io.read_to_string(&mut out).await.unwrap();
            assert!(out.starts_with("HTTP/1.1 200 OK"), "{out}");
        }
        // A client of HTTP/2 through a pipe that holds little more than the first settings.
        let (near, far) = tokio::io::duplex(100);
        server.run(far);
        let client = client(near).await;
        let answer = call(&client, RANGE, &[], framed(b"slow")).await.unwrap();
        assert_eq!(answer.message(), "slow");
    });
}

#[test]
fn silent_connections_end_in_time_and_the_oldest_give_way() {
    run(async {
        let server = Server::new(Limits::default());
        let begun = tokio::time::Instant::now();
        let mut kept: Vec<_> = (0..3000).map(|_| server.connect()).collect();
        settle().await;
        assert_eq!(server.silent.len(), 1024);
        assert!(kept[0].1.is_finished() && !kept[2999].1.is_finished());

        let client = server.client().await;
        let answer = call(&client, RANGE, &[], framed(b"x")).await.unwrap();
        assert_eq!(answer.message(), "x");
        assert_eq!(begun.elapsed(), Duration::ZERO);

        let (_io, last) = kept.pop().unwrap();
        let error = last.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        settle().await;
        assert!(server.silent.is_empty());
        assert_eq!(begun.elapsed(), server.node.limits.handshake_timeout);
        // One that stops within the preface ends as well.
        let (mut io, ended) = server.connect();
        io.write_all(b"PRI * HT").await.unwrap();
        let error = ended.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    });
}

/// What an HTTP/2 client sends for two calls, as bytes to break.
async fn recorded() -> Vec<u8> {
    let (near, mut far) = tokio::io::duplex(64 << 10);
    let (mut send, connection) = h2::client::handshake(near).await.unwrap();
    tokio::task::spawn_local(connection);
    for path in [RANGE, WATCH] {
        let headers = [
            ("token", "abc"),
            ("grpc-timeout", "5S"),
            ("hasleader", "true"),
        ];
        let (_, mut body) = send.send_request(request(path, &headers), false).unwrap();
        body.send_data(framed(&[7; 100]), path == RANGE).unwrap();
        settle().await;
        // Keep the stream open: dropping it would send a reset.
        std::mem::forget(body);
    }
    settle().await;
    let mut wire = vec![0; 16 << 10];
    let n = far.read(&mut wire).await.unwrap();
    wire.truncate(n);
    assert!(wire.len() > 300 && wire.starts_with(b"PRI * HTTP/2.0"));
    wire
}

#[test]
fn broken_http2_ends_its_connection_and_nothing_else() {
    run(async {
        let server = Server::new(Limits::default());
        let wire = recorded().await;
        let other = server.client().await;
        let mut dice = Dice(7);
        for i in 0..3000 {
            let (mut io, ended) = server.connect();
            // Mostly past the preface and the first settings.
            let keep = if dice.below(8) == 0 {
                0
            } else {
                24 + dice.below(60)
            };
            let mut broken = wire[..keep].to_vec();
            broken.extend(dice.mutate(&wire[keep..]));
            let _ = io.write_all(&broken).await;
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            let _ = io.shutdown().await;
            let mut sink = Vec::new();
            let _ = io.read_to_end(&mut sink).await;
            assert!(sink.len() < 64 << 10);
            drop(io);
            // It may end well or badly; it must end, without a panic.
            let _ = ended.await.unwrap();
            if i % 100 == 0 {
                let answer = call(&other, RANGE, &[], framed(b"alive")).await.unwrap();
                assert_eq!(answer.message(), "alive");
            }
        }
        assert_eq!(server.seen.open.get(), 0);
        let begun = &server.node.counters;
        let begun: u64 = begun.rows().map(|(_, row)| row.started.get()).sum();
        assert!(
            begun > 500,
            "{begun}: the bytes are too broken to test the calls"
        );
    });
}

#[test]
fn floods_of_resets_and_headers_end_the_connection() {
    run(async {
        let server = Server::new(Limits::default());
        // Rapid reset: calls cancelled in the same burst.
        let (io, ended) = server.connect();
        let (send, connection) = h2::client::handshake(io).await.unwrap();
        let driver = tokio::task::spawn_local(connection);
        let mut held = Vec::new();
        for _ in 0..2000 {
            let mut send = send.clone().ready().await.unwrap();
            let (response, mut body) = send.send_request(request(TXN, &[]), false).unwrap();
            body.send_reset(h2::Reason::CANCEL);
            held.push(response);
        }
        settle().await;
        drop(held);
        settle().await;
        assert_eq!(server.seen.open.get(), 0);
        driver.abort();
        let _ = ended.await.unwrap();

        // Headers without end.
        let (mut io, ended) = server.connect();
        io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await
            .unwrap();
        let mut frame = vec![0, 0x40, 0, 1, 0, 0, 0, 0, 1];
        frame.extend([0x41; 0x4000]);
        let mut sent = 0;
        while !ended.is_finished() && sent < 1000 {
            let _ = io.write_all(&frame).await;
            frame[3] = 9;
            sent += 1;
            settle().await;
        }
        assert!(sent < 100, "{sent} frames of headers were taken");
        assert!(ended.await.unwrap().is_err());
    });
}
