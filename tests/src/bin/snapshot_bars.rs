//! Snapshots of many keys and of gigabytes between etcd 3.5 and Stoa, both ways: the same HashKV on
//! both sides, with the time and the memory of each step.
//! `cargo run --release -p tests --bin snapshot_bars -- [--keys 1000000] [--gib 2.5] [--shards 2]`;
//! 0 leaves a part out; not part of the test run. It needs about six times `--gib` of disk.
#![allow(clippy::print_stdout)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tests::client::{Client, Status, pb, run};
use tests::node;
use tests::process::{peak_of, reset_peak};
use tests::snapshots::{restore_command, save_command, tools};
use tests::target::{Kind, Target};

type Failure = Box<dyn std::error::Error>;

const CONNECTIONS: usize = 8;
const REQUESTS_IN_FLIGHT: usize = 16;
/// How often the memory of a command is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A hash reads everything.
const LIMIT: Duration = Duration::from_secs(600);
/// Room for all of it; both refuse more than 2 GiB unless they are told to take it.
const QUOTA: &str = "--quota-backend-bytes=17179869184";

struct Args {
    keys: usize,
    gib: f64,
    shards: u16,
}

/// Programs that are used.
struct Tools {
    etcdctl: PathBuf,
    etcdutl: PathBuf,
    etcd: PathBuf,
    stoa: PathBuf,
    shards: u16,
}

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    match args().and_then(|args| measure(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("snapshot_bars: {e}");
            ExitCode::FAILURE
        }
    }
}

fn args() -> Result<Args, Failure> {
    let mut args = Args {
        keys: 1_000_000,
        gib: 2.5,
        shards: 2,
    };
    let mut rest = std::env::args().skip(1);
    while let Some(flag) = rest.next() {
        let value = rest
            .next()
            .ok_or_else(|| format!("{flag} wants a number"))?;
        match flag.as_str() {
            "--keys" => args.keys = value.parse()?,
            "--gib" => args.gib = value.parse()?,
            "--shards" => args.shards = value.parse()?,
            _ => return Err(format!("no flag {flag}").into()),
        }
    }
    Ok(args)
}

fn measure(args: &Args) -> Result<(), Failure> {
    let [etcdctl, etcdutl, etcd] = tools().ok_or("etcdctl, etcdutl and etcd 3.5 are needed")?;
    let tools = Tools {
        etcdctl,
        etcdutl,
        etcd,
        stoa: node::stoa()?,
        shards: args.shards,
    };
    println!("| step | seconds | peak MiB | |");
    println!("|---|---|---|---|");
    if args.keys > 0 {
        let small = |n: usize| 100 + n % 300;
        // A revision for each key, and many keys of one.
        round_trip(&tools, true, args.keys, 1, &small)?;
        round_trip(&tools, false, args.keys, 100, &small)?;
    }
    if args.gib > 0.0 {
        let value = |n: usize| 2048 + n * 37 % 12_288;
        let keys = (args.gib * f64::from(1 << 30) / 8192.0) as usize;
        round_trip(&tools, true, keys, 16, &value)?;
    }
    Ok(())
}

/// Fills one server, and takes what it has to the other and back.
fn round_trip(
    tools: &Tools,
    stoa_first: bool,
    keys: usize,
    keys_a_txn: usize,
    value: &dyn Fn(usize) -> usize,
) -> Result<(), Failure> {
    let first = tools.start(stoa_first)?;
    let who = name(stoa_first);
    let began = Instant::now();
    run(fill(&first, keys, keys_a_txn, value))?;
    row(
        &format!("{who}: {keys} keys are written"),
        began,
        &first,
        "",
    )?;
    let hash = hashed(&first, who)?;
    let (file, second) = tools.carry(first, stoa_first, hash)?;
    let again = tools.save(&second, !stoa_first)?;
    drop(second);
    fs::remove_file(file)?;
    let third = tools.restored(stoa_first, &again)?;
    let found = hashed(&third, who)?;
    check(hash, found, "back where it came from")?;
    println!(
        "| HashKV {:08x} at revision {} on all three | | | |",
        hash.0, hash.1
    );
    fs::remove_file(again)?;
    Ok(())
}

impl Tools {
    fn kind(&self, stoa: bool) -> Kind {
        match stoa {
            true => Kind::Stoa(self.shards),
            false => Kind::EtcdAt(self.etcd.clone()),
        }
    }

    fn start(&self, stoa: bool) -> io::Result<Target> {
        let target = Target::start(self.kind(stoa), &[QUOTA])?;
        target.ok_or_else(|| io::Error::other("the server is not here"))
    }

    /// Saves the store of a server and ends it, restores it for the other one and starts that.
    fn carry(
        &self,
        first: Target,
        stoa: bool,
        hash: (u32, i64),
    ) -> Result<(PathBuf, Target), Failure> {
        let file = self.save(&first, stoa)?;
        drop(first);
        let second = self.restored(!stoa, &file)?;
        check(hash, hashed(&second, name(!stoa))?, "on the other side")?;
        Ok((file, second))
    }

