//! Compares what `stoa-loadgen disk` measures with fio, pattern by pattern on the same disk in
//! turns: `cargo run --release -p loadgen --example disk_against_fio -- --dir DIR`. Prints a table
//! for docs/disk.md with the medians of the rounds; ends with 1 if a rate is off by more than a
//! tenth.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;
use loadgen::disk::case::{Case, Pattern};
use loadgen::disk::files::WorkDir;
use loadgen::disk::measure::{self, FILE_BYTES};
use loadgen::disk::priority;
use loadgen::disk::stretch::Stretch;
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
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of each turn
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
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

/// fio on a file that is there and written in full.
const WRITTEN: [&str; 2] = ["--overwrite=1", "--allow_file_create=0"];
/// fio on a file of its own that its writes extend.
const EXTENDED: [&str; 2] = ["--fallocate=none", "--fill_device=1"];

fn pairs() -> [Pair; 5] {
    let synced = Case::new(Pattern::OverwriteFdatasync);
    let direct = Case::new(Pattern::DirectDsync);
    let pair = |case, fio| Pair { case, fio };
    [
        pair(synced, &["--ioengine=psync", "--fdatasync=1"]),
        pair(
            synced.depth(4),
            &["--ioengine=io_uring", "--iodepth=4", "--fdatasync=1"],
        ),
        pair(
            Case::new(Pattern::AppendFdatasync),
            &["--ioengine=psync", "--fdatasync=1"],
        ),
        pair(
            direct,
            &[
                "--ioengine=io_uring",
                "--iodepth=1",
                "--direct=1",
                "--sync=dsync",
            ],
        ),
        pair(
            direct.depth(4),
            &[
                "--ioengine=io_uring",
                "--iodepth=4",
                "--direct=1",
                "--sync=dsync",
            ],
        ),
    ]
}

/// What one side got in one turn.
#[derive(Clone, Copy)]
struct Turn {
    per_second: f64,
    /// Microseconds; fio tells write and sync apart, and of several under way at once nobody knows
    /// which belong together.
    p50_p99: Option<(f64, f64)>,
}

fn main() -> ExitCode {
    match compare(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("disk_against_fio: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> io::Result<ExitCode> {
    let stop = Stop::listen()?;
    let work = WorkDir::below(&args.dir)?;
    let mut all_agree = true;
    println!(
        "| 4 KiB | ours, 1/s | fio, 1/s | ratio, median [min, max] | ours, p50 / p99 us | \
         fio, p50 / p99 us |"
    );
    println!("|---|---|---|---|---|---|");
    for pair in pairs() {
        // Threads and fio's processes take it over: both sides are run alike.
        if args.realtime {
            priority::set(priority::may_run_first(&pair.case));
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..args.rounds {
            // Who goes first changes, so that a drift of the disk hits both. The first round is
            // ours, which makes the file.
            for is_ours in [round % 2 == 0, round % 2 == 1] {
                match is_ours {
                    true => ours.push(our_turn(&work, &pair.case, args.seconds, stop)?),
                    false => theirs.push(fio(&work, &pair, args.seconds)?),
                }
                if stop.is_set() {
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
        all_agree &= row(&pair.case, &ours, &theirs);
    }
    Ok(if all_agree {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn our_turn(work: &WorkDir, case: &Case, seconds: u64, stop: Stop) -> io::Result<Turn> {
    let length = Duration::from_secs(seconds);
    let zero = Instant::now();
    let measured = measure::run(work, case, &Stretch { zero, length, stop })?;
    let us = |quantile| measured.quantile(quantile).as_secs_f64() * 1e6;
    Ok(Turn {
        per_second: measured.per_second(),
        p50_p99: Some((us(0.5), us(0.99))),
    })
}

/// Prints a row of the table; whether the rates agree.
fn row(case: &Case, ours: &[Turn], theirs: &[Turn]) -> bool {
    let rates = |turns: &[Turn]| turns.iter().map(|turn| turn.per_second).collect::<Vec<_>>();
    let ratios = rates(ours).into_iter().zip(rates(theirs));
    let ratios: Vec<f64> = ratios.map(|(our, their)| our / their).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    let (our, their, ratio) = (median(rates(ours)), median(rates(theirs)), median(ratios));
    println!(
        "| `{}`, depth {} | {our:.0} | {their:.0} | {ratio:.3} [{least:.2}, {most:.2}] | {} | {} |",
        case.pattern.name(),
        case.depth,
        latencies(ours),
        latencies(theirs)
    );
    // Rounds of both sides are neighbours, so a drift of the disk is in neither ratio.
    (ratio - 1.0).abs() <= TOLERANCE
}

/// The medians of the rounds' percentiles.
fn latencies(turns: &[Turn]) -> String {
    let known: Option<Vec<(f64, f64)>> = turns.iter().map(|turn| turn.p50_p99).collect();
    known.map_or("-".to_owned(), |known| {
        let (p50, p99) = known.into_iter().unzip();
        format!("{:.0} / {:.0}", median(p50), median(p99))
    })
}

/// A turn of fio's.
fn fio(work: &WorkDir, pair: &Pair, seconds: u64) -> io::Result<Turn> {
    let (file, how) = match pair.case.pattern {
        Pattern::AppendFdatasync => (work.path().join("fio-extended"), EXTENDED),
        _ => (work.path().join(measure::file_of(&pair.case)), WRITTEN),
    };
    let run = Command::new("fio")
        .arg("--name=against")
        .arg(format!("--filename={}", file.display()))
        .arg(format!("--size={FILE_BYTES}"))
        .arg(format!("--runtime={seconds}"))
        .args([
            "--rw=write",
            "--bs=4k",
            "--invalidate=0",
            "--output-format=json",
        ])
        .args(how)
        .args(pair.fio)
        .args((how == WRITTEN).then_some("--time_based"))
        .output();
    let run = run.map_err(|e| io::Error::new(e.kind(), format!("fio: {e}; install it")))?;
    if how == EXTENDED {
        std::fs::remove_file(&file)?;
        work.sync()?;
    }
    let bad = || {
        let said = String::from_utf8_lossy(&run.stderr)
            .trim()
            .replace('\n', "; ");
        io::Error::other(format!("fio {}: {said}", run.status))
    };
    let result: Value = serde_json::from_slice(&run.stdout).map_err(|_| bad())?;
    let job = &result["jobs"][0];
    let rate = job["write"]["iops"].as_f64();
    let rate = rate.filter(|rate| run.status.success() && *rate > 0.0);
    // A percentile of the sum is about the sum of theirs: the write alone takes next to nothing.
    let synced = pair.case.pattern != Pattern::DirectDsync;
    let at = |percentile: &str| {
        let of = |latency: &Value| latency["percentile"][percentile].as_f64();
        let sync = if synced {
            of(&job["sync"]["lat_ns"])?
        } else {
            0.0
        };
        Some((of(&job["write"]["clat_ns"])? + sync) / 1e3)
    };
    let is_one = !synced || pair.case.depth == 1;
    Ok(Turn {
        per_second: rate.ok_or_else(bad)?,
        p50_p99: at("50.000000").zip(at("99.000000")).filter(|_| is_one),
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
