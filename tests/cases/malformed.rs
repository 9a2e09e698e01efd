//! Connections that say nothing, garbage, broken and oversized frames: the server stays up, says
//! no where a protocol has a word for it, and serves everybody else.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tests::client::{Client, pb, run};
use tests::random::Random;
use tests::target::{Kind, Target};

/// What the server may grow by: well below a megabyte for each connection that says nothing.
const GROWTH_MB: u64 = 200;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// Sends bytes and reads until the server closes or is quiet.
fn talk(addr: SocketAddr, bytes: &[u8]) {
    let mut tcp = TcpStream::connect(addr).unwrap();
    tcp.set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    // The server may close before it has read everything.
    let _ = tcp.write_all(bytes);
    let mut sink = [0u8; 4096];
    while tcp.read(&mut sink).is_ok_and(|n| n > 0) {}
}

fn broken_inputs(random: &mut Random) -> Vec<Vec<u8>> {
    let with = |frames: &[Vec<u8>]| [PREFACE, &frame(4, 0, 0, &[]), &frames.concat()].concat();
    let mut all = vec![
        b"\0".to_vec(),
        b"GET / HTTP/1.1\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        PREFACE[..20].to_vec(),
        [b"POST /v3/kv/put HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n".as_slice()]
            .concat(),
        vec![b'A'; 1 << 20],
        // Frames on wrong streams, of wrong lengths, of unknown kinds, without headers before.
        with(&[frame(0, 0, 1, b"data without headers")]),
        with(&[frame(1, 4, 0, b"headers on stream 0")]),
        with(&[frame(1, 4, 1, &[0xff; 200])]),
        with(&[frame(9, 4, 1, b"continuation")]),
        with(&[
            frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            frame(8, 0, 0, &[0x7f; 4]),
        ]),
        with(&[frame(4, 0, 0, &[1, 2, 3])]),
        with(&[frame(6, 0, 0, &[0; 7])]),
        with(&[frame(200, 0xff, 77, &[1; 100])]),
        with(&[vec![0xff; 3000]]),
    ];
    for _ in 0..100 {
        let len = random.below(600) as usize;
        let noise: Vec<u8> = (0..len).map(|_| random.bits() as u8).collect();
        all.push(if random.one_in(2) {
            with(&[noise])
        } else {
            noise
        });
    }
    all
}

/// A gRPC message whose prefix or body is wrong has to be answered with a status.
async fn wrong_messages(addr: SocketAddr) {
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("no message at all", vec![]),
        ("half a prefix", vec![0, 0]),
        ("longer than said", vec![0, 0, 0, 0, 9, 1]),
        ("not protobuf", vec![0, 0, 0, 0, 3, 0xff, 0xff, 0xff]),
        ("compressed by nobody knows what", vec![1, 0, 0, 0, 1, 0]),
        ("four gigabytes", vec![0, 0xff, 0xff, 0xff, 0xff, 0]),
    ];
    for (name, body) in bodies {
        let code = raw_call(addr, "/etcdserverpb.KV/Put", &body).await;
        assert!(code.is_some_and(|c| c != 0), "{name}: {code:?}");
    }
    let code = raw_call(addr, "/etcdserverpb.KV/Unheard", &[0, 0, 0, 0, 0]).await;
    assert_eq!(code, Some(12), "an unknown method is unimplemented");
    let code = raw_call(addr, "/nothing.Here/Unheard", &[0, 0, 0, 0, 0]).await;
    assert_eq!(code, Some(12), "an unknown service is unimplemented");
}

/// The gRPC status with which a call of these very bytes ends; a reset stream counts as 13.
async fn raw_call(addr: SocketAddr, path: &str, body: &[u8]) -> Option<u32> {
    let tcp = tokio::net::TcpStream::connect(addr).await.unwrap();
    let (mut send, connection) = h2::client::handshake(tcp).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    let request = http::Request::post(format!("http://{addr}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, mut stream) = send.send_request(request, false).unwrap();
    stream
        .send_data(Bytes::copy_from_slice(body), true)
        .unwrap();
    let limit = Duration::from_secs(10);
    let Ok(response) = tokio::time::timeout(limit, response)
        .await
        .expect("an answer")
    else {
        return Some(13);
    };
    let code = |h: &http::HeaderMap| h.get("grpc-status")?.to_str().ok()?.parse().ok();
    if let Some(found) = code(response.headers()) {
        return Some(found);
    }
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        if data.is_err() {
            return Some(13);
        }
    }
    body.trailers().await.ok().flatten().and_then(|t| code(&t))
}

fn survives(kind: Kind) {
    let Some(target) = Target::start(kind, &[]).unwrap() else {
        return;
    };
    let addr = target.addr();
    let before = target.process().usage().unwrap().rss_bytes;
    // Half-open: connected, and nothing or only a beginning is said. Kept until the end.
    let mut half_open = Vec::new();
    for n in 0..1000 {
        let mut tcp = TcpStream::connect(addr).unwrap();
        tcp.write_all(&PREFACE[..n % PREFACE.len()]).unwrap();
        half_open.push(tcp);
    }
    for bytes in broken_inputs(&mut Random(1)) {
        talk(addr, &bytes);
    }
    run(async {
        wrong_messages(addr).await;
        let client = Client::connect(addr).await.unwrap();
        let error = oversized(&client).await;
        assert_eq!(error.code, 8, "over the gRPC limit: {error}");
        // Everybody else is served as ever.
        for n in 0..200 {
            client.put_pair(format!("k{n}"), "v").await.unwrap();
        }
        let all = client.get([0], [0]).await.unwrap();
        assert_eq!(all.count, 200, "garbage wrote a key");
    });
    let after = target.process().usage().unwrap().rss_bytes;
    let grown_mb = after.saturating_sub(before) >> 20;
    assert!(
        grown_mb < GROWTH_MB,
        "garbage grew the server by {grown_mb} MB"
    );
    drop(half_open);
}

/// A put of three megabytes: more than the server takes in one message.
async fn oversized(client: &Client) -> tests::client::Status {
    let mut value = BytesMut::new();
    value.put_bytes(b'x', 3 << 20);
    let key = Bytes::from_static(b"large");
    let put = pb::PutRequest {
        key,
        value: value.freeze(),
        ..Default::default()
    };
    client.put(&put).await.unwrap_err()
}

#[test]
fn etcd_survives_malformed_input() {
    survives(Kind::Etcd);
}

#[test]
fn stoa_survives_malformed_input() {
    survives(Kind::Stoa(2));
}