    /// The file is beside the homes of the servers, which go with them.
    fn save(&self, target: &Target, stoa: bool) -> Result<PathBuf, Failure> {
        let home = target.home().parent().ok_or("a home has a parent")?;
        let file = home.join(format!("{}-{}.db", name(stoa), std::process::id()));
        reset_peak(target.process().pid())?;
        let began = Instant::now();
        let command = save_command(target, &self.etcdctl, &file);
        watched(command, false)?;
        let bytes = fs::metadata(&file)?.len();
        let more = format!("{} MiB", bytes >> 20);
        row(&format!("{}: is saved", name(stoa)), began, target, &more)?;
        Ok(file)
    }

    fn restored(&self, stoa: bool, file: &Path) -> Result<Target, Failure> {
        let target = Target::prepare(self.kind(stoa), &[QUOTA])?;
        let mut target = target.ok_or("the server is not here")?;
        let shards = self.shards.to_string();
        let (program, more) = match stoa {
            true => (&self.stoa, vec!["--shards", &shards]),
            false => (&self.etcdutl, Vec::new()),
        };
        let began = Instant::now();
        let peak = watched(restore_command(&target, program, file, &more), stoa)?;
        let who = if stoa { "stoa" } else { "etcdutl" };
        let seconds = began.elapsed().as_secs_f64();
        println!("| {who} restores it | {seconds:.1} | {} | |", peak >> 20);
        let began = Instant::now();
        target.restart()?;
        row(&format!("{}: starts on it", name(stoa)), began, &target, "")?;
        Ok(target)
    }
}

fn name(stoa: bool) -> &'static str {
    if stoa { "Stoa" } else { "etcd" }
}

fn check(hash: (u32, i64), found: (u32, i64), place: &str) -> Result<(), Failure> {
    if hash != found {
        return Err(format!("HashKV is {found:08x?} {place}, and was {hash:08x?}").into());
    }
    Ok(())
}

fn row(what: &str, began: Instant, target: &Target, more: &str) -> Result<(), Failure> {
    let seconds = began.elapsed().as_secs_f64();
    let peak = peak_of(target.process().pid())? >> 20;
    println!("| {what} | {seconds:.1} | {peak} | {more} |");
    Ok(())
}

/// Runs a command to its end; the largest resident set that was seen. With `shown` its standard
/// error is ours, for the bar; etcd's tools say too much there.
fn watched(mut command: Command, shown: bool) -> Result<u64, Failure> {
    if !shown {
        command.stderr(Stdio::null());
    }
    let mut child = command.stdout(Stdio::null()).spawn()?;
    let mut peak = 0;
    loop {
        // Before the program is there this is the memory of the one that starts it: no matter.
        peak = peak.max(peak_of(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            return match status.success() {
                true => Ok(peak),
                false => Err(format!("{command:?}: {status}").into()),
            };
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// HashKV of everything, and its revision.
fn hashed(target: &Target, who: &str) -> Result<(u32, i64), Failure> {
    reset_peak(target.process().pid())?;
    let began = Instant::now();
    let found = run(async {
        let client = Client::connect(target.addr()).await;
        let client = client.map_err(Status::transport)?.with_limit(LIMIT);
        client.hash_kv(&pb::HashKvRequest { revision: 0 }).await
    })?;
    row(&format!("{who}: HashKV"), began, target, "")?;
    let revision = found.header.map_or(0, |header| header.revision);
    Ok((found.hash, revision))
}

async fn fill(
    target: &Target,
    keys: usize,
    keys_a_txn: usize,
    value: &dyn Fn(usize) -> usize,
) -> Result<(), Failure> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(target.addr()).await?.with_limit(LIMIT));
    }
    let workers = CONNECTIONS * REQUESTS_IN_FLIGHT;
    let work = (0..workers).map(async |worker| {
        let client = &clients[worker % CONNECTIONS];
        for first in (worker * keys_a_txn..keys).step_by(workers * keys_a_txn) {
            let some = first..keys.min(first + keys_a_txn);
            let success = some.map(|n| put(n, value(n))).collect();
            let txn = pb::TxnRequest {
                success,
                ..Default::default()
            };
            client.txn(&txn).await?;
        }
        Ok::<(), Status>(())
    });
    try_join_all(work).await?;
    Ok(())
}

fn put(n: usize, len: usize) -> pb::RequestOp {
    // Not all alike, so that nothing is saved by leaving out what is.
    let value: Vec<u8> = (0..len).map(|at| (n + at * at % 251) as u8).collect();
    let put = pb::PutRequest {
        key: format!("/registry/things/{n:09}").into(),
        value: value.into(),
        ..Default::default()
    };
    pb::RequestOp {
        request: Some(pb::request_op::Request::RequestPut(put)),
    }
}
