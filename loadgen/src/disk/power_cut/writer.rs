//! Writes the records and promises each when its sync has returned.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::record::{Medium, RECORD_BYTES, RunId, SLOTS, image, offset};
use super::{FILE, Sync};
use crate::disk::files;

/// Who is told what is promised.
pub trait Promise {
    /// Every record up to `number` is durable, as the disk says.
    ///
    /// # Errors
    /// When nobody hears it: then it is no promise.
    fn promise(&mut self, number: u64) -> io::Result<()>;
}

/// A file on the disk, with what makes its writes durable.
#[derive(Debug)]
pub struct Disk {
    file: File,
    sync: Sync,
}

impl Medium for Disk {
    fn write(&mut self, offset: u64, record: &[u8]) -> io::Result<()> {
        self.file.write(offset, record)
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.sync {
            Sync::Fdatasync => self.file.sync_data(),
            Sync::Dsync => Ok(()),
        }
    }

    fn read(&mut self, offset: u64, record: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, record)
    }
}

/// Makes the file of records anew, written in full and synced with its name.
///
/// # Errors
/// When the directory cannot be written.
pub(super) fn create(dir: &Path, sync: Sync) -> io::Result<(RunId, Disk)> {
    let path = dir.join(FILE);
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    let made = File::create(&path).map_err(named)?;
    let piece = files::random(1 << 20);
    for at in (0..SLOTS * RECORD_BYTES as u64).step_by(piece.len()) {
        std::os::unix::fs::FileExt::write_all_at(&made, &piece, at).map_err(named)?;
    }
    made.sync_all().map_err(named)?;
    File::open(dir)?.sync_all()?;
    let flags = match sync {
        Sync::Fdatasync => 0,
        Sync::Dsync => libc::O_DIRECT | libc::O_DSYNC,
    };
    let file = files::open(&path, OpenOptions::new().write(true), flags).map_err(named)?;
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let run = RunId(since.as_nanos() as u64);
    Ok((run, Disk { file, sync }))
}

/// Writes record after record, promises each, and returns the last one's number.
///
/// # Errors
/// When the medium fails or the promise is not heard.
pub fn promise_all(
    run: RunId,
    medium: &mut impl Medium,
    records: Option<u64>,
    observer: &mut impl Promise,
    is_over: impl Fn() -> bool,
) -> io::Result<u64> {
    let mut record = files::random(RECORD_BYTES);
    let mut number = 0;
    while records.is_none_or(|records| number < records) && !is_over() {
        image(run, number + 1, &mut record);
        medium.write(offset(number + 1), &record)?;
        medium.sync()?;
        number += 1;
        observer.promise(number)?;
    }
    Ok(number)
}
