//! `stoa-loadgen kubernetes`: kube-apiservers in front of many nodes, without the nodes.
//!
//! | file | job |
//! |---|---|
//! | `model` | what a cluster asks of etcd, from published figures; `capacity` uses it, too |
//! | `api`, `line`, `write` | an apiserver's requests, connections and conditional writes |
//! | `cache`, `apiserver` | lists and watches, and what is done by the clock |
//! | `object`, `cluster`, `rollout` | the objects, who writes them, how pods are replaced |
//! | `fill`, `drive`, `run`, `check` | the phases of a run |
//! | `record`, `server`, `outcome`, `summary` | what is measured, and how it is told |

mod api;
mod apiserver;
mod cache;
mod check;
mod cluster;
mod drive;
mod fill;
mod line;
pub mod model;
mod object;
mod outcome;
mod record;
mod rollout;
mod run;
mod summary;
mod write;

use std::process::ExitCode;
use std::time::Duration;

use crate::client::Options;
use crate::command;
use crate::report::Outputs;
use crate::span;

/// Options of `stoa-loadgen kubernetes`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    client: Options,
    /// Nodes of the cluster; with --find-nodes those to begin with
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    nodes: u32,
    /// Pods on each node; the published limit of a large cluster is 30 on average
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pods_per_node: u32,
    /// kube-apiservers, each with a watch cache of all
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    apiservers: u32,
    /// How long is measured
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = span::parse)]
    duration: Duration,
    /// Pods created and deleted a second [default: 20 for 5,000 nodes, in proportion]
    #[arg(long, value_name = "PER_SECOND")]
    changes: Option<f64>,
    /// Lists as streams, as kube-apiserver 1.37 does, where the server has them
    #[arg(long)]
    range_stream: bool,
    /// How often history is compacted; 0s: never
    #[arg(long, value_name = "SPAN", default_value = "5m", value_parser = span::parse)]
    compact_every: Duration,
    /// How often each apiserver counts the objects of each resource; 0s: never
    #[arg(long, value_name = "SPAN", default_value = "1m", value_parser = span::parse)]
    count_every: Duration,
    /// How often each apiserver answers a read that has to be consistent; 0s: never
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = span::parse)]
    read_every: Duration,
    /// How often one of the apiservers restarts, in turn; 0s: never [default: never, and with
    /// --find-nodes half of --duration]
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    restart_apiserver_every: Option<Duration>,
    /// Size of a stored node
    #[arg(long, value_name = "BYTES", default_value_t = 20_000,
          value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    node_bytes: u32,
    /// Size of a stored pod
    #[arg(long, value_name = "BYTES", default_value_t = 2500,
          value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    pod_bytes: u32,
    /// Searches the largest number of nodes for which the objectives hold
    #[arg(long)]
    find_nodes: bool,
    /// The most nodes that --find-nodes tries
    #[arg(long, default_value_t = 100_000,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_nodes: u32,
    /// Deletes what is below /registry/ before it begins
    #[arg(long)]
    wipe: bool,
    /// Limit of the 99th percentile of writes and of reads of one object
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = span::parse)]
    write_objective: Duration,
    /// Limit of the 99th percentile of lists
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = span::parse)]
    list_objective: Duration,
    /// Limit of the 99th percentile of the watch lag
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = span::parse)]
    lag_objective: Duration,
    /// Seed of all chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    outputs: Outputs,
}

impl Args {
    /// How often an apiserver restarts; zero: never. In a search each number of nodes has the lists
    /// of a restart: the first lists of all are made with the first number only.
    fn restart(&self) -> Duration {
        let usual = match self.find_nodes {
            true => self.duration / 2,
            false => Duration::ZERO,
        };
        self.restart_apiserver_every.unwrap_or(usual)
    }
}

/// The objectives did not hold.
const NOT_HELD: u8 = 3;
/// The server lost or mixed up what it had promised.
const WRONG: u8 = 4;

/// Runs the command; the exit code is its verdict: 0 the objectives held, 1 it could not be run,
/// 3 they did not hold, 4 a watch cache was not what the server lists, or a write was lost.
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    command::run(
        "kubernetes",
        &args.outputs,
        async |stop| run::run(args, stop).await,
        |found| summary::report(args, found),
        |found| match (found.is_wrong(), found.is_held()) {
            (true, _) => WRONG,
            (false, true) => 0,
            (false, false) => NOT_HELD,
        },
    )
}
