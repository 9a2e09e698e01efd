//! Runs the simulator: `cargo run -p tests --bin sim -- SEED [--rounds N] [--lives N] [--broken
//! CLASS]`.
//! Prints what each seed did; a failure prints the seed that shows it again.

use std::process::ExitCode;

use tests::sim::faults;
use tests::sim::run::{Plan, run};

const USAGE: &str = "usage: sim SEED [--rounds N] [--lives N] [--clients N] [--requests N] \
                     [--crash-at OPERATION] [--crash-boot-at OPERATION] [--broken CLASS]";

#[allow(clippy::print_stdout, clippy::print_stderr)]
fn main() -> ExitCode {
    let (plan, rounds) = match parse(std::env::args().skip(1)) {
        Ok(parsed) => parsed,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut failures = 0;
    for round in 0..rounds {
        let plan = Plan {
            seed: plan.seed + round,
            ..plan
        };
        match run(&plan) {
            Ok(summary) => println!("seed {}: {summary:?}", plan.seed),
            Err(failure) => {
                println!("seed {}: FAILED {failure}\n    {plan:?}", plan.seed);
                failures += 1;
            }
        }
    }
    println!("{failures} of {rounds} seeds failed");
    ExitCode::from(u8::from(failures > 0))
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<(Plan, u64), String> {
    let seed = args.next().ok_or("a seed is missing")?;
    let mut plan = Plan::new(number(&seed)?);
    let mut rounds = 1;
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(format!("{flag} has no value"))?;
        match flag.as_str() {
            "--rounds" => rounds = number(&value)?,
            "--lives" => plan.lives = number(&value)?,
            "--clients" => plan.service.clients = number(&value)?,
            "--requests" => plan.service.requests = number(&value)?,
            "--crash-at" => plan.crash_at = Some(number(&value)?),
            "--crash-boot-at" => plan.crash_boot_at = Some(number(&value)?),
            "--broken" => {
                let named = |class: &&faults::SyncClass| format!("{class:?}") == value;
                let class = faults::ALL.iter().find(named);
                plan.broken = Some(*class.ok_or(format!("no such class: {value}"))?);
            }
            _ => return Err(format!("no such flag: {flag}")),
        }
    }
    Ok((plan, rounds))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}
