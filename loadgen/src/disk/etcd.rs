//! etcd's way to write its log: segments of 64 MiB whose space is reserved beforehand but not
//! written, records in multiples of 8 bytes gathered in memory, and for each batch one buffered
//! write and one fdatasync. A full segment is cut off and synced, and the next one, made ready
//! meanwhile by another thread, takes its name.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::files;
use super::recorder::Recorder;
use super::stretch::Stretch;

const SEGMENT_BYTES: u64 = 64 << 20;
/// What its writer gathers before it writes, in whole pages.
const GATHER_BYTES: usize = 128 << 10;
/// The length before each record.
const LENGTH_BYTES: usize = 8;
/// The record of the term, the vote and the commit that each batch ends with.
const STATE_BYTES: usize = 32;
/// Segments that stay until a snapshot covers them.
const KEPT: usize = 2;

/// Writes batches of `batch` entries of `entry_bytes` below `dir`, and records for each entry how
/// long its batch took.
///
/// # Errors
/// When the file system fails, or has no room for two segments.
pub fn run(
    dir: &Path,
    entry_bytes: usize,
    batch: usize,
    stretch: &Stretch,
) -> io::Result<Recorder> {
    let mut log = Log::create(dir)?;
    let records = records(entry_bytes, batch);
    let mut recorder = Recorder::new(stretch.zero);
    let begin = Instant::now();
    while !stretch.is_over(begin) {
        let began = Instant::now();
        log.append(&records)?;
        let ended = Instant::now();
        for _ in 0..batch {
            recorder.record(began, ended);
        }
    }
    Ok(recorder)
}

/// The bytes of one batch.
fn records(entry_bytes: usize, batch: usize) -> Vec<u8> {
    let entry = LENGTH_BYTES + entry_bytes.next_multiple_of(8);
    let mut bytes = vec![0; entry * batch + LENGTH_BYTES + STATE_BYTES];
    rand::Rng::fill_bytes(&mut rand::rng(), &mut bytes);
    bytes
}

struct Log {
    dir: PathBuf,
    file: File,
    at: u64,
    number: usize,
    spares: Option<Receiver<io::Result<File>>>,
    pipeline: Option<JoinHandle<()>>,
}

impl Log {
    fn create(dir: &Path) -> io::Result<Log> {
        let (ready, spares) = sync_channel(0);
        let below = dir.to_owned();
        let pipeline = thread::Builder::new()
            .name("etcd-pipeline".to_owned())
            .spawn(move || make_spares(&below, &ready))?;
        let mut log = Log {
            dir: dir.to_owned(),
            file: File::open(dir)?,
            at: 0,
            number: 0,
            spares: Some(spares),
            pipeline: Some(pipeline),
        };
        log.begin_segment()?;
        Ok(log)
    }

    fn append(&mut self, records: &[u8]) -> io::Result<()> {
        let mut rest = records;
        while !rest.is_empty() {
            // What is more than the buffer leaves in whole pages.
            let room = GATHER_BYTES - (self.at % 4096) as usize;
            let (piece, after) = rest.split_at(rest.len().min(room));
            self.file.write_all_at(piece, self.at)?;
            self.at += piece.len() as u64;
            rest = after;
        }
        self.file.sync_data()?;
        if self.at >= SEGMENT_BYTES {
            self.file.set_len(self.at)?;
            self.file.sync_all()?;
            self.begin_segment()?;
        }
        Ok(())
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let ended = || io::Error::other("the thread that prepares segments ended");
        let spares = self.spares.as_ref().ok_or_else(ended)?;
        self.file = spares.recv().map_err(|_| ended())??;
        self.number += 1;
        // The head of a segment: checksum, metadata and state.
        let head = records(64, 1);
        self.file.write_all_at(&head, 0)?;
        self.at = head.len() as u64;
        self.file.sync_data()?;
        let own = |number: usize| self.dir.join(format!("{number:016x}.wal"));
        fs::rename(spare(&self.dir, self.number), own(self.number))?;
        File::open(&self.dir)?.sync_all()?;
        if let Some(old) = self.number.checked_sub(KEPT).filter(|old| *old > 0) {
            fs::remove_file(own(old))?;
        }
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Its end of the channel tells the thread to end.
        drop(self.spares.take());
        let _ = self.pipeline.take().map(JoinHandle::join);
        // What is left goes with the directory; the next measurement wants the room.
        for number in 1..=self.number + 1 {
            let _ = fs::remove_file(spare(&self.dir, number));
            let _ = fs::remove_file(self.dir.join(format!("{number:016x}.wal")));
        }
    }
}

fn spare(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("{number}.tmp"))
}

/// Makes the next segment and waits until it is wanted.
fn make_spares(dir: &Path, ready: &SyncSender<io::Result<File>>) {
    for number in 1.. {
        let made = File::create(spare(dir, number))
            .and_then(|file| files::reserve(&file, SEGMENT_BYTES).map(|()| file));
        if ready.send(made).is_err() {
            return;
        }
    }
}
