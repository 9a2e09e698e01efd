//! Prints what the runtime behind the seam costs, one row for each way a request or a byte goes.
//!
//! `cargo run --release -p benches --bin seam [-- --only h2 --seconds 5]`
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::time::Duration;

use benches::seam::Row;
use benches::seam::disk::sync_writes;
use benches::seam::mail::{Play, round_trips};
use benches::seam::paths::{Load, echo, grouped_writes};
use clap::Parser;

/// Which rows, and how long each.
#[derive(Parser)]
struct Args {
    /// Only rows whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Seconds per row.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Where to write the disk rows' files.
    #[arg(long, default_value = ".")]
    disk: PathBuf,
}

fn main() {
    let args = Args::parse();
    let length = Duration::from_secs_f64(args.seconds);
    println!("| {:<34} | thousand/s | p50 us | p99 us | CPU us |", "way");
    println!("|{:-<36}|------------|--------|--------|--------|", "");
    let run = |name: &str, row: &dyn Fn(&str) -> Row| {
        if name.contains(&args.only) {
            print_row(&row(name));
        }
    };
    let (none, spin) = (Duration::ZERO, Duration::from_micros(100));
    let play = |balls, rest, spin| Play {
        balls,
        rest,
        spin,
        length,
    };
    run("mail round trip, busy", &|name| {
        round_trips(name, play(1, none, none))
    });
    run("mail round trip, busy, spin 100 us", &|name| {
        round_trips(name, play(1, none, spin))
    });
    run("mail round trip, 64 in the air", &|name| {
        round_trips(name, play(64, none, none))
    });
    let rest = Duration::from_millis(2);
    run("mail round trip, parked", &|name| {
        round_trips(name, play(1, rest, none))
    });
    for (connections, streams) in [(1, 1), (4, 64), (8, 128)] {
        let name = format!("h2 unary echo, {connections} x {streams}");
        run(&name, &|name| {
            echo(
                name,
                Load {
                    connections,
                    streams,
                    length,
                },
            )
        });
    }
    let disk = std::fs::canonicalize(&args.disk).unwrap_or_else(|_| args.disk.clone());
    for depth in [1, 4] {
        let name = format!("direct sync write 4 KiB, depth {depth}");
        run(&name, &|name| {
            sync_writes(name, disk.clone(), depth, length)
        });
    }
    let load = Load {
        connections: 4,
        streams: 64,
        length,
    };
    run("call, other core, grouped write", &|name| {
        grouped_writes(name, load, disk.clone())
    });
}

fn print_row(row: &Row) {
    let rate = row.operations as f64 / row.elapsed.as_secs_f64() / 1000.0;
    let (p50, p99) = row.latency_us;
    println!(
        "| {:<34} | {rate:>10.1} | {p50:>6.0} | {p99:>6.0} | {:>6.1} |",
        row.name, row.cpu_us
    );
}
