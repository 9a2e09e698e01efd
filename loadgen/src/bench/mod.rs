//! `stoa-loadgen bench`: load on any etcd v3 server.
//!
//! A [`load::Load`] says what is asked; [`run::run`] asks it. The engine, which `capacity` uses as
//! well: a `session` holds connections (`slot`, made again when they break) and puts one load after
//! the other on them; its `clients` ask in a closed loop or by a `schedule`, each what its `source`
//! says; `record` counts, `steps` tells rates apart, `outcome` is what comes of it. Of this command
//! alone: `client` makes the operations of a load, `watchers` watch, `check` compares what was
//! acknowledged with what is there, `show` makes the report.

mod check;
mod client;
mod clients;
pub mod keys;
pub mod load;
mod outcome;
pub mod record;
pub mod run;
pub mod schedule;
pub(crate) mod session;
mod show;
pub(crate) mod slot;
pub(crate) mod source;
pub mod steps;
mod timer;
mod watchers;

use std::process::ExitCode;
use std::time::Duration;

use clap::ArgGroup;

use crate::client::Options;
use crate::command;
use crate::progress::Progress;
use crate::report::Outputs;
use crate::span;
use keys::Space;
use load::{Load, Mix, Operation};
use schedule::Schedule;

/// Exit code when the check found a fault.
const EXIT_FAULT: u8 = 2;

/// Options of `stoa-loadgen bench`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").args(["workload", "mix"]).required(true))]
#[command(group = ArgGroup::new("when").args(["rate", "steps", "ramp"]))]
pub struct Args {
    #[command(flatten)]
    server: Options,
    /// What is asked
    #[arg(long)]
    workload: Option<Operation>,
    /// Several workloads and their shares, such as put=1,get=9
    #[arg(long, value_parser = Mix::parse)]
    mix: Option<Mix>,
    /// Clients, each with one operation on its way
    #[arg(long, default_value_t = 64, value_parser = at_least_one)]
    clients: u64,
    /// Connections that they share
    #[arg(long, default_value_t = 8, value_parser = at_least_one)]
    conns: u64,
    /// Operations a second, made by the clock whether answers have come or not; latency counts
    /// from when each was due [default: each client asks when it has its answer]
    #[arg(long, value_parser = schedule::rate)]
    rate: Option<f64>,
    /// Rates one after the other, each for an equal part of the time, such as 1000,2000,4000
    #[arg(long, value_parser = Schedule::steps)]
    steps: Option<Schedule>,
    /// A rate that grows evenly, such as 1000..10000
    #[arg(long, value_parser = Schedule::ramp)]
    ramp: Option<Schedule>,
    /// Measured time
    #[arg(long, default_value = "10s", value_parser = span::parse)]
    duration: Duration,
    /// Time before it that is not measured
    #[arg(long, default_value = "2s", value_parser = span::parse)]
    warmup: Duration,
    /// Bytes of values
    #[arg(long, default_value_t = 256)]
    value_size: usize,
    /// Keys
    #[arg(long, default_value_t = 10_000, value_parser = at_least_one)]
    keys: u64,
    /// Bytes of keys, if their names allow it
    #[arg(long, default_value_t = 32)]
    key_size: usize,
    /// How keys are chosen
    #[arg(long, value_enum, default_value_t = Space::Uniform)]
    key_space: Space,
    /// Keys of a range
    #[arg(long, default_value_t = 100, value_parser = at_least_one)]
    range_keys: u64,
    /// Keys of a transaction
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=128))]
    txn_keys: u64,
    /// Watchers of a fan-out
    #[arg(long, default_value_t = 64, value_parser = at_least_one)]
    watchers: u64,
    /// How many of the watchers share a stream, as those of one etcd client do
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    watches_per_stream: u64,
    /// Seconds that leases live
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(i64).range(1..=86_400))]
    lease_ttl: i64,
    /// Where chance begins: the same seed chooses the same keys
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Checks that what was acknowledged is there and that a watch is told of it, once and in order
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    outputs: Outputs,
}

fn at_least_one(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("has to be at least 1".to_owned()),
        Ok(number) if number <= 100_000_000 => Ok(number),
        Ok(_) => Err("has to be at most 100000000".to_owned()),
        Err(e) => Err(format!("is no number: {e}")),
    }
}

impl Args {
    fn load(&self) -> Result<Load, String> {
        let mix = match (&self.workload, &self.mix) {
            (Some(operation), _) => Mix(vec![(*operation, 1)]),
            (None, Some(mix)) => mix.clone(),
            (None, None) => return Err("--workload or --mix has to be given".to_owned()),
        };
        let schedule = match (self.rate, &self.steps, &self.ramp) {
            (Some(rate), _, _) => Schedule::Rate(rate),
            (_, Some(schedule), _) | (_, _, Some(schedule)) => schedule.clone(),
            _ => Schedule::Closed,
        };
        let load = Load {
            mix,
            schedule,
            clients: self.clients as usize,
            conns: self.conns.min(self.clients) as usize,
            duration: self.duration,
            warmup: self.warmup,
            value_size: self.value_size,
            keys: self.keys,
            key_size: self.key_size,
            space: self.key_space,
            range_keys: self.range_keys,
            txn_keys: self.txn_keys as usize,
            watchers: self.watchers as usize,
            watches_per_stream: self.watches_per_stream as usize,
            lease_ttl: self.lease_ttl,
            seed: self.seed,
            check: self.check,
        };
        if load.is_fanout() && load.value_size < 8 {
            return Err("watch-fanout needs a --value-size of at least 8".to_owned());
        }
        if load.check && load.value_size < 8 {
            return Err("--check needs a --value-size of at least 8".to_owned());
        }
        if load.duration < Duration::from_millis(100) {
            return Err("--duration has to be at least 100ms".to_owned());
        }
        if load.clients > 100_000 || load.conns > 10_000 {
            return Err("at most 100000 --clients and 10000 --conns".to_owned());
        }
        Ok(load)
    }
}

/// Runs the command. The exit code says whether it could be run (1 if not) and whether the check
/// found a fault (2).
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    let load = match args.load() {
        Ok(load) => load,
        Err(why) => return command::refuse("bench", &why),
    };
    command::run(
        "bench",
        &args.outputs,
        async |stop| {
            let total = u64::try_from(load.duration.as_millis()).unwrap_or(u64::MAX);
            let progress = Progress::new("connecting", total);
            let outcome = run::run(&load, &args.server, stop, &progress).await;
            outcome.map_err(|status| status.to_string())
        },
        |outcome| show::report(&load, &args.server, outcome),
        |outcome| match &outcome.check {
            Some(check) if check.faults > 0 => EXIT_FAULT,
            _ => 0,
        },
    )
}
