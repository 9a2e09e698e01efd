//! The thread that writes log lines, and the bounded queue before it. Used by the subscriber.

use std::fs::{File, OpenOptions};
use std::io::{Write, stderr, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use super::line;
use crate::config::LogOutput;

/// Lines that may wait. With lines of at most 8 KiB that is 16 MiB.
const QUEUE_LINES: usize = 2048;

/// How often dropped lines are looked for when nothing is written.
const IDLE: Duration = Duration::from_secs(1);

/// The sending end; clones write to the same outputs.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: SyncSender<Job>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Job {
    Line(Vec<u8>),
    /// Answered when all before it is written.
    Flush(SyncSender<()>),
}

enum Output {
    Stderr,
    Stdout,
    File(File),
}

impl Writer {
    /// Opens the outputs and starts the thread.
    ///
    /// # Errors
    /// One line naming the file that cannot be opened.
    pub fn start(outputs: &[LogOutput]) -> Result<Self, String> {
        let outputs = outputs.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        Self::start_with(QUEUE_LINES, move |bytes| {
            for output in &outputs {
                // A log that cannot be written has nowhere to complain.
                let _ = match output {
                    Output::Stderr => stderr().lock().write_all(bytes),
                    Output::Stdout => stdout().lock().write_all(bytes),
                    Output::File(file) => (&*file).write_all(bytes),
                };
            }
        })
    }

    /// Starts the thread with a queue of `lines` before `sink`.
    pub fn start_with(
        lines: usize,
        sink: impl FnMut(&[u8]) + Send + 'static,
    ) -> Result<Self, String> {
        let (queue, jobs) = sync_channel(lines);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = dropped.clone();
        std::thread::Builder::new()
            .name("stoa-log".to_owned())
            .spawn(move || run(&jobs, &counter, sink))
            .map_err(|error| format!("the log thread cannot be started: {error}"))?;
        Ok(Self { queue, dropped })
    }

    /// Hands a line over, or drops and counts it. Never waits.
    pub fn write(&self, line: Vec<u8>) {
        match self.queue.try_send(Job::Line(line)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until what was handed over is written, for at most `most`.
    pub fn flush(&self, most: Duration) {
        let deadline = Instant::now() + most;
        let (done, answer) = sync_channel(1);
        let mut job = Job::Flush(done);
        // A full queue is retried, because `SyncSender` has no send with a deadline.
        while let Err(TrySendError::Full(back)) = self.queue.try_send(job) {
            if Instant::now() >= deadline {
                return;
            }
            job = back;
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = answer.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    /// Lines dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

fn open(output: &LogOutput) -> Result<Output, String> {
    match output {
        LogOutput::Stderr => Ok(Output::Stderr),
        LogOutput::Stdout => Ok(Output::Stdout),
        LogOutput::File(path) => OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map(Output::File)
            .map_err(|error| format!("--log-outputs: {}: {error}", path.display())),
    }
}

/// Writes until every sender is gone. Says itself when lines were dropped.
fn run(jobs: &Receiver<Job>, dropped: &AtomicU64, mut sink: impl FnMut(&[u8])) {
    let mut told = 0;
    loop {
        match jobs.recv_timeout(IDLE) {
            Ok(Job::Line(line)) => sink(&line),
            Ok(Job::Flush(done)) => {
                tell_dropped(dropped, &mut told, &mut sink);
                let _ = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => tell_dropped(dropped, &mut told, &mut sink),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn tell_dropped(dropped: &AtomicU64, told: &mut u64, sink: &mut impl FnMut(&[u8])) {
    let now = dropped.load(Ordering::Relaxed);
    if now != *told {
        let ts = line::time(SystemTime::now());
        let count = now - *told;
        *told = now;
        let head = format!("{{\"level\":\"warn\",\"ts\":\"{ts}\"");
        let text = format!("{head},\"msg\":\"log lines dropped\",\"count\":{count}}}\n");
        sink(text.as_bytes());
    }
}

#[cfg(test)]
mod tests;
