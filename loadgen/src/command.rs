//! What the commands that load a server have in common: their files are tried before anything is
//! measured, one thread does all of the work, ctrl-C is heard, and what went wrong is told on one
//! line.

use std::process::ExitCode;

use crate::progress::Stop;
use crate::report::{Outputs, Report};

/// Runs the command `name`: measures with `measure`, makes the report and writes it. The exit code
/// is that of `verdict`, or 1 with a line on standard error where it could not be run.
pub fn run<T>(
    name: &str,
    outputs: &Outputs,
    measure: impl AsyncFnOnce(Stop) -> Result<T, String>,
    report: impl FnOnce(&T) -> Report,
    verdict: impl FnOnce(&T) -> u8,
) -> ExitCode {
    let told = outputs.check().map_err(|e| e.to_string());
    let told = told.and_then(|()| {
        let measured = on_one_thread(measure)?;
        let written = report(&measured).publish(outputs);
        written.map_err(|e| e.to_string())?;
        Ok(measured)
    });
    match told {
        Ok(measured) => ExitCode::from(verdict(&measured)),
        Err(why) => refuse(name, &why),
    }
}

fn on_one_thread<T>(measure: impl AsyncFnOnce(Stop) -> Result<T, String>) -> Result<T, String> {
    let stop = Stop::listen().map_err(|e| format!("cannot hear ctrl-C: {e}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    tokio::task::LocalSet::new().block_on(&runtime, measure(stop))
}

/// Says why the command `name` cannot be run.
#[allow(clippy::print_stderr)]
pub fn refuse(name: &str, why: &str) -> ExitCode {
    eprintln!("stoa-loadgen {name}: {why}");
    ExitCode::FAILURE
}
