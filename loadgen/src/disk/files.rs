//! The files that are measured on: a fresh directory that goes when it is dropped, and files in it
//! that are written in full and synced before anything is timed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use server::runtime::buffer::DirectBuf;

use crate::progress::Stop;

/// Bytes of a single write while a file is prepared.
const FILL_BYTES: usize = 1 << 20;

/// A directory of its own below the one that is measured, removed with all that is in it.
#[derive(Debug)]
pub struct WorkDir(tempfile::TempDir);

impl WorkDir {
    /// Makes it below `dir`.
    ///
    /// # Errors
    /// When `dir` is not there or cannot be written.
    pub fn below(dir: &Path) -> io::Result<WorkDir> {
        let made = tempfile::Builder::new()
            .prefix("stoa-loadgen-")
            .tempdir_in(dir);
        // The crate's message names the path that it tried; the kernel's says it all.
        let plain = |e: io::Error| io::Error::from(e.kind());
        made.map(WorkDir).map_err(plain)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file of `bytes` (a multiple of 1 MiB) that is written in full and synced; made if it is
    /// not there yet.
    ///
    /// # Errors
    /// When it cannot be written; `Interrupted` when the run was told to end meanwhile.
    pub fn written(&self, name: &str, bytes: u64, stop: Stop) -> io::Result<PathBuf> {
        let path = self.path().join(name);
        if fs::metadata(&path).is_ok_and(|found| found.len() >= bytes) {
            return Ok(path);
        }
        let file = open_direct_if_possible(&path)?;
        let piece = random(FILL_BYTES);
        for at in (0..bytes).step_by(FILL_BYTES) {
            if stop.is_set() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            file.write_all_at(&piece, at)?;
        }
        file.sync_all()?;
        self.sync()?;
        Ok(path)
    }

    /// Makes durable what files were made and removed.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> io::Result<()> {
        File::open(self.path())?.sync_all()
    }

    /// An empty file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn empty(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path().join(name);
        File::create(&path)?.sync_all()?;
        Ok(path)
    }

    /// Removes a file of a measurement that is over.
    pub fn forget(&self, name: &str) {
        // What is left goes with the directory.
        let _ = fs::remove_file(self.path().join(name));
    }
}

/// Opens with flags of the system's.
///
/// # Errors
/// When the file system refuses: `InvalidInput` where it knows no direct I/O.
pub fn open(path: &Path, options: &mut OpenOptions, flags: i32) -> io::Result<File> {
    options.custom_flags(flags).open(path)
}

/// Opens a file for writing, made if it is not there, past the page cache where the file system
/// can.
///
/// # Errors
/// When it cannot be opened or made.
pub fn open_direct_if_possible(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    match open(path, &mut options, libc::O_DIRECT) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => open(path, &mut options, 0),
        opened => opened,
    }
}

/// Gives `file` so many bytes, with their space where the file system can reserve it.
///
/// # Errors
/// When there is no room for them.
pub fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        // As etcd does it, on NFS for one.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(bytes),
        reserved => Ok(reserved?),
    }
}

/// A buffer fit for direct I/O with bytes that do not compress.
#[must_use]
pub fn random(len: usize) -> DirectBuf {
    let mut buf = DirectBuf::zeroed(len);
    rand::Rng::fill_bytes(&mut rand::rng(), &mut buf);
    buf
}

/// Bytes free for this process below `dir`.
///
/// # Errors
/// When the file system does not say.
pub fn free_bytes(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests;
