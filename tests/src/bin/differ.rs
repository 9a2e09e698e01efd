//! The differential test by hand: real etcd and Stoa under the same random story, for as long as
//! one likes.
//!
//! `cargo run --release -p tests --bin differ -- [--peer 3.5.1] [--shards 1,2,5] [--seed 1]
//! [--steps 200000] [--restart-every 0] [--tries 60]` tells a story; a failing one is made short
//! and printed. `--script FILE` tells the one in a file; with `--record`, it is printed with the
//! answers of the first server, as a golden script.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Duration;

use tests::client::run;
use tests::differ::peers::Entrant;
use tests::differ::shrink::{self, Plan};
use tests::differ::{golden, step::Step};

type Failure = Box<dyn std::error::Error>;

struct Args {
    plan: Plan,
    script: Option<String>,
    record: bool,
    tries: usize,
}

fn main() -> ExitCode {
    match args().and_then(|args| run(tell(args))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("differ: {e}");
            ExitCode::FAILURE
        }
    }
}

fn args() -> Result<Args, Failure> {
    let (mut peers, mut shards) = (Vec::new(), vec![1, 2, 5]);
    let mut args = Args {
        plan: Plan {
            entrants: Vec::new(),
            seed: 1,
            steps: 10_000,
            restart_every: 0,
        },
        script: None,
        record: false,
        tries: 60,
    };
    let mut given = std::env::args().skip(1);
    while let Some(flag) = given.next() {
        let mut value = || given.next().ok_or(format!("{flag} needs a value"));
        match flag.as_str() {
            "--peer" => {
                let version = value()?;
                let found = Entrant::etcd(&version);
                peers.push(found.ok_or(format!("no etcd {version} on this machine"))?);
            }
            "--shards" => {
                let list = value()?;
                let all = list.split(',').filter(|n| !n.is_empty()).map(str::parse);
                shards = all.collect::<Result<_, _>>()?;
            }
            "--seed" => args.plan.seed = value()?.parse()?,
            "--steps" => args.plan.steps = value()?.parse()?,
            "--restart-every" => args.plan.restart_every = value()?.parse()?,
            "--tries" => args.tries = value()?.parse()?,
            "--script" => args.script = Some(value()?),
            "--record" => args.record = true,
            _ => return Err(format!("{flag} is not known").into()),
        }
    }
    args.plan.entrants = peers;
    let stoas = shards.into_iter().map(Entrant::Stoa);
    args.plan.entrants.extend(stoas);
    Ok(args)
}

/// Whether all answers were the same.
async fn tell(args: Args) -> Result<bool, Failure> {
    let entrants = &args.plan.entrants;
    let report = match &args.script {
        Some(path) => {
            let entries = golden::parse(&std::fs::read_to_string(path)?)?;
            if args.record {
                let played = golden::play(entrants, &entries).await?;
                let (entries, differences) = played.ok_or("a server is missing")?;
                print!("{}", golden::text(&entries));
                eprintln!("{}", differences.join("\n"));
                return Ok(differences.is_empty());
            }
            let steps: Vec<Step> = entries.into_iter().map(|e| e.step).collect();
            shrink::replay(entrants, &steps).await?
        }
        None => shrink::run(&args.plan).await?,
    };
    let mut report = report.ok_or("a server is missing")?;
    for (row, count) in &report.explained {
        println!("{count} times: {row}");
    }
    for (what, count) in &report.seen {
        println!("met {count} times: {what}");
    }
    let (steps, refused, revision) = (report.steps.len(), report.refused, report.revision);
    println!(
        "seed {}: {steps} steps to revision {revision}, {refused} refused, {} differences",
        args.plan.seed,
        report.differences.len()
    );
    if report.differences.is_empty() {
        return Ok(true);
    }
    println!("{}", report.differences.join("\n"));
    if args.tries > 0 {
        println!("making it short ...");
        let limit = Duration::from_secs(1800);
        report = shrink::shrink(entrants, report, args.tries, limit).await;
        println!("{}", shrink::told(&report));
    }
    Ok(false)
}
