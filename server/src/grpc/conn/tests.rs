//! Calls over a real HTTP/2 client: answers, refusals, cancelling, limits, leave-taking.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::grpc::{Code, Limits, Method};
use crate::testing::*;

fn server() -> Server {
    Server::new(Limits::default())
}

#[test]
fn a_unary_call_is_answered_with_data_and_trailers() {
    run(async {
        let server = server();
        let client = server.client().await;
        let answer = call(&client, RANGE, &[], framed(b"hello")).await.unwrap();
        assert_eq!(answer.http, 200);
        assert_eq!(answer.headers["content-type"], "application/grpc");
        assert!(!answer.headers.contains_key("grpc-status"));
        assert_eq!(answer.message(), "hello");
        assert_eq!(answer.status(), ("0", ""));
        let counters = server.node.counters.method(Method::KvRange);
        assert_eq!(counters.started.get(), 1);
        assert_eq!(counters.handled(Code::Ok), 1);
        assert_eq!((counters.received.get(), counters.sent.get()), (1, 1));
    });
}

#[test]
fn many_calls_of_many_sizes_at_once_get_their_own_answers() {
    run(async {
        let server = server();
        let client = server.client().await;
        let mut calls = Vec::new();
        for i in 0..300usize {
            let (client, n) = (client.clone(), i * i % 70_001);
            calls.push(tokio::task::spawn_local(async move {
                let text = n.to_string();
                let answer = call(&client, PUT, &[], framed(text.as_bytes()))
                    .await
                    .unwrap();
                assert_eq!(answer.message().len(), n);
                assert_eq!(answer.status(), ("0", ""));
            }));
        }
        for call in calls {
            call.await.unwrap();
        }
        assert_eq!(
            server.node.counters.method(Method::KvPut).handled(Code::Ok),
            300
        );
    });
}

#[test]
fn refusals_are_trailers_alone_with_grpc_gos_words() {
    run(async {
        let server = server();
        let client = server.client().await;
        let refused = |path: &'static str, headers: &'static [(&str, &str)], body: Bytes| {
            let client = client.clone();
            async move { call(&client, path, headers, body).await.unwrap() }
        };
        let answer = refused("/etcdserverpb.KV/Nope", &[], framed(b"")).await;
        let text = "unknown method Nope for service etcdserverpb.KV";
        assert_eq!((answer.http.as_u16(), answer.status()), (200, ("12", text)));

        let answer = refused(RANGE, &[("content-type", "text/plain")], framed(b"")).await;
        let text = "invalid gRPC request content-type \"text/plain\"";
        assert_eq!((answer.http.as_u16(), answer.status()), (415, ("3", text)));

        let answer = refused(RANGE, &[("grpc-encoding", "gzip")], framed(b"")).await;
        assert_eq!(answer.status().0, "12");
        assert_eq!(answer.headers["grpc-accept-encoding"], "identity");

        let answer = refused(COMPACT, &[], framed(b"")).await;
        let text = "etcdserver: mvcc: required revision has been compacted";
        assert_eq!(answer.status(), ("11", text));
        assert!(answer.trailers.is_empty() && answer.body.is_empty());

        assert_eq!(refused(RANGE, &[], Bytes::new()).await.status().0, "13");
        let two = [framed(b"a"), framed(b"b")].concat();
        assert_eq!(refused(RANGE, &[], two.into()).await.status().0, "13");
        let cut = framed(b"hello").slice(..7);
        assert_eq!(
            refused(RANGE, &[], cut).await.status(),
            ("13", "unexpected EOF")
        );
    });
}

#[test]
fn an_oversized_message_is_refused_and_the_connection_lives() {
    run(async {
        let server = server();
        let client = server.client().await;
        let big = framed(&vec![0; (2 << 20) + 1]);
        let answer = call(&client, RANGE, &[], big).await.unwrap();
        let text = "grpc: received message larger than max (2097153 vs. 2097152)";
        assert_eq!(answer.status(), ("8", text));
        let largest = framed(&vec![7; 2 << 20]);
        let answer = call(&client, RANGE, &[], largest).await.unwrap();
        assert_eq!(answer.message().len(), 2 << 20);
    });
}

