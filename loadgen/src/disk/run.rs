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
use super::stretch::Stretch;
use crate::machine::device::Device;
use crate::progress::{Progress, Stop};

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
pub fn check(dir: &Path, settings: &Settings) -> io::Result<()> {
    let free = files::free_bytes(dir).map_err(|e| named(dir, &e))?;
    let need = measure::bytes_needed(settings.logs);
    if free < need {
        let (free, need) = (free >> 20, need >> 20);
        let text = format!("{free} MiB are free and {need} MiB are needed; make room");
        let error = io::Error::new(io::ErrorKind::StorageFull, text);
        return Err(named(dir, &error));
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
    let device = Device::behind(dir).map_err(|e| named(dir, &e))?;
    let work = WorkDir::below(dir).map_err(|e| named(dir, &e))?;
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
    all_cases(&work, &plan, zero, settings, &mut results);
    if let Some(limit) = settings.exhaust.filter(|_| !settings.stop.is_set()) {
        priority::set(false);
        match exhaust::run(&work, limit, settings.stop) {
            Ok(found) => results.exhaustion = found,
            Err(_) if settings.stop.is_set() => {}
            // What was measured before must not be lost with it.
            Err(error) => results.left_out.push(format!("long writing ({error})")),
        }
    }
    results.is_partial = settings.stop.is_set();
    Ok(results)
}

/// Measures case after case.
fn all_cases(
    work: &WorkDir,
    plan: &Plan,
    zero: Instant,
    settings: &Settings,
    results: &mut Results,
) {
    let dir = results.dir.display().to_string();
    let total: Duration = plan.cases.iter().map(|case| plan.time(case)).sum();
    let progress = Progress::new(&dir, total.as_millis() as u64);
    let mut done = Duration::ZERO;
    let begin = Instant::now();
    let late = settings.time.mul_f64(LATE);
    let stop = settings.stop;
    for (number, case) in plan.cases.iter().enumerate() {
        if stop.is_set() {
            break;
        }
        // On a slow disk the files to write on take most of the time.
        if number >= plan.essential && begin.elapsed() > late {
            let rest = plan.cases.len() - number;
            let text = format!("{rest} patterns, since the disk is slow and the time was over");
            results.left_out.push(text);
            break;
        }
        progress.say(&format!("{dir}: {case}"));
        let length = plan.time(case);
        if settings.is_realtime {
            // Granted once, so granted again.
            priority::set(priority::may_run_first(case));
        }
        match measure::run(work, case, &Stretch { zero, length, stop }) {
            Ok(measured) => results.measurements.push(measured),
            Err(_) if stop.is_set() => {}
            Err(error) => results.failures.push(Failure::new(*case, &error)),
        }
        done += length;
        progress.set(done.as_millis() as u64);
    }
}
