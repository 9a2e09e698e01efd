//! Keeps files ready for the next segments: fills new ones, uses released ones again, removes what
//! is too many. Runs beside the writer, from [`Lane::run`]; the lane's start calls the rest.

use std::collections::VecDeque;
use std::io::ErrorKind;

use super::batch::Segment;
use super::error::Tried;
use super::lane::Inner;
use super::{Lane, LaneOptions, WalError, names};
use crate::env::{Disk, DiskFile, OpenMode};
use crate::limits::WAL_FILL_BYTES;

enum Job<F> {
    /// Rename to this number, or remove.
    Retire(Segment<F>, Option<u64>),
    Fill(u64),
}

impl<D: Disk> Lane<D> {
    /// Does whatever there is to do, for ever; returns the first failure. A full disk is none.
    pub(super) async fn keep_segments(&self) -> WalError {
        loop {
            let job = self.0.upkeep.until(|| self.next_job()).await;
            let result = match job {
                Job::Retire(segment, to) => self.retire(segment, to).await,
                Job::Fill(number) => self.fill_spare(number).await,
            };
            match result {
                Ok(()) => {}
                Err(WalError::NoSpace) => {
                    self.0.state.borrow_mut().starved = true;
                    self.0.work.notify();
                }
                Err(error) => return error,
            }
        }
    }

    fn next_job(&self) -> Option<Job<D::File>> {
        let mut state = self.0.state.borrow_mut();
        if let Some(old) = state.take_released() {
            let fits = old.bytes == state.options.segment_bytes;
            let to = state.wanted(true).filter(|_| fits);
            return Some(Job::Retire(old, to));
        }
        if state.starved && !state.retry {
            return None;
        }
        let number = state.wanted(false)?;
        state.retry = false;
        Some(Job::Fill(number))
    }

    async fn retire(&self, old: Segment<D::File>, to: Option<u64>) -> Result<(), WalError> {
        let Inner { disk, dir, .. } = &*self.0;
        let from = names::segment(dir, old.number);
        drop(old);
        let Some(number) = to else {
            disk.remove(&from).await.tried("remove", &from)?;
            disk.sync_dir(dir).await.tried("sync the directory", dir)?;
            self.count(|counts| counts.removed += 1);
            return Ok(());
        };
        let path = names::segment(dir, number);
        disk.rename(&from, &path).await.tried("rename", &from)?;
        disk.sync_dir(dir).await.tried("sync the directory", dir)?;
        let options = self.0.state.borrow().options;
        let file = disk.open(&path, mode(options)).await.tried("open", &path)?;
        self.count(|counts| counts.recycled += 1);
        self.prepared(number, file);
        Ok(())
    }

    async fn fill_spare(&self, number: u64) -> Result<(), WalError> {
        let options = self.0.state.borrow().options;
        let file = fill(&self.0.disk, &self.0.dir, number, options).await?;
        self.count(|counts| counts.filled += 1);
        self.prepared(number, file);
        Ok(())
    }

    fn prepared(&self, number: u64, file: D::File) {
        self.0.state.borrow_mut().prepared(number, file);
        self.0.work.notify();
    }
}

fn mode(options: LaneOptions) -> OpenMode {
    OpenMode {
        write: true,
        create_new: false,
        durable_writes: options.durable_writes,
    }
}

/// A file of zeros, every block of it written, under the name of segment `number`.
///
/// # Errors
/// `NoSpace`, with nothing left behind; `Io`.
pub(super) async fn fill<D: Disk>(
    disk: &D,
    dir: &str,
    number: u64,
    options: LaneOptions,
) -> Result<D::File, WalError> {
    let free = disk
        .free_bytes()
        .await
        .tried("find the free space of", dir)?;
    if free < options.segment_bytes {
        return Err(WalError::NoSpace);
    }
    let new = names::filling(dir, number);
    match disk.remove(&new).await {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).tried("remove", &new);
        }
        _ => {}
    }
    match write_zeros(disk, &new, options.segment_bytes).await {
        Err(WalError::Io {
            kind: ErrorKind::StorageFull | ErrorKind::QuotaExceeded,
            ..
        }) => {
            disk.remove(&new).await.tried("remove", &new)?;
            return Err(WalError::NoSpace);
        }
        result => result?,
    }
    let path = names::segment(dir, number);
    disk.rename(&new, &path).await.tried("rename", &new)?;
    disk.sync_dir(dir).await.tried("sync the directory", dir)?;
    disk.open(&path, mode(options)).await.tried("open", &path)
}

async fn write_zeros<D: Disk>(disk: &D, path: &str, bytes: u64) -> Result<(), WalError> {
    let file = disk
        .open(path, OpenMode::CREATE)
        .await
        .tried("create", path)?;
    let mut at = 0;
    while at < bytes {
        let len = (bytes - at).min(WAL_FILL_BYTES as u64);
        file.write(at, file.alloc(len as usize))
            .await
            .tried("fill", path)?;
        at += len;
    }
    file.sync().await.tried("sync", path)
}

/// At the start of an era: removes half-filled files and takes over those that were ready, as
/// the segments from `next` on.
///
/// A file that was ready goes only when those with higher numbers are gone: a number that is
/// missing behind the last segment that was begun means that the lane lost its end.
pub(super) async fn take_over<D: Disk>(
    disk: &D,
    dir: &str,
    next: u64,
    known: bool,
    options: LaneOptions,
) -> Result<VecDeque<(u64, D::File)>, WalError> {
    let mut ready = Vec::new();
    let mut all_whole = true;
    for name in disk.list(dir).await.tried("list", dir)? {
        let path = format!("{dir}/{name}");
        if names::is_filling(&name) {
            disk.remove(&path).await.tried("remove", &path)?;
        }
        let Some(number) = names::segment_of(&name) else {
            continue;
        };
        if !known {
            return Err(WalError::Exists(dir.into()));
        }
        if number < next {
            continue;
        }
        let file = disk.open(&path, mode(options)).await.tried("open", &path)?;
        let bytes = file.len().await.tried("find the length of", &path)?;
        all_whole &= bytes == options.segment_bytes;
        ready.push((number, file));
    }
    ready.sort_by_key(|(number, _)| *number);
    let keep = if all_whole { options.keep_segments } else { 0 };
    for (number, file) in ready.drain(keep.min(ready.len())..).rev() {
        drop(file);
        let path = names::segment(dir, number);
        disk.remove(&path).await.tried("remove", &path)?;
        disk.sync_dir(dir).await.tried("sync the directory", dir)?;
    }
    for (wanted, (number, _)) in (next..).zip(&mut ready) {
        // A number is never given to a file that may hold frames under it: numbers go down
        // here, but stay above every number that was begun.
        if *number != wanted {
            let (path, to) = (names::segment(dir, *number), names::segment(dir, wanted));
            disk.rename(&path, &to).await.tried("rename", &path)?;
            *number = wanted;
        }
    }
    disk.sync_dir(dir).await.tried("sync the directory", dir)?;
    Ok(ready.into())
}