#[test]
fn a_time_limit_ends_a_call_and_drops_its_work() {
    run(async {
        let server = server();
        let client = server.client().await;
        let begun = tokio::time::Instant::now();
        let limit = [("grpc-timeout", "250m")];
        let answer = call(&client, TXN, &limit, framed(b"")).await.unwrap();
        assert_eq!(answer.status(), ("4", "context deadline exceeded"));
        assert!(begun.elapsed() >= Duration::from_millis(250));
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert_eq!((server.seen.open.get(), server.seen.dropped.get()), (0, 1));
        let counters = server.node.counters.method(Method::KvTxn);
        assert_eq!(counters.handled(Code::DeadlineExceeded), 1);
    });
}

#[test]
fn cancelling_a_call_drops_its_work() {
    run(async {
        let server = server();
        let mut client = server.client().await;
        for path in [TXN, KEEP_ALIVE] {
            let (response, mut send) = client.send_request(request(path, &[]), false).unwrap();
            send.send_data(framed(b""), path == TXN).unwrap();
            settle().await;
            assert_eq!(server.seen.open.get(), 1, "{path}");
            send.send_reset(h2::Reason::CANCEL);
            drop(response);
            settle().await;
            assert_eq!(server.seen.open.get(), 0, "{path}");
        }
        assert_eq!(server.seen.dropped.get(), 2);
        assert_eq!(
            server
                .node
                .counters
                .method(Method::KvTxn)
                .handled(Code::Canceled),
            1
        );
    });
}

#[test]
fn a_connection_that_ends_drops_all_its_work() {
    run(async {
        let server = server();
        let (io, ended) = server.connect();
        let (mut send, connection) = h2::client::handshake(io).await.unwrap();
        let driver = tokio::task::spawn_local(connection);
        let mut kept = Vec::new();
        for _ in 0..10 {
            let (response, mut body) = send.send_request(request(TXN, &[]), false).unwrap();
            body.send_data(framed(b""), true).unwrap();
            kept.push(response);
        }
        settle().await;
        assert_eq!(server.seen.open.get(), 10);
        driver.abort();
        let _ = ended.await.unwrap();
        assert_eq!((server.seen.open.get(), server.seen.dropped.get()), (0, 10));
    });
}

#[test]
fn a_bidirectional_stream_echoes_until_the_client_ends_it() {
    run(async {
        let server = server();
        let mut client = server.client().await;
        let (response, mut send) = client.send_request(request(WATCH, &[]), false).unwrap();
        send.send_data(framed(b"one"), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), framed(b"one"));
        // Two messages in one frame, and one in two.
        let both = [framed(b"two"), framed(b"three")].concat();
        let (first, second) = both.split_at(10);
        send.send_data(Bytes::copy_from_slice(first), false)
            .unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), framed(b"two"));
        send.send_data(Bytes::copy_from_slice(second), true)
            .unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), framed(b"three"));
        assert!(body.data().await.is_none());
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        let counters = server.node.counters.method(Method::Watch);
        assert_eq!((counters.received.get(), counters.sent.get()), (3, 3));
    });
}

#[test]
fn a_client_that_does_not_read_costs_bounded_memory_and_holds_up_nobody() {
    run(async {
        let server = server();
        let mut lazy = server.client().await;
        let mut kept = Vec::new();
        for _ in 0..50 {
            let (response, mut send) = lazy.send_request(request(SNAPSHOT, &[]), false).unwrap();
            send.send_data(framed(b""), true).unwrap();
            kept.push((response, send));
        }
        settle().await;
        // 64 KiB a message: each stream waits at 256 KiB, all together at 4 MiB.
        let queued = server.seen.sent.get() * (64 << 10);
        assert!(
            queued <= (4 << 20) + (50 + 2) * (64 << 10) + (64 << 10),
            "{queued}"
        );
        assert!(queued > 1 << 20, "the streams did run: {queued}");

        let other = server.client().await;
        let answer = call(&other, RANGE, &[], framed(b"x")).await.unwrap();
        assert_eq!(answer.message(), "x");

        let before = server.seen.sent.get();
        drop(kept);
        settle().await;
        assert_eq!(server.seen.open.get(), 0);
        assert!(server.seen.sent.get() <= before + 50);
    });
}

