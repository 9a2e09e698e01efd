//! Measures Stoa and etcd side by side and prints medians, ratios and bars. Run it as
//! `cargo run --release -p benches --bin side_by_side -- [--rounds 5] [--duration 5s]`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use benches::side_by_side::load::{Failure, fill, run};
use benches::side_by_side::report::Results;
use benches::side_by_side::workload::{ALL, Asks, Workload};
use clap::Parser;
use tests::peer;
use tests::target::{Kind, Target};

/// Stoa and etcd, one after the other, several rounds, same client and same disk.
#[derive(Parser)]
struct Args {
    /// How often both servers are measured, each time on fresh data
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measured time of each load in each round, such as 5s or 500ms
    #[arg(long, default_value = "5s", value_parser = duration)]
    duration: Duration,
    /// Unmeasured time before it
    #[arg(long, default_value = "1s", value_parser = duration)]
    warm_up: Duration,
    /// Only these loads, separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Stoa's shards [default: the CPUs, at least 2]
    #[arg(long)]
    shards: Option<u16>,
    /// Writes all samples, medians and bars here as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Measures etcd against itself: every ratio should come out near 1
    #[arg(long)]
    etcd_twice: bool,
}

#[allow(clippy::print_stdout, clippy::print_stderr)]
fn main() -> ExitCode {
    match measure(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("side_by_side: {e}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout)]
fn measure(args: &Args) -> Result<(), Failure> {
    let loads = chosen(&args.only)?;
    let etcd = peer::system_etcd().ok_or("no etcd found (set STOA_PEER_ETCD)")?;
    let cpus = std::thread::available_parallelism().map_or(2, |n| n.get());
    let shards = args.shards.unwrap_or(u16::try_from(cpus.max(2))?);
    let peer = Kind::EtcdAt(etcd.path.clone());
    let (first, name) = if args.etcd_twice {
        (peer.clone(), "etcd(a)")
    } else {
        (Kind::Stoa(shards), "stoa")
    };
    let (kinds, names) = ([first, peer], [name, "etcd"]);
    println!(
        "{name} with {shards} shards against etcd {}, {cpus} CPUs",
        etcd.version
    );
    let mut results = Results::default();
    for round in 0..args.rounds {
        // The order changes, so that neither side always meets the warmer machine.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for side in order {
            println!("round {} of {}: {}", round + 1, args.rounds, names[side]);
            one_server(args, &loads, &kinds[side], side, &mut results)?;
        }
    }
    println!("\n{}", results.table(names));
    if let Some(path) = &args.json {
        std::fs::write(path, format!("{:#}\n", results.json(names)))?;
    }
    Ok(())
}

#[allow(clippy::print_stdout)]
fn one_server(
    args: &Args,
    loads: &[&'static Workload],
    kind: &Kind,
    side: usize,
    results: &mut Results,
) -> Result<(), Failure> {
    let mut target = Target::start(kind.clone(), &[])?.ok_or("the server is not here")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    let (addr, server) = (target.addr(), target.process());
    if loads
        .iter()
        .any(|l| matches!(l.asks, Asks::Get | Asks::Range))
    {
        local.block_on(&runtime, fill(addr))?;
    }
    for load in loads {
        let sample = local.block_on(
            &runtime,
            run(load, addr, server, args.warm_up, args.duration),
        );
        let sample = sample.map_err(|e| format!("{}: {e}", load.name))?;
        println!(
            "  {:<11} {:>9.0} op/s  p50 {:>7.0} us  p99 {:>7.0} us  server {:>7.2} us/op",
            load.name, sample.throughput, sample.p50_us, sample.p99_us, sample.server_us
        );
        results.add(load, side, sample);
    }
    target.stop()?;
    Ok(())
}

fn chosen(only: &[String]) -> Result<Vec<&'static Workload>, Failure> {
    if let Some(unknown) = only
        .iter()
        .find(|o| !ALL.iter().any(|w| w.name == o.as_str()))
    {
        let names: Vec<&str> = ALL.iter().map(|w| w.name).collect();
        return Err(format!("no load {unknown:?}; there are {}", names.join(", ")).into());
    }
    Ok(ALL
        .iter()
        .filter(|w| only.is_empty() || only.iter().any(|o| o == w.name))
        .collect())
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, scale) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("{text:?} is no time such as 5s"))?;
    Duration::try_from_secs_f64(number * scale).map_err(|e| e.to_string())
}
