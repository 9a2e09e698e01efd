//! `stoa-loadgen disk`: measures what a durable write costs on a disk, says for how large a
//! cluster it may carry a log, and which settings fit it.
//!
//! `plan` lists `case`s, `measure` runs each with a driver (`syscalls`, `uring`, `wal`, `etcd`),
//! `results` holds what came out, `judged` what to think of it, `show` and `json` tell it.

pub mod advice;
pub mod background;
pub mod case;
pub mod etcd;
pub mod exhaust;
pub mod files;
pub mod findings;
pub mod json;
pub mod judged;
pub mod measure;
pub mod offsets;
pub mod plan;
pub mod power_cut;
pub mod priority;
pub mod recorder;
pub mod results;
pub mod run;
pub mod show;
pub mod stalls;
pub mod stretch;
pub mod syscalls;
pub mod timeouts;
pub mod uring;
pub mod verdict;
pub mod wal;

#[cfg(test)]
mod world;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use judged::Judged;
use results::Results;
use run::Settings;
use verdict::Class;

use crate::progress::Stop;
use crate::report::{self, Outputs};
use crate::span;

/// Nothing could be measured, or a file could not be written.
pub const EXIT_FAILED: u8 = 1;
/// The command line will not do.
pub const EXIT_USAGE: u8 = 2;
/// The disk is unfit, or below the class that was required.
pub const EXIT_UNFIT: u8 = 3;
/// A record that was promised is not there.
pub const EXIT_LOST: u8 = 4;
/// The run was ended before there was a verdict.
pub const EXIT_NO_VERDICT: u8 = 5;

/// Shortest time that a run makes sense in.
const SHORTEST: Duration = Duration::from_secs(2);

/// Options of `stoa-loadgen disk`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Directory on the disk to measure; give several to compare disks
    #[arg(long = "dir", value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Time for each directory, such as 5s or 2m
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = span::parse)]
    duration: Duration,
    /// Most logs written in parallel [default: 4, or the number of processors, at most 16]
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..=64))]
    logs: Option<u16>,
    /// Lets measuring threads that wait for each write run before all others (root only), so that
    /// busy processors do not count as a slow disk
    #[arg(long)]
    realtime: bool,
    /// Afterwards writes on until burst credits and fast caches are used up
    #[arg(long)]
    exhaust: bool,
    /// Longest time for that, for each directory
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = span::parse)]
    exhaust_limit: Duration,
    /// Ends with exit code 3 when a disk is below this class
    #[arg(long, value_name = "CLASS")]
    require: Option<Class>,
    /// Writes the tuning profile for the disk, or for the best of several, to this file
    #[arg(long, value_name = "FILE")]
    profile_out: Option<PathBuf>,
    #[command(flatten)]
    outputs: Outputs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Writes numbered records and tells an observer which are promised, until the power is cut
    #[command(name = "power-cut")]
    Write(power_cut::WriteArgs),
    /// Takes note of what is promised, on a host whose power stays
    #[command(name = "power-cut-observer")]
    Observe(power_cut::ObserveArgs),
    /// After the cut: checks that every promised record is there
    #[command(name = "power-cut-verify")]
    Verify(power_cut::VerifyArgs),
}

/// Runs the command; the exit code is its verdict.
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    let ended = match &args.command {
        Some(Command::Write(args)) => power_cut::write(args),
        Some(Command::Observe(args)) => power_cut::observe(args),
        Some(Command::Verify(args)) => power_cut::verify(args),
        None => qualify(args),
    };
    ended.unwrap_or_else(|error| complain(&error))
}

/// Says on one line what went wrong.
#[allow(clippy::print_stderr)]
fn complain(error: &io::Error) -> ExitCode {
    eprintln!("stoa-loadgen disk: {error}");
    match error.kind() {
        io::ErrorKind::InvalidInput => ExitCode::from(EXIT_USAGE),
        _ => ExitCode::from(EXIT_FAILED),
    }
}

fn usage(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// An error where threads may not run before others.
fn allowed(is_allowed: bool) -> io::Result<bool> {
    match is_allowed {
        true => Ok(true),
        false => Err(usage(
            "--realtime is for root, or who has CAP_SYS_NICE; leave it away",
        )),
    }
}

fn qualify(args: &Args) -> io::Result<ExitCode> {
    if args.dirs.is_empty() {
        return Err(usage("which disk? give --dir DIR, once or several times"));
    }
    if args.duration < SHORTEST {
        return Err(usage(
            "--duration is below 2s; give 5s for a glance, 60s for everything",
        ));
    }
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
    let settings = Settings {
        time: args.duration,
        logs: args.logs.map_or(cpus.clamp(4, 16), usize::from),
        exhaust: args.exhaust.then_some(args.exhaust_limit),
        stop: Stop::listen()?,
        is_realtime: args.realtime && allowed(priority::set(true))?,
    };
    for dir in &args.dirs {
        run::check(dir, &settings)?;
    }
    check_outputs(args)?;
    let (measured, failed) = measure_all(&args.dirs, &settings);
    let disks: Vec<Judged> = measured.into_iter().map(Judged::new).collect();
    let is_early = settings.stop.is_set();
    if !disks.is_empty() {
        // Before anything is said to have failed: it may be the only copy of a long run.
        show::report(&disks, is_early).publish(&args.outputs)?;
    }
    failed?;
    if let Some(path) = &args.profile_out {
        match write_profile(path, &disks) {
            Err(error) if is_early => drop(complain(&error)),
            written => written?,
        }
    }
    Ok(exit_code(&disks, args.require))
}

/// Makes sure that what was asked for can be written, before a long run measures for nothing.
fn check_outputs(args: &Args) -> io::Result<()> {
    args.outputs.check()?;
    args.profile_out
        .as_deref()
        .map_or(Ok(()), report::check_file)
}

/// Measures one directory after the other, until one fails or the run is told to end.
fn measure_all(dirs: &[PathBuf], settings: &Settings) -> (Vec<Results>, io::Result<()>) {
    let zero = Instant::now();
    let mut measured = Vec::new();
    for dir in dirs {
        if !measured.is_empty() && settings.stop.is_set() {
            break;
        }
        match run::directory(dir, zero, settings) {
            Ok(results) => measured.push(results),
            Err(error) => return (measured, Err(error)),
        }
    }
    (measured, Ok(()))
}

/// Writes the profile of the disk with the best class.
fn write_profile(path: &std::path::Path, disks: &[Judged]) -> io::Result<()> {
    // Of equals the one that was named first.
    let best = disks.iter().rev().max_by_key(|disk| disk.class());
    let advice = best.and_then(|disk| Some((disk, disk.advice.as_ref()?)));
    let Some((disk, advice)) = advice else {
        let text = format!("{}: too little was measured for a profile", path.display());
        return Err(io::Error::other(text));
    };
    advice.write(path, &disk.results.dir)
}

/// The worst of all disks decides.
fn exit_code(disks: &[Judged], require: Option<Class>) -> ExitCode {
    let least = require.unwrap_or(Class::Small).max(Class::Small);
    let classes: Vec<Option<Class>> = disks.iter().map(Judged::class).collect();
    if classes.iter().flatten().any(|class| *class < least) {
        return ExitCode::from(EXIT_UNFIT);
    }
    match classes.iter().any(Option::is_none) {
        true => ExitCode::from(EXIT_NO_VERDICT),
        false => ExitCode::SUCCESS,
    }
}