#[test]
fn unread_answers_hold_back_further_calls_of_that_connection_only() {
    run(async {
        let server = server();
        let lazy = server.client().await;
        let mut kept = Vec::new();
        for _ in 0..100 {
            let mut lazy = lazy.clone();
            let (response, mut send) = lazy.send_request(request(PUT, &[]), false).unwrap();
            send.send_data(framed(b"1000000"), true).unwrap();
            kept.push(response);
        }
        settle().await;
        let begun = server.node.counters.method(Method::KvPut).received.get();
        assert!(
            (4..=6).contains(&begun),
            "{begun} answers of 1 MB are queued"
        );
        let reading = kept.into_iter().map(answer).map(tokio::task::spawn_local);
        for read in reading.collect::<Vec<_>>() {
            assert_eq!(read.await.unwrap().unwrap().message().len(), 1_000_000);
        }
    });
}

#[test]
fn half_sent_messages_have_a_common_bound() {
    run(async {
        let limits = Limits {
            partial_bytes_max: 1 << 20,
            ..Limits::default()
        };
        let server = Server::new(limits);
        let mut client = server.client().await;
        let mut kept = Vec::new();
        let half = framed(&vec![0; 1 << 20]).slice(..512 << 10);
        for _ in 0..8 {
            let mut ready = client.clone().ready().await.unwrap();
            let (response, mut send) = ready.send_request(request(RANGE, &[]), false).unwrap();
            send.send_data(half.clone(), false).unwrap();
            kept.push((response, send));
            settle().await;
        }
        client = client.ready().await.unwrap();
        let refused = server
            .node
            .counters
            .method(Method::KvRange)
            .handled(Code::ResourceExhausted);
        assert!(refused >= 5, "{refused}");
        drop(kept);
        settle().await;
        let answer = call(&client, RANGE, &[], framed(&vec![1; 1 << 20]))
            .await
            .unwrap();
        assert_eq!(answer.status(), ("0", ""));
    });
}

#[test]
fn draining_finishes_calls_ends_streams_and_closes() {
    run(async {
        let server = server();
        let (io, ended) = server.connect();
        let mut client = client(io).await;
        let (watch, mut watching) = client.send_request(request(WATCH, &[]), false).unwrap();
        watching.send_data(framed(b"w"), false).unwrap();
        let mut body = watch.await.unwrap().into_body();
        body.data().await.unwrap().unwrap();
        let (txn, mut send) = client.send_request(request(TXN, &[]), false).unwrap();
        send.send_data(framed(b""), true).unwrap();
        settle().await;

        let begun = tokio::time::Instant::now();
        server.drain.begin();
        assert!(body.data().await.is_none());
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "14");
        assert_eq!(trailers["grpc-message"], "etcdserver: server stopped");
        assert_eq!(begun.elapsed(), Duration::ZERO);
        // The call that never ends gets the drain time and no more.
        ended.await.unwrap().unwrap();
        assert!(begun.elapsed() >= server.node.limits.drain_timeout);
        assert!(txn.await.is_err());
    });
}

/// A client learns its last answers even if it writes once more before it reads them.
#[test]
fn a_connection_that_took_leave_stays_until_the_client_closes() {
    run(async {
        let server = server();
        let (mut io, ended) = server.connect();
        io.write_all(http2::frame::PREFACE).await.unwrap();
        io.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        settle().await;
        server.drain.begin();
        settle().await;
        // Its last frame so far asks for a sign of life, before it says what it takes no more.
        let mut said = [0; 1000];
        let len = io.read(&mut said).await.unwrap();
        let ping = &said[len - 17..len];
        assert_eq!(ping[3], http2::frame::kind::PING);
        let mut pong = ping.to_vec();
        pong[4] = http2::frame::flag::ACK;
        io.write_all(&pong).await.unwrap();
        let mut rest = Vec::new();
        io.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest[3], http2::frame::kind::GOAWAY);
        io.write_all(&pong).await.unwrap();
        settle().await;
        assert!(!ended.is_finished(), "closed under the client");
        drop(io);
        ended.await.unwrap().unwrap();
    });
}

#[test]
fn a_peer_that_shows_no_life_is_asked_and_then_given_up() {
    run(async {
        let server = server();
        let (io, ended) = server.connect();
        let (_send, connection) = h2::client::handshake(io).await.unwrap();
        let alive = tokio::task::spawn_local(connection);
        let begun = tokio::time::Instant::now();
        tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
        assert!(!ended.is_finished(), "a client that answers pings is kept");
        // A client that is frozen, its connection open.
        let (io, frozen) = server.connect();
        let (_send, connection) = h2::client::handshake(io).await.unwrap();
        let error = frozen.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert!(begun.elapsed() > Duration::from_secs(26 * 3600));
        drop(connection);
        alive.abort();
    });
}
