//! `stoa-loadgen capacity`: the highest rate that meets an objective, and whether a Kubernetes
//! cluster fits.
//!
//! | file | job |
//! |---|---|
//! | `objective`, `question` | what has to hold, what is asked, and the answer in words |
//! | `search` | doubling, halving, and holding what is left |
//! | `load` | the seam to the engine of the load |
//! | `driver`, `workload`, `watches` | the engine of `bench` with drawn operations, and watches |
//! | `run`, `summary` | one search after the other, and how they are told |

mod driver;
mod load;
mod objective;
mod question;
mod run;
mod search;
mod summary;
mod watches;
mod workload;

use std::process::ExitCode;
use std::time::Duration;

use crate::client::Options;
use crate::command;
use crate::kubernetes::model::Model;
use crate::report::Outputs;
use crate::span;
use objective::Objective;
use workload::Name;

/// Options of `stoa-loadgen capacity`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    client: Options,
    /// What has to hold: p50, p90, p99, p999, max below a span; errors=0 or errors<1%
    #[arg(long, default_value = "p99<10ms,errors=0", value_parser = Objective::parse)]
    objective: Objective,
    /// How long the rate that is found has to hold
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = span::parse)]
    hold: Duration,
    /// How long each rate is tried on the way
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = span::parse)]
    trial: Duration,
    /// What is searched, one after the other [default: put; kubernetes with a question]
    #[arg(long, value_enum, value_delimiter = ',')]
    workload: Vec<Name>,
    /// Sizes of values, bytes, each searched; kubernetes has its own
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "256",
          value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    value_size: Vec<u32>,
    /// Keys; of kubernetes, objects of each type at most
    #[arg(long, default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    keys: u32,
    /// Whether a Kubernetes cluster fits, such as "5000 nodes, 150000 pods, 200 changes a second"
    #[arg(long, value_parser = question::parse)]
    question: Option<Model>,
    /// kube-apiservers that watch everything in the workload kubernetes
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=64))]
    apiservers: u32,
    /// Connections
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// The rate to begin with, operations a second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    first_rate: u32,
    /// The highest rate that is tried
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    max_rate: u32,
    /// How near the rate that is found is to the highest, percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=50))]
    within: u32,
    /// Seed of all chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    outputs: Outputs,
}

/// No rate met the objective, or the cluster does not fit.
const NOT_MET: u8 = 3;

/// Runs the command; the exit code is its verdict: 0 rates were found and what was asked fits, 1
/// it could not be run, 3 no rate met the objective or the cluster does not fit.
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    command::run(
        "capacity",
        &args.outputs,
        async |stop| run::run(args, stop).await,
        |found| summary::report(args, found),
        |found| if found.is_met() { 0 } else { NOT_MET },
    )
}
