//! Lists 100,000 keys of 1 KiB as kube-apiserver does, in pages and in one go, from Stoa and from
//! etcd, and prints what a list costs the server and how much its memory grows. Run it as
//! `cargo run --release -p benches --bin listing -- [--rounds 5] [--keys 100000]`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use benches::client::connect;
use benches::side_by_side::results::Spread;
use bytes::Bytes;
use clap::Parser;
use loadgen::client::Channel;
use proto::etcdserverpb as pb;
use tests::peer;
use tests::process::Process;
use tests::target::{Kind, Target};

/// What goes wrong is only reported, never told apart.
type Failure = Box<dyn std::error::Error>;

/// Stoa and etcd list the same keys, one after the other.
#[derive(Parser)]
struct Args {
    /// How often both servers are measured, each time on fresh data
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Lists of each kind in each round
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    lists: u32,
    /// Keys
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
    /// Bytes of each value
    #[arg(long, default_value_t = 1024)]
    value_size: usize,
    /// Keys of a page; kube-apiserver asks for 500 unless told otherwise
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(i64).range(1..))]
    page: i64,
}

/// How a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Range with limit and the last key, at the first page's revision.
    Pages,
    /// One Range.
    Whole,
    /// One RangeStream; etcd below 3.7 has none.
    Stream,
}

/// What one way cost.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    /// Server processor time of one list, ms.
    server_ms: f64,
    /// One list from end to end, ms.
    list_ms: f64,
    /// From the request to the first message, ms.
    first_ms: f64,
    /// How much the server's memory grew at most, MiB.
    grown_mib: f64,
}

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    match measure(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("listing: {e}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout)]
fn measure(args: &Args) -> Result<(), Failure> {
    let etcd = peer::system_etcd().ok_or("no etcd found (set STOA_PEER_ETCD)")?;
    println!(
        "{} keys of {} bytes, etcd {}",
        args.keys, args.value_size, etcd.version
    );
    let sides: [(&str, Kind, &[Way]); 2] = [
        (
            "stoa",
            Kind::Stoa(2),
            &[Way::Stream, Way::Pages, Way::Whole],
        ),
        ("etcd", Kind::EtcdAt(etcd.path), &[Way::Pages, Way::Whole]),
    ];
    let mut all: Vec<(&str, Way, Vec<Cost>)> = Vec::new();
    for _ in 0..args.rounds {
        for (name, kind, ways) in &sides {
            for (way, cost) in one_server(args, kind, ways)? {
                match all.iter_mut().find(|(n, w, _)| n == name && *w == way) {
                    Some((_, _, costs)) => costs.push(cost),
                    None => all.push((name, way, vec![cost])),
                }
            }
        }
    }
    println!("server  way       server ms   list ms  first ms  grown MiB");
    for (name, way, costs) in &all {
        let of = |figure: fn(&Cost) -> f64| median(costs.iter().map(figure));
        println!(
            "{name:<7} {:<8} {:>10.1} {:>9.1} {:>9.2} {:>10.1}",
            format!("{way:?}"),
            of(|c| c.server_ms),
            of(|c| c.list_ms),
            of(|c| c.first_ms),
            of(|c| c.grown_mib),
        );
    }
    Ok(())
}

fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    Spread::of(figures).map_or(f64::NAN, |spread| spread.median)
}

fn one_server(args: &Args, kind: &Kind, ways: &[Way]) -> Result<Vec<(Way, Cost)>, Failure> {
    let mut target = Target::start(kind.clone(), &[])?.ok_or("the server is not here")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    let costs = local.block_on(&runtime, async {
        fill(args, &target).await?;
        let mut costs = Vec::new();
        for way in ways {
            costs.push((*way, lists(args, *way, &target).await?));
        }
        Ok::<_, Failure>(costs)
    })?;
    target.stop()?;
    Ok(costs)
}

fn key(n: usize) -> Bytes {
    format!("/registry/pods/namespace-{:04}/pod-{n:08}", n % 1000).into()
}

async fn fill(args: &Args, target: &Target) -> Result<(), Failure> {
    let channel = connect(target.addr()).await?;
    let value = Bytes::from(vec![b'v'; args.value_size]);
    let keys: Vec<usize> = (0..args.keys).collect();
    for some in keys.chunks(100) {
        let put = |n: &usize| pb::RequestOp {
            request: Some(pb::request_op::Request::RequestPut(pb::PutRequest {
                key: key(*n),
                value: value.clone(),
                ..Default::default()
            })),
        };
        let txn = pb::TxnRequest {
            success: some.iter().map(put).collect(),
            ..Default::default()
        };
        channel.txn(&txn).await?;
    }
    Ok(())
}

async fn lists(args: &Args, way: Way, target: &Target) -> Result<Cost, Failure> {
    let channel = connect(target.addr()).await?;
    let process = target.process();
    let small = process.usage()?.rss_bytes;
    // Once without a clock; its memory counts.
    let (_, mut peak) = list(args, way, &channel, process).await?;
    let before = process.usage()?;
    let (mut first, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..args.lists {
        let begun = Instant::now();
        let (first_after, rss) = list(args, way, &channel, process).await?;
        whole.push(begun.elapsed().as_secs_f64() * 1e3);
        first.push(first_after.as_secs_f64() * 1e3);
        peak = peak.max(rss);
    }
    let cpu_ns = process.usage()?.cpu_ns - before.cpu_ns;
    Ok(Cost {
        server_ms: cpu_ns as f64 / 1e6 / f64::from(args.lists),
        list_ms: median(whole),
        first_ms: median(first),
        grown_mib: peak.saturating_sub(small) as f64 / f64::from(1 << 20),
    })
}

/// One list: the time to its first message, and the most memory seen on the way.
async fn list(
    args: &Args,
    way: Way,
    channel: &Channel,
    process: &Process,
) -> Result<(Duration, u64), Failure> {
    let mut request = pb::RangeRequest {
        key: Bytes::from_static(b"/registry/pods/"),
        range_end: Bytes::from_static(b"/registry/pods0"),
        limit: if way == Way::Pages { args.page } else { 0 },
        ..Default::default()
    };
    let begun = Instant::now();
    let (mut first, mut peak, mut seen) = (None, 0, 0);
    if way == Way::Stream {
        let mut stream = channel.range_stream(&request)?;
        while let Some(part) = stream.next().await? {
            first.get_or_insert_with(|| begun.elapsed());
            seen += part.range_response.map_or(0, |r| r.kvs.len());
            peak = peak.max(process.usage()?.rss_bytes);
        }
    } else {
        loop {
            let part = channel.range(&request).await?;
            first.get_or_insert_with(|| begun.elapsed());
            peak = peak.max(process.usage()?.rss_bytes);
            seen += part.kvs.len();
            let last = part.kvs.last().filter(|_| part.more);
            let Some(last) = last else { break };
            request.key = [&last.key[..], &[0]].concat().into();
            request.revision = part.header.unwrap_or_default().revision;
        }
    }
    if seen != args.keys {
        return Err(format!("{seen} of {} keys listed", args.keys).into());
    }
    Ok((first.unwrap_or_default(), peak))
}
