//! All that was measured on one disk, and how the rest looks single numbers up in it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::case::{Case, Pattern};
use super::exhaust::Exhaustion;
use super::measure::Measurement;
use super::priority::Attention;
use crate::machine::device::Device;

/// A case that could not be measured.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was to be measured.
    pub case: Case,
    /// Why it was not.
    pub why: String,
    /// Whether it says nothing against the disk: it knows no blocks so small, or io_uring is
    /// switched off.
    pub is_unsupported: bool,
}

/// Errors that a disk or its file system ends a write or a read with; any other says that the
/// machine or the file system does not let the pattern be measured, and nothing of the disk.
const OF_THE_DISK: [i32; 10] = [
    libc::EIO,
    libc::EROFS,
    libc::ENODATA,
    libc::ETIMEDOUT,
    libc::EREMOTEIO,
    libc::ENOLINK,
    libc::EBADE,
    libc::EILSEQ,
    libc::EUCLEAN,
    libc::ENODEV,
];

impl Failure {
    /// What an error means for `case`.
    #[must_use]
    pub fn new(case: Case, error: &io::Error) -> Failure {
        let is_small = case.block_bytes < 4096;
        let block = case.block_bytes;
        let why = match error.kind() {
            io::ErrorKind::InvalidInput if is_small => {
                format!("the disk takes no blocks of {block} bytes ({error})")
            }
            io::ErrorKind::InvalidInput => format!("the file system refuses it ({error})"),
            io::ErrorKind::Interrupted => "not one operation ended in its time".to_owned(),
            _ => error.to_string(),
        };
        let is_disks = error.raw_os_error().map_or_else(
            || {
                // Bytes moved only in part, or not those that were written; or the kernel's error
                // as the log's writer passes it on, without its number.
                let system = io::Error::from_raw_os_error(libc::EIO).kind();
                let kinds = [io::ErrorKind::WriteZero, io::ErrorKind::InvalidData, system];
                kinds.contains(&error.kind())
            },
            |number| OF_THE_DISK.contains(&number),
        );
        Failure {
            case,
            why,
            is_unsupported: !is_disks,
        }
    }
}

/// Everything of one disk.
#[derive(Debug)]
pub struct Results {
    /// As it was given.
    pub dir: PathBuf,
    /// What is behind it.
    pub device: Device,
    /// What was measured.
    pub measurements: Vec<Measurement>,
    /// What was not.
    pub failures: Vec<Failure>,
    /// What there was no time for.
    pub left_out: Vec<String>,
    /// What a long run showed, if asked for.
    pub exhaustion: Vec<Exhaustion>,
    /// Whether the run was ended early.
    pub is_partial: bool,
    /// Whether the threads ran before ordinary ones.
    pub is_realtime: bool,
}

impl Results {
    /// The measurement of `case`.
    #[must_use]
    pub fn get(&self, case: Case) -> Option<&Measurement> {
        self.measurements
            .iter()
            .find(|measured| measured.case.is_same(&case))
    }

    /// How the run stood with the scheduler.
    #[must_use]
    pub fn attention(&self) -> Attention {
        let durable = self
            .measurements
            .iter()
            .filter(|m| m.case.pattern.is_durable());
        let one_by_one = durable.filter(|m| m.case.depth == 1 && m.case.logs == 1);
        let known: Vec<_> = one_by_one.filter_map(|m| m.recorder.waited).collect();
        let waited: f64 = known.iter().map(|(waited, _)| waited.as_secs_f64()).sum();
        let ran: f64 = known.iter().map(|(_, ran)| ran.as_secs_f64()).sum();
        Attention {
            is_realtime: self.is_realtime,
            waited: (ran > 0.0).then(|| waited / ran),
        }
    }

    /// The measurement of a pattern, one at a time and alone.
    #[must_use]
    pub fn alone(&self, pattern: Pattern) -> Option<&Measurement> {
        self.get(Case::new(pattern))
    }

    /// The latency that 999 of 1000 writes of a pattern did not exceed, and the longest, quiet and
    /// beside a checkpoint taken together.
    #[must_use]
    pub fn tail(&self, patterns: &[Pattern]) -> Option<(Duration, Duration)> {
        let cases = patterns.iter().map(|pattern| Case::new(*pattern));
        let cases = cases.flat_map(|case| [case, case.with_background()]);
        let measured: Vec<&Measurement> = cases.filter_map(|case| self.get(case)).collect();
        let tail = measured.iter().map(|one| one.quantile(0.999)).max()?;
        Some((tail, measured.iter().map(|one| one.max()).max()?))
    }
}

#[cfg(test)]
mod tests;
