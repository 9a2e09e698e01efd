//! Measures Stoa with each tuning profile, on the disk as it is and on a throttled one, and prints
//! the tables of docs/tuning.md. Run it as `cargo run --release -p benches --bin profiles`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use benches::side_by_side::args::stoa;
use benches::side_by_side::disk::Disk;
use benches::side_by_side::results::Spread;
use benches::side_by_side::run::{Early, Settings, Side, Turn, can_have};
use benches::side_by_side::sample::{Figure, Sample};
use benches::side_by_side::workload::{Workload, chosen};
use clap::Parser;
use loadgen::progress::Stop;
use loadgen::report::begin;
use loadgen::span;
use tests::target::disk_dir;
use tuning::Profile;

/// What is measured.
const LOADS: [&str; 3] = ["put-1", "put-64", "put-512"];

/// Measures Stoa with each tuning profile, on the disk as it is and on a throttled one.
#[derive(Debug, Parser)]
#[command(name = "profiles")]
struct Args {
    /// How often each profile is measured, each time on fresh data
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Measured time of each load in each round
    #[arg(long, default_value = "3s", value_parser = span::parse)]
    duration: Duration,
    /// Time before it that is not measured
    #[arg(long, default_value = "1s", value_parser = span::parse)]
    warm_up: Duration,
    /// Kinds of disk, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "plain,throttled")]
    disk: Vec<Disk>,
    /// Writes a second that a throttled disk lets through
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u32).range(1..))]
    throttle: u32,
    /// Profiles: names, or files with a slash or ending in .toml [default: all built-in ones]
    #[arg(long, value_delimiter = ',')]
    profile: Vec<String>,
    /// Stoa's shards [default: the CPUs, at least 2]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    shards: Option<u16>,
}

/// What each profile, by its place, gave with each load on each kind of disk, round by round.
type Samples = BTreeMap<(Disk, &'static str, usize), Vec<Sample>>;

#[allow(clippy::print_stderr, clippy::print_stdout)]
fn main() -> ExitCode {
    begin();
    let args = Args::parse();
    match measure(&args) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("profiles: {}", why.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<String, String> {
    let settings = Settings {
        rounds: args.rounds as usize,
        duration: args.duration,
        warm_up: args.warm_up,
        seed: 1,
        dir: disk_dir(),
        throttle: args.throttle,
    };
    let sides = sides(args)?;
    let only = LOADS.map(str::to_owned);
    let stop = Stop::listen().map_err(|e| format!("cannot hear ctrl-C: {e}"))?;
    let (mut samples, mut lives) = (Samples::new(), Vec::new());
    can_have(&settings, args.disk.iter().copied())?;
    for disk in args.disk.iter().copied() {
        let loads = chosen(disk, &only);
        for round in 0..settings.rounds {
            // All profiles in each round, so that the machine's moods meet all of them.
            for (profile, side) in sides.iter().enumerate() {
                let turn = Turn {
                    settings: &settings,
                    stop,
                    disk,
                    round,
                    side,
                };
                let told = |load: &Workload, sample| {
                    let at = (disk, load.name, profile);
                    samples.entry(at).or_default().push(sample);
                };
                match turn.take(&loads, told, &mut lives) {
                    Ok(()) => {}
                    Err(Early::Stopped) => return Ok(tables(&sides, &samples)),
                    Err(Early::Failed(why)) => return Err(why),
                }
            }
        }
    }
    Ok(tables(&sides, &samples))
}

/// Stoa with each profile.
fn sides(args: &Args) -> Result<Vec<Side>, String> {
    let mut names = args.profile.clone();
    if names.is_empty() {
        names = Profile::built_in_names().map(str::to_owned).collect();
    }
    let plain = stoa(None, args.shards)?;
    let of = |name: String| {
        let profile = Profile::load(&name).map_err(|e| e.to_string())?;
        Ok(Side {
            name: profile.name,
            extra: vec!["--tuning-profile".to_owned(), name],
            ..plain.clone()
        })
    };
    names.into_iter().map(of).collect()
}

/// A table for each kind of disk, as Markdown: a row for each profile, medians of the rounds.
fn tables(sides: &[Side], samples: &Samples) -> String {
    let mut text = String::new();
    let mut disks: Vec<Disk> = samples.keys().map(|(disk, ..)| *disk).collect();
    disks.dedup();
    for disk in disks {
        text += &format!("\n{}\n\n| profile |", disk.title());
        for load in LOADS {
            text += &format!(" {load} per second | p50 us | p99 us | CPU us |");
        }
        text += &format!("\n|---|{}\n", "---|".repeat(LOADS.len() * 4));
        for (profile, side) in sides.iter().enumerate() {
            text += &format!("| `{}` |", side.name);
            for load in LOADS {
                let of_load = samples.get(&(disk, load, profile));
                text += &figures(of_load.map_or(&[], Vec::as_slice));
            }
            text.push('\n');
        }
    }
    text
}

fn figures(samples: &[Sample]) -> String {
    let figures = [
        Figure::Throughput,
        Figure::P50,
        Figure::P99,
        Figure::ServerCpu,
    ];
    let one = |figure: Figure| {
        let spread = Spread::of(samples.iter().filter_map(|sample| figure.of(sample)));
        match spread {
            Some(spread) if figure == Figure::ServerCpu => format!(" {:.1} |", spread.median),
            Some(spread) => format!(" {:.0} |", spread.median),
            None => " |".to_owned(),
        }
    };
    figures.map(one).concat()
}
