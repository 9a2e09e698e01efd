//! The closed loop: every client sends, waits for the answer and sends again, all on one thread.
//! Called by the binary, once for each workload, side and round.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use hdrhistogram::Histogram;
use loadgen::client::calls::paths::{PUT, RANGE};
use loadgen::client::{Channel, Options, Status, frame};
use proto::etcdserverpb as pb;
use tests::process::{Process, usage_of};
use tokio::task::JoinSet;

use super::workload::{self, Asks, Workload};

/// What goes wrong in a load run is only reported, never told apart.
pub type Failure = Box<dyn std::error::Error>;

/// Clients that write while watchers are measured.
const WATCH_WRITERS: usize = 8;

/// What one run of one workload gave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Operations completed in the measured time.
    pub operations: u64,
    /// Operations a second.
    pub throughput: f64,
    /// Median latency, microseconds.
    pub p50_us: f64,
    /// 99th percentile of latency, microseconds.
    pub p99_us: f64,
    /// Server processor time for an operation, microseconds.
    pub server_us: f64,
    /// This client's processor time for an operation, microseconds.
    pub client_us: f64,
    /// The server's resident memory at the end, in bytes.
    pub rss_bytes: u64,
}

/// What the clients of one run share.
struct Run {
    addr: SocketAddr,
    recording: Cell<bool>,
    stopping: Cell<bool>,
    latency: RefCell<Histogram<u64>>,
    /// The zero of the times that watch values carry.
    zero: Instant,
}

impl Run {
    fn record(&self, since: Instant) {
        if self.recording.get() {
            let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.latency.borrow_mut().saturating_record(nanos);
        }
    }
}

/// Runs `workload` against the server at `addr` for `warm_up` unmeasured and `duration` measured.
///
/// # Errors
/// When any request fails: a load with errors measures nothing.
pub async fn run(
    workload: &Workload,
    addr: SocketAddr,
    server: &Process,
    warm_up: Duration,
    duration: Duration,
) -> Result<Sample, Failure> {
    let run = Rc::new(Run {
        addr,
        recording: Cell::new(false),
        stopping: Cell::new(false),
        latency: RefCell::new(Histogram::new_with_bounds(1, 60_000_000_000, 3)?),
        zero: Instant::now(),
    });
    let mut clients = start(workload, &run).await?;
    tokio::time::sleep(warm_up).await;
    let (server_before, client_before) = (server.usage()?, usage_of("self")?);
    let begin = Instant::now();
    run.recording.set(true);
    tokio::time::sleep(duration).await;
    run.recording.set(false);
    let elapsed = begin.elapsed();
    let (server_after, client_after) = (server.usage()?, usage_of("self")?);
    run.stopping.set(true);
    if workload.asks == Asks::Watch {
        // Watchers wait for events, not for the end.
        while let Some(result) = clients.try_join_next() {
            result??;
        }
        clients.shutdown().await;
    }
    while let Some(result) = clients.join_next().await {
        result??;
    }
    let latency = run.latency.borrow();
    let operations = latency.len();
    let each = |nanos: u64| nanos as f64 / 1000.0 / operations.max(1) as f64;
    Ok(Sample {
        operations,
        throughput: operations as f64 / elapsed.as_secs_f64(),
        p50_us: latency.value_at_quantile(0.50) as f64 / 1000.0,
        p99_us: latency.value_at_quantile(0.99) as f64 / 1000.0,
        server_us: each(server_after.cpu_ns - server_before.cpu_ns),
        client_us: each(client_after.cpu_ns - client_before.cpu_ns),
        rss_bytes: server_after.rss_bytes,
    })
}

/// A connection to the server at `addr`.
///
/// # Errors
/// When it cannot be reached.
pub async fn connect(addr: SocketAddr) -> Result<Channel, Status> {
    let options = Options {
        endpoints: vec![format!("http://{addr}")],
        ..Options::default()
    };
    Channel::connect(&options, 0).await
}

/// Puts every key once, so that reads find something.
///
/// # Errors
/// When a put fails.
pub async fn fill(addr: SocketAddr) -> Result<(), Failure> {
    let send = connect(addr).await?;
    let frames = Rc::new(workload::put_frames());
    let mut fillers = JoinSet::new();
    for part in 0..64 {
        let channel = send.clone();
        let frames = frames.clone();
        fillers.spawn_local(async move {
            for frame in frames.iter().skip(part).step_by(64) {
                channel.count(PUT, frame.clone()).await?;
            }
            Ok::<(), Status>(())
        });
    }
    while let Some(result) = fillers.join_next().await {
        result??;
    }
    Ok(())
}

type Clients = JoinSet<Result<(), String>>;

