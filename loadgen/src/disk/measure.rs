//! Runs one case: prepares its files, starts a thread for each log, and puts together what they
//! measured.

use std::fs::{File, OpenOptions};
use std::io;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use tuning::Durable;

use super::background::Checkpoint;
use super::case::{Case, Pattern};
use super::files::{self, WorkDir};
use super::offsets::{Offsets, SEED};
use super::priority::Watch;
use super::recorder::Recorder;
use super::stretch::Stretch;
use super::uring::{self, Shape};
use super::{etcd, syscalls, wal};
use crate::progress::Stop;

/// Bytes of the file that is written over.
pub const FILE_BYTES: u64 = 64 << 20;
/// Bytes of each when several logs are written.
const LOG_BYTES: u64 = 16 << 20;
/// Bytes of the file that is written without a sync.
const UNSYNCED_BYTES: u64 = 16 << 20;
/// Where files that are extended end, all logs' taken together, and their measurement with them.
const APPEND_BYTES: u64 = 512 << 20;
/// Room for what is there beside the files of parallel logs: the files written over, one that is
/// extended or a log's segments, a checkpoint.
const OTHER_BYTES: u64 = 1 << 30;

/// The file that a case with one log works on, below the work directory.
#[must_use]
pub fn file_of(case: &Case) -> String {
    file_name(case.pattern, 0)
}

/// Bytes that must be free for a run with up to so many parallel logs.
#[must_use]
pub fn bytes_needed(logs: usize) -> u64 {
    // Buffered and direct writes have files of their own.
    OTHER_BYTES + 2 * LOG_BYTES * logs as u64
}

/// What a case came to.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// What was measured.
    pub case: Case,
    /// The times.
    pub recorder: Recorder,
}

impl Measurement {
    /// Operations a second, of all logs.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.recorder.count as f64 / self.recorder.length().as_secs_f64().max(1e-9)
    }

    /// The latency that this share of all operations did not exceed.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.recorder.histogram.value_at_quantile(quantile))
    }

    /// What a durable write costs in the long run: the mean at depth 1, which is far above the
    /// median where writes are let through in bursts.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.recorder.histogram.mean() as u64)
    }

    /// What the choice of a profile rests on, where this is of durable writes.
    #[must_use]
    pub fn durable(&self) -> Durable {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Durable {
            p50_us: us(self.quantile(0.5)),
            mean_us: us(self.mean()),
            p99_us: us(self.quantile(0.99)),
        }
    }

    /// The slowest operation.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.recorder.histogram.max())
    }
}

/// Measures `case` below `work` for the length of `stretch`.
///
/// # Errors
/// `InvalidInput` where the disk does not know the pattern (no direct I/O, or not for blocks this
/// small); else when it fails.
pub fn run(work: &WorkDir, case: &Case, stretch: &Stretch) -> io::Result<Measurement> {
    let beside = case
        .background
        .then(|| Checkpoint::start(work, stretch.stop))
        .transpose()?;
    let recorder = match case.pattern {
        Pattern::Wal | Pattern::WalWriteSync => {
            let root = tempfile::tempdir_in(work.path())?;
            wal::run(root.path(), case, stretch)?
        }
        _ => run_threads(work, case, stretch)?,
    };
    if let Some(beside) = beside {
        beside.finish()?;
    }
    // What was removed must not be written while the next case is timed.
    work.sync()?;
    match recorder.count {
        0 => Err(io::ErrorKind::Interrupted.into()),
        _ => Ok(Measurement {
            case: *case,
            recorder,
        }),
    }
}

fn run_threads(work: &WorkDir, case: &Case, stretch: &Stretch) -> io::Result<Recorder> {
    let names: Vec<String> = (0..case.logs)
        .map(|log| file_name(case.pattern, log))
        .collect();
    let files = names
        .iter()
        .map(|name| prepare(work, case, name, stretch.stop));
    let files: Vec<(File, u64)> = files.collect::<io::Result<_>>()?;
    let barrier = Arc::new(Barrier::new(case.logs));
    let drive = |(file, bytes): (File, u64)| {
        let barrier = barrier.clone();
        move || {
            barrier.wait();
            let watch = Watch::begin();
            let mut recorder = drive(work, &file, bytes, case, stretch)?;
            recorder.waited = watch.end();
            Ok(recorder)
        }
    };
    let measured: Vec<io::Result<Recorder>> = thread::scope(|scope| {
        let threads: Vec<_> = files
            .into_iter()
            .map(|file| scope.spawn(drive(file)))
            .collect();
        let ended = |thread: thread::ScopedJoinHandle<'_, _>| {
            let panicked = |_| Err(io::Error::other("a driver panicked"));
            thread.join().unwrap_or_else(panicked)
        };
        threads.into_iter().map(ended).collect()
    });
    let mut all = Recorder::new(stretch.zero);
    for one in measured {
        all.merge(&one?);
    }
    for name in &names {
        tidy(work, case, name);
    }
    Ok(all)
}

