//! Compares what `stoa-loadgen disk` measures with fio, pattern by pattern on the same file in
//! turns: `cargo run --release -p loadgen --example disk_against_fio -- --dir DIR`. Prints the
//! median of the rounds and its ratio to fio's; ends with 1 if a rate is off by more than a tenth.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;
use loadgen::disk::case::{Case, Pattern};
use loadgen::disk::files::WorkDir;
use loadgen::disk::measure::{self, FILE_BYTES};
use loadgen::disk::priority;
use loadgen::disk::span::Span;
use loadgen::progress::Stop;
use serde_json::Value;

/// How far a rate may be off.
const TOLERANCE: f64 = 0.10;

/// Compares the disk's measurements with fio's
#[derive(Parser)]
struct Args {
    /// Directory on the disk
    #[arg(long)]
    dir: PathBuf,
    /// Turns of each
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Seconds of each turn
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Runs both sides before ordinary threads at depth 1, as `stoa-loadgen disk --realtime` does
    #[arg(long)]
    realtime: bool,
}

/// A pattern and the options by which fio makes the same.
struct Pair {
    case: Case,
    fio: &'static [&'static str],
}

fn pairs() -> [Pair; 4] {
    let synced = Case::new(Pattern::OverwriteFdatasync);
    let direct = Case::new(Pattern::DirectDsync);
    [
        Pair {
            case: synced,
            fio: &["--ioengine=psync", "--fdatasync=1"],
        },
        Pair {
            case: synced.depth(4),
            fio: &["--ioengine=io_uring", "--iodepth=4", "--fdatasync=1"],
        },
        Pair {
            case: direct,
            fio: &[
                "--ioengine=io_uring",
                "--iodepth=1",
                "--direct=1",
                "--sync=dsync",
            ],
        },
        Pair {
            case: direct.depth(4),
            fio: &[
                "--ioengine=io_uring",
                "--iodepth=4",
                "--direct=1",
                "--sync=dsync",
            ],
        },
    ]
}

fn main() -> io::Result<ExitCode> {
    let args = Args::parse();
    let stop = Stop::listen()?;
    let work = WorkDir::below(&args.dir)?;
    let mut all_agree = true;
    println!(
        "{:<42} {:>9} {:>9} {:>6}  ratios of the rounds",
        "pattern", "ours/s", "fio/s", "ratio"
    );
    for pair in pairs() {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        // Threads and fio's processes take it over: both sides are run alike.
        if args.realtime {
            priority::set(priority::may_run_first(&pair.case));
        }
        for round in 0..args.rounds {
            let length = Duration::from_secs(args.seconds);
            let span = Span {
                zero: Instant::now(),
                length,
                stop,
            };
            // Who goes first changes, so that a drift of the disk hits both.
            let mut our_turn = || -> io::Result<()> {
                ours.push(measure::run(&work, &pair.case, &span)?.per_second());
                Ok(())
            };
            if round % 2 == 0 {
                our_turn()?;
            }
            let file = work.path().join(measure::file_of(&pair.case));
            // The first round is ours, which makes the file.
            theirs.push(fio(&file, pair.fio, args.seconds)?);
            if round % 2 == 1 {
                our_turn()?;
            }
            if stop.is_set() {
                return Ok(ExitCode::FAILURE);
            }
        }
        let ratios = ours.iter().zip(&theirs).map(|(our, their)| our / their);
        let ratios: Vec<String> = ratios.map(|ratio| format!("{ratio:.2}")).collect();
        let (our, their) = (median(ours), median(theirs));
        let ratio = our / their;
        all_agree &= (ratio - 1.0).abs() <= TOLERANCE;
        let pattern = pair.case.to_string();
        println!(
            "{pattern:<42} {our:>9.0} {their:>9.0} {ratio:>6.3}  {}",
            ratios.join(" ")
        );
    }
    Ok(if all_agree {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Writes a second that fio gets done on a file that is there and written in full.
fn fio(file: &Path, options: &[&str], seconds: u64) -> io::Result<f64> {
    let common = [
        "--name=against".to_owned(),
        format!("--filename={}", file.display()),
        format!("--size={FILE_BYTES}"),
        format!("--runtime={seconds}"),
    ];
    let fixed = [
        "--rw=write",
        "--bs=4k",
        "--overwrite=1",
        "--allow_file_create=0",
        "--invalidate=0",
        "--time_based",
        "--output-format=json",
    ];
    let run = Command::new("fio")
        .args(common)
        .args(fixed)
        .args(options)
        .output();
    let run = run.map_err(|e| io::Error::new(e.kind(), format!("fio: {e}; install it")))?;
    let bad = || {
        let said = String::from_utf8_lossy(&run.stderr)
            .trim()
            .replace('\n', "; ");
        io::Error::other(format!("fio {}: {said}", run.status))
    };
    let result: Value = serde_json::from_slice(&run.stdout).map_err(|_| bad())?;
    let rate = result["jobs"][0]["write"]["iops"].as_f64();
    rate.filter(|rate| run.status.success() && *rate > 0.0)
        .ok_or_else(bad)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
