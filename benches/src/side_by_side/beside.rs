//! The other writes on a busy disk: a process of its own, so that its processor time is not taken
//! for the client's. Started by `run`, once for each server.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

/// Bytes of a write.
const CHUNK_BYTES: usize = 64 << 10;
/// Writes a second: 3 MiB in all.
const CHUNKS_PER_SECOND: u32 = 48;
/// Writes after which the file is synced: 1 MiB.
const CHUNKS_PER_SYNC: u64 = 16;
/// Writes after which the file is begun anew: 64 MiB.
const CHUNKS_PER_FILE: u64 = 1024;

/// What the writer does, in one sentence.
#[must_use]
pub fn about() -> String {
    "Another process writes 3 MiB a second to the same file system: 64 KiB of random bytes 48 \
     times a second through the page cache to the end of one file outside both data directories, \
     with an fdatasync after each MiB; at 64 MiB the file is cut to nothing and begun anew."
        .to_owned()
}

/// What the writer has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Wrote {
    /// Bytes handed to the kernel.
    pub bytes: u64,
    /// How long that took, milliseconds.
    pub millis: u64,
}

/// The running writer. Dropped, it is killed; its file goes with it in any case.
#[derive(Debug)]
pub struct Beside {
    child: Child,
    // Where the writer ends at once with this process, and its file is nobody's any more.
    _file: tempfile::TempPath,
}

impl Beside {
    /// Starts it on a file in `dir`: this program once more, told to be the writer.
    ///
    /// # Errors
    /// When the file cannot be made or the process cannot be started.
    pub fn start(dir: &Path) -> io::Result<Beside> {
        let file = tempfile::Builder::new()
            .prefix("beside-")
            .tempfile_in(dir)?;
        let file = file.into_temp_path();
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--write-beside").arg(&file).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.stderr(Stdio::piped()).spawn()?;
        Ok(Beside { child, _file: file })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it could not write: then the disk was not as busy as it should have been.
    pub fn finish(mut self) -> io::Result<Wrote> {
        drop(self.child.stdin.take());
        let (mut told, mut why) = (String::new(), String::new());
        if let Some(out) = &mut self.child.stdout {
            out.read_to_string(&mut told)?;
        }
        if let Some(err) = &mut self.child.stderr {
            err.read_to_string(&mut why)?;
        }
        let status = self.child.wait()?;
        let numbers = told.trim().split_once(' ');
        let numbers = numbers.and_then(|(b, m)| Some((b.parse().ok()?, m.parse().ok()?)));
        match numbers {
            Some((bytes, millis)) if status.success() => Ok(Wrote { bytes, millis }),
            _ => Err(io::Error::other(format!(
                "the other writes failed ({status}): {}",
                why.trim()
            ))),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the process does that [`Beside::start`] has started: writes until standard input ends, as
/// it does also when the other process is gone, then removes the file and tells what it has done.
///
/// # Errors
/// When it cannot write.
pub fn write(path: &Path) -> io::Result<Wrote> {
    let (tell, told) = channel::<()>();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(tell);
    });
    let mut file = File::create(path)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    SmallRng::seed_from_u64(1).fill_bytes(&mut chunk);
    let (begun, mut number) = (Instant::now(), 0_u64);
    loop {
        // By the clock, so that a sync that takes long is made up for.
        let due = Duration::from_secs(number) / CHUNKS_PER_SECOND;
        let left = due.saturating_sub(begun.elapsed());
        if told.recv_timeout(left) == Err(RecvTimeoutError::Disconnected) {
            break;
        }
        file.write_all(&chunk)?;
        number += 1;
        if number.is_multiple_of(CHUNKS_PER_SYNC) {
            file.sync_data()?;
        }
        if number.is_multiple_of(CHUNKS_PER_FILE) {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
        }
    }
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    std::fs::remove_file(path)?;
    Ok(Wrote {
        bytes: number * CHUNK_BYTES as u64,
        millis,
    })
}
