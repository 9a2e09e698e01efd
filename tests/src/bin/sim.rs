//! Runs the simulator: `cargo run -p tests --bin sim -- SEED [--rounds N] ...`. Prints what each
//! seed did; a failure prints the plan that shows it again.
//!
//! `--every N` crashes at every N-th operation of the disk in the first life of each seed,
//! `--every-boot 1` at every operation of the second life's start; `--broken CLASS` breaks one
//! promise of durability, by its name in `sim/faults.rs`; `--kill 1` kills the process at the
//! points
//! of a crash instead and leaves the disk its power.

use std::process::ExitCode;

use tests::sim::faults;
use tests::sim::run::{Plan, crash_every_boot, crash_everywhere, run};

const USAGE: &str = "usage: sim SEED [--rounds N] [--lives N] [--clients N] [--requests N] \
                     [--every STRIDE] [--every-boot 1] [--kill 1] [--crash-at OPERATION] \
                     [--crash-boot-at OPERATION] [--broken CLASS]";

/// How each seed is run.
#[derive(Clone, Copy)]
enum Mode {
    Once,
    Every(usize),
    EveryBoot,
}

#[allow(clippy::print_stdout, clippy::print_stderr)]
fn main() -> ExitCode {
    let (plan, rounds, mode) = match parse(std::env::args().skip(1)) {
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
        let done = match mode {
            Mode::Once => run(&plan)
                .map(|summary| format!("{summary:?}"))
                .map_err(|failure| (plan, failure)),
            Mode::Every(stride) => {
                crash_everywhere(&plan, stride).map(|runs| format!("{runs} crashes"))
            }
            Mode::EveryBoot => crash_every_boot(&plan).map(|runs| format!("{runs} crashes")),
        };
        match done {
            Ok(text) => println!("seed {}: {text}", plan.seed),
            Err((plan, failure)) => {
                println!("seed {}: FAILED {failure}\n    {plan:?}", plan.seed);
                failures += 1;
            }
        }
    }
    println!("{failures} of {rounds} seeds failed");
    ExitCode::from(u8::from(failures > 0))
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<(Plan, u64, Mode), String> {
    let seed = args.next().ok_or("a seed is missing")?;
    let mut plan = Plan::new(number(&seed)?);
    let mut rounds = 1;
    let mut mode = Mode::Once;
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(format!("{flag} has no value"))?;
        match flag.as_str() {
            "--rounds" => rounds = number(&value)?,
            "--lives" => plan.lives = number(&value)?,
            "--clients" => plan.service.clients = number(&value)?,
            "--requests" => plan.service.requests = number(&value)?,
            "--every" => mode = Mode::Every(number(&value)?.max(1) as usize),
            "--every-boot" => mode = Mode::EveryBoot,
            "--crash-at" => plan.crash_at = Some(number(&value)?),
            "--kill" => plan.kill = number(&value)? > 0,
            "--crash-boot-at" => plan.crash_boot_at = Some(number(&value)?),
            "--broken" => {
                let named = |class: &&faults::SyncClass| format!("{class:?}") == value;
                let class = faults::ALL.iter().find(named);
                plan.broken = Some(*class.ok_or(format!("no such class: {value}"))?);
            }
            _ => return Err(format!("no such flag: {flag}")),
        }
    }
    Ok((plan, rounds, mode))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}
