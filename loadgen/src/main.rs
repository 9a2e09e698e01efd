//! The program `stoa-loadgen`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Qualifies disks, loads etcd servers, plans capacity and plays Kubernetes
#[derive(Parser)]
#[command(name = "stoa-loadgen", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

// Parsed once: its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Subcommand)]
enum Command {
    /// Says whether a disk may carry a log, and for how large a cluster
    Disk(loadgen::disk::Args),
    /// Puts load on a server and measures what it answers
    Bench(Box<loadgen::bench::Args>),
    /// Searches how much a cluster can take
    Capacity(loadgen::capacity::Args),
    /// Plays kube-apiservers in front of many nodes
    Kubernetes(loadgen::kubernetes::Args),
}

fn main() -> ExitCode {
    loadgen::report::begin();
    match Args::parse().command {
        Command::Disk(args) => loadgen::disk::main(&args),
        Command::Bench(args) => loadgen::bench::main(&args),
        Command::Capacity(args) => loadgen::capacity::main(&args),
        Command::Kubernetes(args) => loadgen::kubernetes::main(&args),
    }
}
