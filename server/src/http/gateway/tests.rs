//! What of a request's head reaches the call.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::grpc::{Code, Inbound, Limits, Metadata, Method, Outbound, Reply, Service, Status};
use crate::testing::{Server, run};

/// Fails with what it was told.
#[derive(Debug)]
struct Parrot;

impl Service for Parrot {
    async fn unary(&self, _: Method, _: Bytes, said: &Metadata) -> Result<Reply, Status> {
        let token = said.token().unwrap_or("none").to_owned();
        let text = format!(
            "{token}, {}, {}",
            said.require_leader,
            said.deadline_ns.is_some()
        );
        Err(Status::new(Code::NotFound, text))
    }

    async fn stream(
        &self,
        _: Method,
        _: Inbound,
        _: Outbound,
        said: &Metadata,
    ) -> Result<(), Status> {
        Err(Status::new(
            Code::NotFound,
            said.token().unwrap_or("none").to_owned(),
        ))
    }
}

#[test]
fn the_token_and_what_else_the_head_says_reach_the_call() {
    run(async {
        for (path, headers, told) in [
            ("kv/range", "", "none, false, false"),
            (
                "kv/range",
                "Authorization: t0k.en\r\n",
                "t0k.en, false, false",
            ),
            (
                "kv/range",
                "authorization: Bearer t0k.en\r\n",
                "t0k.en, false, false",
            ),
            (
                "kv/range",
                "Grpc-Metadata-Token: t0k.en\r\n",
                "t0k.en, false, false",
            ),
            (
                "kv/range",
                "Grpc-Metadata-hasleader: true\r\n",
                "none, true, false",
            ),
            (
                "kv/range",
                "Grpc-Timeout: 9S\r\nToken: other\r\n",
                "none, false, true",
            ),
            ("watch", "Authorization: t0k.en\r\n", "t0k.en"),
            (
                "maintenance/snapshot",
                "Authorization: t0k.en\r\n",
                "t0k.en",
            ),
        ] {
            let server = Server::of(Parrot, Limits::default());
            let (mut io, _ended) = server.connect();
            let head = format!("POST /v3/{path} HTTP/1.1\r\nConnection: close\r\n{headers}");
            let wire = format!("{head}Content-Length: 2\r\n\r\n{{}}");
            io.write_all(wire.as_bytes()).await.unwrap();
            let mut answer = String::new();
            io.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
            assert!(
                answer.contains(&format!("\"{told}\"")),
                "{headers}: {answer}"
            );
        }
    });
}

#[test]
fn a_client_of_http_1_0_gets_lines_and_no_chunks() {
    run(async {
        let server = Server::new(Limits::default());
        let (mut io, ended) = server.connect();
        let wire = "POST /v3/watch HTTP/1.0\r\nConnection: keep-alive\r\n\
            Content-Length: 2\r\n\r\n{}";
        io.write_all(wire.as_bytes()).await.unwrap();
        let mut answer = String::new();
        io.read_to_string(&mut answer).await.unwrap();
        ended.await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            !head.contains("chunked") && head.contains("connection: close"),
            "{head}"
        );
        assert!(
            body.starts_with("{\"result\":") && body.ends_with("}\n"),
            "{body:?}"
        );
    });
}