async fn start(workload: &Workload, run: &Rc<Run>) -> Result<Clients, Failure> {
    let mut clients = JoinSet::new();
    let (path, frames) = match workload.asks {
        Asks::Put => (PUT, workload::put_frames()),
        Asks::Get => (RANGE, workload::get_frames()),
        Asks::Range => (RANGE, workload::range_frames()),
        Asks::CompareAndPut | Asks::Watch => ("", Vec::new()),
    };
    let frames: Rc<[Bytes]> = frames.into();
    let total = workload.connections * workload.clients;
    let mut created = Vec::new();
    for connection in 0..workload.connections {
        let send = connect(run.addr).await?;
        for client in 0..workload.clients {
            let number = connection * workload.clients + client;
            let channel = send.clone();
            let run = run.clone();
            match workload.asks {
                Asks::CompareAndPut => {
                    clients.spawn_local(told(compare_and_put(run, channel, number)));
                }
                Asks::Watch => {
                    let (tell, told_created) = tokio::sync::oneshot::channel();
                    created.push(told_created);
                    clients.spawn_local(told(watch(run, channel, tell)));
                }
                Asks::Put | Asks::Get | Asks::Range => {
                    let first = number * frames.len() / total;
                    let least = match workload.asks {
                        Asks::Range => workload::RANGE_KEYS * workload::VALUE_BYTES,
                        Asks::Get => workload::VALUE_BYTES,
                        _ => 1,
                    };
                    let frames = frames.clone();
                    clients.spawn_local(told(go_round(run, channel, path, frames, first, least)));
                }
            }
        }
    }
    for watcher in created {
        watcher.await?;
    }
    if workload.asks == Asks::Watch {
        let send = connect(run.addr).await?;
        for number in 0..WATCH_WRITERS {
            clients.spawn_local(told(write_times(run.clone(), send.clone(), number)));
        }
    }
    Ok(clients)
}

/// Errors cross the join as text.
async fn told(client: impl Future<Output = Result<(), Failure>>) -> Result<(), String> {
    client.await.map_err(|e| e.to_string())
}

/// Sends the prepared frames round and round. An answer shorter than `least` is an error: it
/// would mean that the server did not do the work.
async fn go_round(
    run: Rc<Run>,
    channel: Channel,
    path: &'static str,
    frames: Rc<[Bytes]>,
    first: usize,
    least: usize,
) -> Result<(), Failure> {
    for frame in frames.iter().cycle().skip(first) {
        if run.stopping.get() {
            break;
        }
        let begin = Instant::now();
        let len = channel.count(path, frame.clone()).await?;
        if len < least {
            return Err(format!("an answer of {len} bytes, at least {least} expected").into());
        }
        run.record(begin);
    }
    Ok(())
}

async fn compare_and_put(run: Rc<Run>, channel: Channel, number: usize) -> Result<(), Failure> {
    let (key, value) = (workload::own_key(number), workload::value(number));
    let put = pb::PutRequest {
        key: key.clone(),
        value: value.clone(),
        ..Default::default()
    };
    let answer = channel.put(&put).await?;
    let mut revision = answer.header.unwrap_or_default().revision;
    while !run.stopping.get() {
        let request = workload::compare_and_put(&key, &value, revision);
        let begin = Instant::now();
        let answer = channel.txn(&request).await?;
        run.record(begin);
        if !answer.succeeded {
            return Err("a compare failed on a key that nobody else writes".into());
        }
        revision = answer.header.unwrap_or_default().revision;
    }
    Ok(())
}

async fn watch(
    run: Rc<Run>,
    channel: Channel,
    created: tokio::sync::oneshot::Sender<()>,
) -> Result<(), Failure> {
    let create = pb::WatchCreateRequest {
        key: Bytes::from_static(b"/bench/watch/"),
        range_end: Bytes::from_static(b"/bench/watch0"),
        ..Default::default()
    };
    let mut stream = channel.watch(create)?;
    let first = stream.next().await?;
    if !first.is_some_and(|r| r.created && !r.canceled) {
        return Err("the watch was not created".into());
    }
    let _ = created.send(());
    while let Some(response) = stream.next().await? {
        for event in response.events {
            let kv = event.kv.ok_or("an event without a key")?;
            let sent = kv
                .value
                .first_chunk::<8>()
                .ok_or("a value without its time")?;
            run.record(run.zero + Duration::from_nanos(u64::from_be_bytes(*sent)));
        }
    }
    Err("the watch stream ended".into())
}

async fn write_times(run: Rc<Run>, channel: Channel, number: usize) -> Result<(), Failure> {
    let mut buffer = BytesMut::with_capacity(4096);
    let key = Bytes::from(format!("/bench/watch/{number:019}"));
    let mut value = workload::value(number).to_vec();
    while !run.stopping.get() {
        let now = u64::try_from(run.zero.elapsed().as_nanos())?;
        if let Some(front) = value.first_chunk_mut::<8>() {
            *front = now.to_be_bytes();
        }
        let value = Bytes::copy_from_slice(&value);
        let put = pb::PutRequest {
            key: key.clone(),
            value,
            ..Default::default()
        };
        channel.count(PUT, frame(&mut buffer, &put)).await?;
    }
    Ok(())
}
