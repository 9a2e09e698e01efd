//! A client on a thread of its own that keeps so many unary calls open, on tokio: the other side of
//! the measured server, which does not count.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use hdrhistogram::Histogram;
use http::Request;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::histogram;

/// A message of 32 bytes in its gRPC frame.
const MESSAGE: &[u8] = b"\0\0\0\0\x20key-of-16-bytes!value-of-16-byte";

/// What the client saw, after the warm-up.
pub struct Seen {
    /// Latency of every call, nanoseconds.
    pub latency_ns: Histogram<u64>,
    /// How long it measured.
    pub elapsed: Duration,
}

/// Keeps `connections` x `streams` calls open against `addr`: first for `warm_up`, then `measuring`
/// is set while it measures for `length`.
///
/// # Panics
/// When the server fails.
pub fn run(
    addr: SocketAddr,
    connections: usize,
    streams: usize,
    warm_up: Duration,
    length: Duration,
    measuring: Arc<AtomicBool>,
) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime for the client");
    let latency = Rc::new(RefCell::new(histogram()));
    let open = latency.clone();
    let local = LocalSet::new();
    let elapsed = local.block_on(&runtime, async move {
        for _ in 0..connections {
            let tcp = TcpStream::connect(addr).await.expect("the server listens");
            tcp.set_nodelay(true).expect("a socket");
            let (send, connection) = h2::client::Builder::new()
                .initial_connection_window_size(16 << 20)
                .initial_max_send_streams(1024)
                .handshake::<_, Bytes>(tcp)
                .await
                .expect("HTTP/2");
            tokio::task::spawn_local(connection);
            for _ in 0..streams {
                let calls = calls(send.clone(), open.clone(), measuring.clone());
                tokio::task::spawn_local(calls);
            }
        }
        tokio::time::sleep(warm_up).await;
        let begin = Instant::now();
        measuring.store(true, Ordering::SeqCst);
        tokio::time::sleep(length).await;
        measuring.store(false, Ordering::SeqCst);
        begin.elapsed()
    });
    drop(local);
    Seen {
        latency_ns: latency.replace(histogram()),
        elapsed,
    }
}

async fn calls(
    mut send: SendRequest<Bytes>,
    latency: Rc<RefCell<Histogram<u64>>>,
    measuring: Arc<AtomicBool>,
) {
    loop {
        let begin = Instant::now();
        let request = Request::post("http://seam/etcdserverpb.KV/Put")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("user-agent", "seam")
            .body(())
            .expect("a valid request");
        send = send.ready().await.expect("an open connection");
        let (response, mut body) = send.send_request(request, false).expect("a stream");
        body.send_data(Bytes::from_static(MESSAGE), true)
            .expect("a small message");
        let mut answer = response.await.expect("an answer").into_body();
        while let Some(data) = answer.data().await {
            let n = data.expect("a message").len();
            answer
                .flow_control()
                .release_capacity(n)
                .expect("what was received");
        }
        let trailers = answer.trailers().await.expect("an end").expect("trailers");
        assert_eq!(trailers["grpc-status"], "0");
        if measuring.load(Ordering::Relaxed) {
            latency
                .borrow_mut()
                .saturating_record(begin.elapsed().as_nanos() as u64);
        }
    }
}
