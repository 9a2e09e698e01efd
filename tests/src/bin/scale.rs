//! How a server bears size: memory under many idle watchers and many keys, and how long it takes
//! to start again. `cargo run --release -p tests --bin scale -- [--etcd] [--shards 2]
//! [--watchers 100000] [--keys 1000000]`; not part of the test run.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tests::client::{Client, create, pb, run};
use tests::peer;
use tests::target::{Kind, Target};
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error>;

const CONNECTIONS: usize = 10;
const WATCHES_A_STREAM: usize = 1000;
const KEYS_A_TXN: usize = 100;
const VALUE_BYTES: usize = 256;

struct Args {
    kind: Kind,
    watchers: usize,
    keys: usize,
}

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    match args().and_then(|args| measure(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("scale: {e}");
            ExitCode::FAILURE
        }
    }
}

fn args() -> Result<Args, Failure> {
    let mut args = Args {
        kind: Kind::Stoa(2),
        watchers: 100_000,
        keys: 1_000_000,
    };
    let mut rest = std::env::args().skip(1);
    while let Some(flag) = rest.next() {
        let mut number = || -> Result<usize, Failure> {
            let value = rest
                .next()
                .ok_or_else(|| format!("{flag} wants a number"))?;
            value
                .parse()
                .map_err(|e| format!("{flag} {value}: {e}").into())
        };
        match flag.as_str() {
            "--etcd" => {
                let etcd = peer::system_etcd().ok_or("no etcd found (set STOA_PEER_ETCD)")?;
                args.kind = Kind::EtcdAt(etcd.path);
            }
            "--shards" => args.kind = Kind::Stoa(u16::try_from(number()?)?),
            "--watchers" => args.watchers = number()?,
            "--keys" => args.keys = number()?,
            _ => return Err(format!("no flag {flag}").into()),
        }
    }
    Ok(args)
}

fn measure(args: &Args) -> Result<(), Failure> {
    let mut target = Target::start(args.kind.clone(), &[])?.ok_or("the server is not here")?;
    println!("idle: {:.1} MB", rss_mb(&target)?);
    run(idle_watchers(&target, args.watchers))?;
    let begin = Instant::now();
    run(fill(&target, args.keys))?;
    let rate = args.keys as f64 / begin.elapsed().as_secs_f64();
    println!(
        "{} keys written, {rate:.0} a second: {:.1} MB",
        args.keys,
        rss_mb(&target)?
    );
    for (how, gently) in [("after SIGTERM", true), ("after kill -9", false)] {
        if gently {
            target.stop().map(drop)?
        } else {
            target.kill()
        }
        let begin = Instant::now();
        target.restart()?;
        let ready = begin.elapsed();
        let count = run(count(&target))?;
        let answered = begin.elapsed();
        println!(
            "restart {how}: ready in {ready:.2?}, first answer in {answered:.2?}, \
             {count} keys, {:.1} MB",
            rss_mb(&target)?
        );
        if count != args.keys as i64 {
            return Err(format!("{} keys were written, {count} are there", args.keys).into());
        }
    }
    Ok(())
}

fn rss_mb(target: &Target) -> Result<f64, Failure> {
    Ok(target.process().usage()?.rss_bytes as f64 / 1e6)
}

async fn idle_watchers(target: &Target, watchers: usize) -> Result<(), Failure> {
    let before = rss_mb(target)?;
    let begin = Instant::now();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Client::connect(target.addr()).await?);
    }
    let mut streams = JoinSet::new();
    for (n, first) in (0..watchers).step_by(WATCHES_A_STREAM).enumerate() {
        let client = connections[n % CONNECTIONS].clone();
        let many = WATCHES_A_STREAM.min(watchers - first);
        streams.spawn(async move {
            let (mut requests, mut responses) = client.watch().await?;
            for n in first..first + many {
                let key = Bytes::from(format!("idle/{n}"));
                requests.send(&create(pb::WatchCreateRequest {
                    key,
                    ..Default::default()
                }))?;
                responses.next().await?;
            }
            Ok::<_, tests::client::Status>((requests, responses))
        });
    }
    let mut open = Vec::new();
    while let Some(stream) = streams.join_next().await {
        open.push(stream??);
    }
    let after = rss_mb(target)?;
    println!(
        "{watchers} idle watchers on {} streams in {:.1?}: {after:.1} MB, {:.0} B each",
        open.len(),
        begin.elapsed(),
        (after - before) * 1e6 / watchers.max(1) as f64
    );
    // They cost nothing while others write: seen as processor time over a second of writes.
    let client = Client::connect(target.addr()).await?;
    let (begin, mut puts) = (Instant::now(), 0);
    let cpu = target.process().usage()?.cpu_ns;
    while begin.elapsed() < Duration::from_secs(1) {
        client.put_pair("other", "v").await?;
        puts += 1;
    }
    let cpu = (target.process().usage()?.cpu_ns - cpu) / 1000;
    println!(
        "with them: {puts} puts a second by one client, {} us of CPU each",
        cpu / puts
    );
    client
        .delete_range(&pb::DeleteRangeRequest {
            key: Bytes::from_static(b"other"),
            ..Default::default()
        })
        .await?;
    Ok(())
}

async fn fill(target: &Target, keys: usize) -> Result<(), Failure> {
    let mut writers = JoinSet::new();
    const WRITERS: usize = 16;
    for writer in 0..WRITERS {
        let client = Client::connect(target.addr()).await?;
        writers.spawn(async move {
            for first in (0..keys).step_by(KEYS_A_TXN).skip(writer).step_by(WRITERS) {
                let put = |n: usize| {
                    let put = pb::PutRequest {
                        key: format!("scale/key/{n:022}").into(),
                        value: vec![n as u8; VALUE_BYTES].into(),
                        ..Default::default()
                    };
                    pb::RequestOp {
                        request: Some(pb::request_op::Request::RequestPut(put)),
                    }
                };
                let success = (first..keys.min(first + KEYS_A_TXN)).map(put).collect();
                client
                    .txn(&pb::TxnRequest {
                        success,
                        ..Default::default()
                    })
                    .await?;
            }
            Ok::<_, tests::client::Status>(())
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    Ok(())
}

async fn count(target: &Target) -> Result<i64, Failure> {
    let client = Client::connect(target.addr()).await?;
    let range = pb::RangeRequest {
        key: Bytes::from_static(b"scale/"),
        range_end: Bytes::from_static(b"scale0"),
        count_only: true,
        ..Default::default()
    };
    Ok(client.range(&range).await?.count)
}
