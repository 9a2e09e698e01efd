//! A checkpoint beside the log: bursts of large direct writes with a sync at the end of each, as a
//! node writes its state while its log goes on.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::files::{self, WorkDir};
use crate::progress::Stop;

/// Bytes of a single write.
const WRITE_BYTES: usize = 256 << 10;
/// Bytes of a burst.
pub const BURST_BYTES: u64 = 8 << 20;
/// From the beginning of one burst to that of the next; a slow disk goes from one to the next.
pub const EVERY: Duration = Duration::from_secs(1);
const FILE_BYTES: u64 = 4 * BURST_BYTES;
const NAME: &str = "checkpoint";

/// The thread that writes. Dropping it ends it.
pub struct Checkpoint {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Checkpoint {
    /// Starts it below `work`; its file is prepared when this returns.
    ///
    /// # Errors
    /// When the file cannot be written; `Interrupted` when the run was told to end meanwhile.
    pub fn start(work: &WorkDir, stop: Stop) -> io::Result<Checkpoint> {
        let path = work.written(NAME, FILE_BYTES, stop)?;
        let file = files::open_direct_if_possible(&path)?;
        let end = Arc::new(AtomicBool::new(false));
        let ends = end.clone();
        let write = move || {
            let piece = files::random(WRITE_BYTES);
            let mut at = 0;
            while !ends.load(Ordering::Relaxed) {
                let began = Instant::now();
                let until = at + BURST_BYTES;
                while at < until && !ends.load(Ordering::Relaxed) {
                    file.write_all_at(&piece, at % FILE_BYTES)?;
                    at += WRITE_BYTES as u64;
                }
                file.sync_data()?;
                thread::park_timeout(EVERY.saturating_sub(began.elapsed()));
            }
            Ok(())
        };
        let thread = thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(write)?;
        Ok(Checkpoint {
            end,
            thread: Some(thread),
        })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When one of its writes failed.
    pub fn finish(mut self) -> io::Result<()> {
        self.end_thread()
    }

    fn end_thread(&mut self) -> io::Result<()> {
        self.end.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        thread.thread().unpark();
        let panicked = |_| io::Error::other("the checkpoint's thread panicked");
        thread.join().map_err(panicked)?
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        // Who did not ask for its error has one already.
        let _ = self.end_thread();
    }
}
