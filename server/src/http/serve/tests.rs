//! HTTP/1 on the port that also speaks gRPC.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::grpc::Limits;
use crate::testing::*;

/// Sends all of `wire`, says that it was the last, and returns what came.
async fn exchange(server: &Server, wire: &[u8]) -> String {
    let (mut io, ended) = server.connect();
    io.write_all(wire).await.unwrap();
    io.shutdown().await.unwrap();
    let mut out = Vec::new();
    io.read_to_end(&mut out).await.unwrap();
    ended.await.unwrap().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    run(async {
        let server = Server::new(Limits::default());
        let wire = b"GET /health HTTP/1.1\r\n\r\n\
            POST /echo?q HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\
            HEAD /health HTTP/1.1\r\n\r\n\
            GET /nope HTTP/1.1\r\nConnection: close\r\n\r\n\
            GET /never HTTP/1.1\r\n\r\n";
        let got = exchange(&server, wire).await;
        let json = "content-type: application/json\r\ncontent-length: 29\r\n\r\n";
        let text = "content-type: text/plain; charset=utf-8\r\n";
        let want = [
            format!("HTTP/1.1 200 OK\r\n{json}{{\"health\":\"true\",\"reason\":\"\"}}"),
            format!("HTTP/1.1 200 OK\r\n{text}content-length: 10\r\n\r\nPOST q abc"),
            format!("HTTP/1.1 200 OK\r\n{json}"),
            format!("HTTP/1.1 404 Not Found\r\n{text}x-content-type-options: nosniff\r\n"),
            "connection: close\r\n".to_owned(),
            "content-length: 19\r\n\r\n404 page not found\n".to_owned(),
        ];
        assert_eq!(got, want.concat());
    });
}

#[test]
fn refusals_close_the_connection() {
    run(async {
        let server = Server::new(Limits::default());
        let got = exchange(&server, b"\x16\x03\x01\x02\x00").await;
        assert!(got.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{got}");
        assert!(got.contains("connection: close"), "{got}");
    });
}

#[test]
fn a_client_is_told_to_go_on_with_its_body() {
    run(async {
        let server = Server::new(Limits::default());
        let (mut io, _) = server.connect();
        let head = b"POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        io.write_all(head).await.unwrap();
        let mut told = [0; 25];
        io.read_exact(&mut told).await.unwrap();
        assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
        io.write_all(b"ok").await.unwrap();
        let mut line = [0; 15];
        io.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"HTTP/1.1 200 OK");
    });
}

#[test]
fn a_request_that_trickles_in_is_given_up() {
    run(async {
        let server = Server::new(Limits::default());
        let (mut io, ended) = server.connect();
        let begun = tokio::time::Instant::now();
        while !ended.is_finished() {
            let _ = io.write_all(b"G").await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let error = ended.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(70));
    });
}

#[test]
fn draining_closes_idle_connections_and_answers_those_begun() {
    run(async {
        let server = Server::new(Limits::default());
        let (mut idle, idle_ended) = server.connect();
        idle.write_all(b"GET /health HTTP/1.1\r\n\r\n")
            .await
            .unwrap();
        let (mut begun, begun_ended) = server.connect();
        begun.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
        settle().await;
        server.drain.begin();
        idle_ended.await.unwrap().unwrap();
        begun.write_all(b"\r\n").await.unwrap();
        begun_ended.await.unwrap().unwrap();
        let mut out = String::new();
        begun.read_to_string(&mut out).await.unwrap();
        assert!(
            out.starts_with("HTTP/1.1 200 OK") && out.contains("connection: close"),
            "{out}"
        );
    });
}
