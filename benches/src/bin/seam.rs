//! Prints what the runtime behind the seam costs, one row for each way a request or a byte goes.
//!
//! `cargo run --release -p benches --bin seam [-- --only h2 --seconds 5]`
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::time::Duration;

use benches::seam::disk::{plain_sync_writes, sync_writes};
use benches::seam::mail::{Play, flume_round_trips, round_trips};
use benches::seam::paths::{Load, echo, grouped_writes};
use benches::seam::{Row, seconds};
use clap::Parser;

/// Which rows, and how long each.
#[derive(Parser)]
struct Args {
    /// Only rows whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Seconds per row.
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// Where to write the disk rows' files.
    #[arg(long, default_value = ".", value_parser = directory)]
    disk: PathBuf,
}

fn main() {
    let args = Args::parse();
    let length = args.seconds;
    println!("| {:<34} | thousand/s | p50 us | p99 us | CPU us |", "way");
    println!("|{:-<36}|------------|--------|--------|--------|", "");
    let run = |name: &str, row: &dyn Fn(&str) -> Row| {
        if name.contains(&args.only) {
            print_row(&row(name));
        }
    };
    mail_rows(length, &run);
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
    let disk = args.disk;
    let plain = |name: &str| plain_sync_writes(name, disk.clone(), length);
    run("plain sync pwrite 4 KiB", &plain);
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

/// Reads a directory; for clap.
fn directory(text: &str) -> Result<PathBuf, String> {
    let path = std::fs::canonicalize(text).map_err(|e| e.to_string())?;
    if path.is_dir() {
        Ok(path)
    } else {
        Err("is no directory".to_owned())
    }
}

/// Prints a row of this name, measured by that function.
type Run<'a> = &'a dyn Fn(&str, &dyn Fn(&str) -> Row);

fn mail_rows(length: Duration, run: Run<'_>) {
    let (none, spin) = (Duration::ZERO, Duration::from_micros(100));
    let busy = Play {
        balls: 1,
        rest: none,
        spin: none,
        linger: none,
        length,
    };
    let many = Play { balls: 64, ..busy };
    let parked = Play {
        rest: Duration::from_millis(2),
        ..busy
    };
    let spinning = Play { spin, ..busy };
    let lingering = Play {
        linger: Duration::from_micros(30),
        ..busy
    };
    run("mail round trip, busy", &|name| round_trips(name, busy));
    run("mail round trip, spin 100 us", &|name| {
        round_trips(name, spinning)
    });
    run("mail round trip, linger 30 us", &|name| {
        round_trips(name, lingering)
    });
    run("mail round trip, 64 in the air", &|name| {
        round_trips(name, many)
    });
    run("mail round trip, parked", &|name| round_trips(name, parked));
    run("flume round trip, busy", &|name| {
        flume_round_trips(name, busy)
    });
    run("flume round trip, spin 100 us", &|name| {
        flume_round_trips(name, spinning)
    });
    run("flume round trip, 64 in the air", &|name| {
        flume_round_trips(name, many)
    });
    run("flume round trip, parked", &|name| {
        flume_round_trips(name, parked)
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
