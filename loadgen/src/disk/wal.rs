//! Stoa's own log on the server's runtime: the engine's WAL writer with its frames, its group
//! commit and its turnover of segments, and a number of clients that each append one entry and
//! wait until it is durable.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use engine::format::identity::Identity;
use engine::ids::{GroupId, LaneId};
use engine::wal::{FrameHead, Lane, LaneOptions, WalError};
use futures::channel::oneshot;
use futures::future::{Either, join_all, select};
use server::runtime::disk::DirectDisk;
use server::runtime::executor::{ExecutorConfig, start};
use server::runtime::timer::Sleep;

use super::case::{Case, Pattern};
use super::priority::Watch;
use super::recorder::Recorder;
use super::stretch::Stretch;

/// How long the log may take to have its spare segment ready before times are taken all the same.
const READY_LIMIT: Duration = Duration::from_secs(3);
/// Entries after which what is durable is released, so that segments are used again.
const RELEASE_EVERY: u64 = 1024;

/// What one core does.
#[derive(Clone)]
struct Job {
    root: PathBuf,
    case: Case,
    stretch: Stretch,
    /// All cores begin to take times together.
    begin: Arc<Barrier>,
    result: Sender<io::Result<Recorder>>,
}

/// Runs `case.logs` lanes below `root`, each on an executor of its own with `case.depth` clients.
/// Returns what was measured.
///
/// # Errors
/// When executors cannot run here or a log fails.
pub fn run(root: &Path, case: &Case, stretch: &Stretch) -> io::Result<Recorder> {
    let (result, results) = channel();
    let job = Job {
        root: root.to_owned(),
        case: *case,
        stretch: *stretch,
        begin: Arc::new(Barrier::new(case.logs)),
        result,
    };
    let cores = u16::try_from(case.logs).map_err(io::Error::other)?;
    let executors = start(
        &ExecutorConfig::new(cores),
        vec![job; case.logs],
        |core, job| core_loop(core.0, job),
    );
    let executors = executors.map_err(io::Error::other)?;
    for exit in executors.join() {
        if let server::runtime::executor::Ending::Panicked(why) = exit.ending {
            return Err(io::Error::other(format!(
                "the log's executor panicked: {why}"
            )));
        }
    }
    let mut all = Recorder::new(stretch.zero);
    for measured in results.iter() {
        all.merge(&measured?);
    }
    Ok(all)
}

async fn core_loop(core: u16, job: Job) {
    let measured = measure(core, &job).await;
    // Nobody waits when another core failed first.
    let _ = job.result.send(measured);
}

async fn measure(core: u16, job: &Job) -> io::Result<Recorder> {
    let lane = create(core, job).await;
    // A core that failed must not let the others wait for ever.
    job.begin.wait();
    let lane = lane?;
    let running = lane.clone();
    let mut running = pin!(running.run());
    let clients = pin!(clients(&lane, job));
    let measured = match select(clients, &mut running).await {
        Either::Left((measured, _)) => measured,
        Either::Right((ended, _)) => {
            ended.map_err(of_log)?;
            return Err(io::Error::other("the log ended by itself"));
        }
    };
    lane.stop();
    running.await.map_err(of_log)?;
    measured.map_err(of_log)
}

async fn create(core: u16, job: &Job) -> io::Result<Lane<DirectDisk>> {
    let disk = DirectDisk::open(&job.root).await?;
    let options = LaneOptions {
        durable_writes: job.case.pattern == Pattern::Wal,
        spare_segments: 1,
        keep_segments: 3,
        ..LaneOptions::default()
    };
    let identity = Identity::new(1, 1);
    let lane = Lane::create(
        disk,
        String::new(),
        LaneId(core),
        1,
        identity,
        None,
        options,
    );
    lane.await.map_err(of_log)
}

/// The log's error with the kind that says whether the disk is at fault.
fn of_log(error: WalError) -> io::Error {
    let kind = match &error {
        WalError::Io { kind, .. } => *kind,
        WalError::Corrupt { .. } => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// Runs all clients of a lane, first until its spare segment is ready, then for the stretch.
async fn clients(lane: &Lane<DirectDisk>, job: &Job) -> Result<Recorder, WalError> {
    let warm = Instant::now();
    while lane.stats().ready == 0 && warm.elapsed() < READY_LIMIT && !job.stretch.stop.is_set() {
        one(lane, &[0; 64]).await?;
    }
    let recorder = Rc::new(RefCell::new(Recorder::new(job.stretch.zero)));
    let begin = Instant::now();
    let watch = Watch::begin();
    let client = || async {
        let payload = vec![0x5a; job.case.block_bytes];
        while !job.stretch.is_over(begin) {
            let began = Instant::now();
            one(lane, &payload).await?;
            let mut recorder = recorder.borrow_mut();
            recorder.record(began, Instant::now());
            if recorder.count.is_multiple_of(RELEASE_EVERY) {
                lane.release(lane.durable());
            }
        }
        Ok(())
    };
    let ended = join_all((0..job.case.depth).map(|_| client())).await;
    ended.into_iter().collect::<Result<(), WalError>>()?;
    let mut recorder = recorder.replace(Recorder::new(job.stretch.zero));
    recorder.waited = watch.end();
    Ok(recorder)
}

/// Appends one entry and waits until it is durable.
async fn one(lane: &Lane<DirectDisk>, payload: &[u8]) -> Result<(), WalError> {
    let head = FrameHead {
        group: GroupId(0),
        kind: 1,
        term: 1,
        index: 1,
    };
    loop {
        let (durable, wait) = oneshot::channel();
        let done = Box::new(move |result| {
            // The client is gone only when the run has failed.
            let _ = durable.send(result);
        });
        match lane.append(head, &[payload], Some(done)) {
            Ok(_) => return wait.await.unwrap_or(Err(WalError::Stopped)),
            // The next segment is still being written: that is part of what a client waits for.
            Err(WalError::Busy | WalError::NoSpace) => {
                lane.release(lane.durable());
                Sleep::new(Duration::from_micros(200)).await;
            }
            Err(error) => return Err(error),
        }
    }
}
