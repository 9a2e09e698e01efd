//! What survives a power cut: numbered records are written and synced, and an observer on another
//! host is told which are promised; after the power was cut by hand, each promised record must be
//! there. The only test that a disk which lies about syncs cannot pass.

mod observer;
mod record;
mod verify;
mod wire;
mod writer;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use super::EXIT_LOST;
use crate::progress::Stop;

pub use record::{Medium, RunId, SLOTS, image};
pub use verify::{Lost, check};
pub use writer::{Promise, promise_all};

/// Name of the file that the records are in, below the directory.
pub const FILE: &str = "stoa-power-cut.records";

/// How a record is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sync {
    /// A buffered write, then fdatasync.
    Fdatasync,
    /// One write with `O_DIRECT` and `O_DSYNC`.
    Dsync,
}

/// Options of `disk power-cut`.
#[derive(Debug, clap::Args)]
pub struct WriteArgs {
    /// Directory on the disk to test; its file of records stays there for the check
    #[arg(long)]
    dir: PathBuf,
    /// Where the observer listens: a host whose power stays
    #[arg(long, value_name = "ADDR")]
    observer: SocketAddr,
    /// How records are made durable
    #[arg(long, value_enum, default_value = "fdatasync")]
    sync: Sync,
    /// Ends after so many records, for a trial without a cut
    #[arg(long)]
    records: Option<u64>,
}

/// Options of `disk power-cut-observer`.
#[derive(Debug, clap::Args)]
pub struct ObserveArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Keeps the promises in this file too, so that they outlive the observer
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
}

/// Options of `disk power-cut-verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The directory given to `power-cut`
    #[arg(long)]
    dir: PathBuf,
    /// The observer, still running
    #[arg(long, value_name = "ADDR", required_unless_present = "promised")]
    observer: Option<SocketAddr>,
    /// What it noted instead, as `RUN:NUMBER`
    #[arg(long, value_name = "RUN:NUMBER", conflicts_with = "observer")]
    promised: Option<String>,
}

/// Prints a line, if anybody reads it: what was promised, and the exit code, do not hang on that.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes until the power is cut, the run is told to end, or all records are written.
///
/// # Errors
/// When the disk fails or the observer cannot be reached any more.
pub fn write(args: &WriteArgs) -> io::Result<ExitCode> {
    let stop = Stop::listen()?;
    let (run, mut medium) = writer::create(&args.dir, args.sync)?;
    let mut observer = wire::Told::connect(args.observer, run)?;
    say(&format!(
        "run {run}: cut the power at any time, then start power-cut-verify"
    ));
    let last = promise_all(run, &mut medium, args.records, &mut observer, || {
        stop.is_set()
    })?;
    say(&format!(
        "run {run}: {last} records promised, and no cut came"
    ));
    Ok(ExitCode::SUCCESS)
}

/// Listens until it is told to end.
///
/// # Errors
/// When it cannot listen, or not write the file.
pub fn observe(args: &ObserveArgs) -> io::Result<ExitCode> {
    let stop = Stop::listen()?;
    let observer = observer::Observer::bind(args.listen, args.keep.clone())?;
    say(&format!(
        "listening on {}; end with ctrl-C after the check",
        observer.address()?
    ));
    observer.serve(|| stop.is_set())?;
    for (run, number) in observer.promises() {
        say(&format!(
            "run {run}: promised up to {number} (--promised {run}:{number})"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks what is there.
///
/// # Errors
/// When the file cannot be read or nobody says what was promised.
pub fn verify(args: &VerifyArgs) -> io::Result<ExitCode> {
    let path = args.dir.join(FILE);
    let (run, promised) = match (&args.promised, args.observer) {
        (Some(text), _) => wire::parse_promised(text)?,
        (None, Some(observer)) => wire::ask(observer, verify::run_of(&path))?,
        (None, None) => {
            return Err(super::usage(
                "give --observer ADDR or --promised RUN:NUMBER",
            ));
        }
    };
    let lost = match std::fs::File::open(&path) {
        Ok(mut file) => check(&mut file, run, promised)?,
        // The file was there and synced before the first promise.
        Err(error) if error.kind() == io::ErrorKind::NotFound && promised > 0 => {
            Lost::everything(promised)
        }
        Err(error) => {
            return Err(io::Error::new(
                error.kind(),
                format!("{}: {error}", path.display()),
            ));
        }
    };
    say(&lost.in_words(run, promised));
    Ok(match lost.numbers.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_LOST),
    })
}

#[cfg(test)]
mod tests;
