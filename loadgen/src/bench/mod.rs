//! `stoa-loadgen bench`.

use std::process::ExitCode;

use crate::report::Outputs;

/// Options of `stoa-loadgen bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    outputs: Outputs,
}

/// Runs the command; the exit code is its verdict.
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    let _ = &args.outputs;
    ExitCode::FAILURE
}
