//! Measures one directory after the other, with a progress bar, until all is done or the run is
//! told to end.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::exhaust;
use super::files::{self, WorkDir};
use super::measure;
use super::plan::Plan;
use super::priority;
use super::results::{Failure, Results};
use super::span::Span;
use crate::machine::device::Device;
use crate::progress::{Progress, Stop};

/// What a run needs free: the files written over, a log's segments, a checkpoint.
const FREE_BYTES: u64 = 1 << 30;

/// How far beyond its time a run may go before what is not essential is left out.
const LATE: f64 = 1.2;

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Time for each directory.
    pub time: Duration,
    /// Most logs in parallel.
    pub logs: usize,
    /// How long to write for signs of exhaustion, if at all.
    pub exhaust: Option<Duration>,
    /// Whether the threads run before ordinary ones.
    pub is_realtime: bool,
    /// Ends it early.
    pub stop: Stop,
}

/// Looks whether `dir` can be measured at all, before anything is.
///
/// # Errors
/// When it is missing, cannot be written, or is full.
pub fn check(dir: &Path) -> io::Result<()> {
    let free = files::free_bytes(dir).map_err(|e| named(dir, &e))?;
    if free < FREE_BYTES {
        let (free, need) = (free >> 20, FREE_BYTES >> 20);
        let text = format!("{free} MiB are free and {need} MiB are needed; make room");
        return Err(named(
            dir,
            &io::Error::new(io::ErrorKind::StorageFull, text),
        ));
    }
    WorkDir::below(dir).map(drop).map_err(|e| named(dir, &e))
}

/// The same error with the directory before it.
fn named(dir: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", dir.display()))
}

/// Measures the disk behind `dir`, times counted from `zero`.
///
/// # Errors
/// When nothing can be measured there.
pub fn directory(dir: &Path, zero: Instant, settings: &Settings) -> io::Result<Results> {
    let named = |e: io::Error| named(dir, &e);
    let device = Device::behind(dir).map_err(named)?;
    let work = WorkDir::below(dir).map_err(named)?;
    let plan = Plan::new(settings.time, settings.logs);
    let mut results = Results {
        dir: dir.to_owned(),
        device,
        measurements: Vec::new(),
        failures: Vec::new(),
        left_out: plan.left_out.clone(),
        exhaustion: Vec::new(),
        is_partial: false,
        is_realtime: settings.is_realtime,
    };
    let total: Duration = plan.cases.iter().map(|case| plan.time(case)).sum();
    let progress = Progress::new(&dir.display().to_string(), total.as_millis() as u64);
    let mut done = Duration::ZERO;
    let begin = Instant::now();
    let late = settings.time.mul_f64(LATE);
    for (number, case) in plan.cases.iter().enumerate() {
        if settings.stop.is_set() {
            break;
        }
        // On a slow disk the files to write on take most of the time.
        if number >= plan.essential && begin.elapsed() > late {
            let rest = plan.cases.len() - number;
            let text = format!("{rest} patterns, since the disk is slow and the time was over");
            results.left_out.push(text);
            break;
        }
        progress.say(&format!("{}: {case}", dir.display()));
        let length = plan.time(case);
        let stop = settings.stop;
        let span = Span { zero, length, stop };
        if settings.is_realtime {
            // Granted once, so granted again.
            priority::set(priority::may_run_first(case));
        }
        match measure::run(&work, case, &span) {
            Ok(measured) => results.measurements.push(measured),
            Err(_) if stop.is_set() => {}
            Err(error) => results.failures.push(failure(*case, &error)),
        }
        done += length;
        progress.set(done.as_millis() as u64);
    }
    if let Some(limit) = settings.exhaust.filter(|_| !settings.stop.is_set()) {
        let span = Span {
            zero,
            length: limit,
            stop: settings.stop,
        };
        priority::set(false);
        results.exhaustion = exhaust::run(&work, limit, &span, &progress).map_err(named)?;
    }
    results.is_partial = settings.stop.is_set();
    Ok(results)
}

fn failure(case: super::case::Case, error: &io::Error) -> Failure {
    let unsupported = [
        io::ErrorKind::InvalidInput,
        io::ErrorKind::Unsupported,
        // The time was over before the first operation was.
        io::ErrorKind::Interrupted,
        // io_uring is switched off, or a sandbox refuses it.
        io::ErrorKind::PermissionDenied,
    ];
    let is_unsupported = unsupported.contains(&error.kind());
    let is_small = case.block_bytes < 4096 && error.kind() == io::ErrorKind::InvalidInput;
    let why = match error.kind() {
        io::ErrorKind::InvalidInput if is_small => {
            format!(
                "the disk takes no blocks of {} bytes ({error})",
                case.block_bytes
            )
        }
        io::ErrorKind::InvalidInput => format!("the file system refuses it ({error})"),
        io::ErrorKind::Interrupted => "not one operation ended in its time".to_owned(),
        _ => error.to_string(),
    };
    Failure {
        case,
        why,
        is_unsupported,
    }
}