/// The file of a log. Buffered and direct writes do not share one: each would pay for the other's
/// pages in the cache.
fn file_name(pattern: Pattern, log: usize) -> String {
    let kind = match pattern {
        Pattern::AppendFdatasync => "appended",
        Pattern::BufferedUnsynced => "unsynced",
        Pattern::OverwriteFdatasync | Pattern::OverwriteFdatasyncUring => "buffered",
        _ => "direct",
    };
    format!("{kind}-{log}")
}

/// Removes what the next measurement would pay for: dirty pages, and space.
fn tidy(work: &WorkDir, case: &Case, name: &str) {
    if matches!(
        case.pattern,
        Pattern::AppendFdatasync | Pattern::BufferedUnsynced
    ) {
        work.forget(name);
    }
}

/// Opens the file of one log as the pattern wants it, and says how much of it is used.
fn prepare(work: &WorkDir, case: &Case, name: &str, stop: Stop) -> io::Result<(File, u64)> {
    let bytes = match case.pattern {
        Pattern::BufferedUnsynced => UNSYNCED_BYTES,
        Pattern::AppendFdatasync => APPEND_BYTES / case.logs as u64,
        _ if case.logs > 1 => LOG_BYTES,
        _ => FILE_BYTES,
    };
    let (mut read, mut write) = (OpenOptions::new(), OpenOptions::new());
    let (read, write) = (read.read(true), write.write(true));
    let written = || work.written(name, bytes, stop);
    let file = match case.pattern {
        Pattern::Etcd | Pattern::Wal | Pattern::WalWriteSync => File::open(work.path()),
        Pattern::AppendFdatasync => files::open(&work.empty(name)?, write, 0),
        Pattern::OverwriteFdatasync
        | Pattern::OverwriteFdatasyncUring
        | Pattern::BufferedUnsynced => {
            let path = written()?;
            // A block that is part of a page must not wait for the page to be read.
            io::copy(&mut File::open(&path)?, &mut io::sink())?;
            files::open(&path, write, 0)
        }
        Pattern::DirectDsync | Pattern::DirectDsyncPwrite => {
            files::open(&written()?, write, libc::O_DIRECT | libc::O_DSYNC)
        }
        Pattern::LinkedFsync | Pattern::SequentialWrite | Pattern::RandomWrite => {
            files::open(&written()?, write, libc::O_DIRECT)
        }
        Pattern::SequentialRead | Pattern::RandomRead => {
            files::open(&written()?, read, libc::O_DIRECT)
        }
    };
    Ok((file?, bytes))
}

fn drive(
    work: &WorkDir,
    file: &File,
    bytes: u64,
    case: &Case,
    stretch: &Stretch,
) -> io::Result<Recorder> {
    let (block, depth) = (case.block_bytes, case.depth);
    let round = || Offsets::round(block, bytes);
    let once = || Offsets::once(block, bytes);
    let anywhere = || Offsets::anywhere(block, bytes, SEED);
    let ring = |shape, mut places| uring::run(file, shape, block, depth, &mut places, stretch);
    let plain = |mut places, sync| syscalls::write(file, block, &mut places, sync, stretch);
    match case.pattern {
        Pattern::Etcd => etcd::run(work.path(), block, depth, stretch),
        Pattern::AppendFdatasync if depth == 1 => plain(once(), true),
        Pattern::AppendFdatasync => ring(Shape::WriteThenSync, once()),
        Pattern::OverwriteFdatasync if depth == 1 => plain(round(), true),
        Pattern::OverwriteFdatasync | Pattern::OverwriteFdatasyncUring => {
            ring(Shape::WriteThenSync, round())
        }
        Pattern::DirectDsyncPwrite | Pattern::BufferedUnsynced => plain(round(), false),
        Pattern::DirectDsync | Pattern::SequentialWrite => ring(Shape::Write, round()),
        Pattern::LinkedFsync => ring(Shape::WriteLinkedSync, round()),
        Pattern::SequentialRead => ring(Shape::Read, round()),
        Pattern::RandomRead => ring(Shape::Read, anywhere()),
        Pattern::RandomWrite => ring(Shape::Write, anywhere()),
        Pattern::Wal | Pattern::WalWriteSync => Err(io::Error::other("the log has executors")),
    }
}
