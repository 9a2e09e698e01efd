//! The engine's disk on direct I/O: `O_DIRECT` reads and writes on the core's ring, `O_DSYNC` for
//! files whose writes are durable when they return. `boot` makes one per core.
//!
//! Reading, writing and syncing go through the ring. Names (open, list, rename, remove, make, sync
//! of a directory) are rare and go to the executor's helper thread, and so does closing, which may
//! have to give back the blocks of a file that was removed. Where a file system has no direct I/O,
//! as a tmpfs of old kernels, files are opened without it, with the same results.

use std::cell::Cell;
use std::fs;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use engine::env::{Disk, DiskFile, OpenMode};
use engine::shard::boot::WAL_DIR;
use io_uring::opcode;
use io_uring::types::{Fd, FsyncFlags};
use rustix::fs::{Mode, OFlags};

use super::buffer::{ALIGN_BYTES, DirectBuf};
use super::local;

/// Most bytes of one operation; the kernel's own bound is a page below 2 GiB.
const OPERATION_BYTES: usize = 1 << 30;

/// Files below one directory, for the core that opened it.
#[derive(Clone, Debug)]
pub struct DirectDisk {
    root: Arc<PathBuf>,
    /// Where everything below `wal` is instead, on a disk of its own.
    wal: Option<Arc<PathBuf>>,
}

/// A descriptor that is closed on the helper thread.
#[derive(Debug)]
struct Descriptor(Option<OwnedFd>);

/// An open file. The descriptor is closed with the last clone.
#[derive(Clone, Debug)]
pub struct DirectFile {
    fd: Rc<Descriptor>,
    /// Relative, for messages.
    path: Rc<str>,
    /// A write or sync failed. The kernel reports a failed write-back once and then forgets it, so
    /// a later sync would succeed over lost bytes.
    failed: Rc<Cell<bool>>,
}

impl DirectDisk {
    /// Opens the disk of this core below `root`, which must exist.
    ///
    /// # Errors
    /// When `root` is not a directory.
    pub async fn open(root: &Path) -> io::Result<Self> {
        Self::open_with(root, None).await
    }

    /// As [`DirectDisk::open`], with the directory `wal` and all below it in the directory
    /// `wal`, which must exist, instead of in `root`.
    ///
    /// # Errors
    /// When one of the two is not a directory.
    pub async fn open_with(root: &Path, wal: Option<&Path>) -> io::Result<Self> {
        let mut disk = Self::open_one(root).await?;
        if let Some(wal) = wal {
            disk.wal = Some(Self::open_one(wal).await?.root);
        }
        Ok(disk)
    }

    async fn open_one(root: &Path) -> io::Result<Self> {
        let root = fs::canonicalize(root).map_err(|e| named(&root.to_string_lossy(), &e))?;
        if !root.is_dir() {
            let error = ErrorKind::NotADirectory.into();
            return Err(named(&root.to_string_lossy(), &error));
        }
        Ok(Self {
            root: Arc::new(root),
            wal: None,
        })
    }

    /// The directory, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a relative path is; refuses paths that lead out of the root.
    fn place(&self, path: &str) -> io::Result<PathBuf> {
        let inside = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            let text = format!("{path}: not a plain path below {}", self.root.display());
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        Ok(self.base(path).join(path))
    }

    fn base(&self, path: &str) -> &Path {
        match &self.wal {
            Some(wal) if Path::new(path).starts_with(WAL_DIR) => wal,
            _ => &self.root,
        }
    }

    /// The directories to sync for `dir`: the root has names in both.
    fn synced(&self, dir: &str) -> io::Result<Vec<PathBuf>> {
        let mut places = vec![self.place(dir)?];
        if let (Some(wal), true) = (&self.wal, dir.is_empty()) {
            places.push(wal.to_path_buf());
        }
        Ok(places)
    }
}

/// Runs a call that blocks on the executor's helper thread.
async fn blocking<T: Send + 'static>(
    path: String,
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = local::current().helper().run(call).await;
    done.map_err(|e| named(&path, &e))
}

/// Opens a file for direct I/O, or for buffered where there is none.
fn open(place: &Path, mode: OpenMode) -> io::Result<OwnedFd> {
    let mut flags = OFlags::CLOEXEC;
    flags |= if mode.write || mode.create_new {
        OFlags::RDWR
    } else {
        OFlags::RDONLY
    };
    if mode.create_new {
        flags |= OFlags::CREATE | OFlags::EXCL;
    }
    if mode.durable_writes {
        flags |= OFlags::DSYNC;
    }
    let rights = Mode::RUSR | Mode::WUSR | Mode::RGRP;
    match rustix::fs::open(place, flags | OFlags::DIRECT, rights) {
        // Where direct I/O is refused the file was made all the same.
        Err(rustix::io::Errno::INVAL) => {
            let made = flags.difference(OFlags::CREATE | OFlags::EXCL);
            let again = if place.exists() { made } else { flags };
            Ok(rustix::fs::open(place, again, rights)?)
        }
        other => Ok(other?),
    }
}

/// The same error, saying which file.
fn named(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

impl Disk for DirectDisk {
    type File = DirectFile;

    fn open(
        &self,
        path: &str,
        mode: OpenMode,
    ) -> impl Future<Output = io::Result<DirectFile>> + use<> {
        let place = self.place(path);
        let path: Rc<str> = path.into();
        async move {
            let opened = blocking(path.to_string(), move || open(&place?, mode)).await?;
            Ok(DirectFile {
                fd: Rc::new(Descriptor(Some(opened))),
                path,
                failed: Rc::default(),
            })
        }
    }

    fn list(&self, dir: &str) -> impl Future<Output = io::Result<Vec<String>>> + use<> {
        let place = self.place(dir);
        blocking(dir.to_string(), move || {
            let mut names = Vec::new();
            for entry in fs::read_dir(place?)? {
                let name = entry?.file_name();
                let name = name.into_string().map_err(|name| {
                    io::Error::new(ErrorKind::InvalidData, format!("{name:?} is not UTF-8"))
                })?;
                names.push(name);
            }
            names.sort_unstable();
            Ok(names)
        })
    }

    fn remove(&self, path: &str) -> impl Future<Output = io::Result<()>> + use<> {
        let place = self.place(path);
        blocking(path.to_string(), move || fs::remove_file(place?))
    }

    fn rename(&self, from: &str, to: &str) -> impl Future<Output = io::Result<()>> + use<> {
        let (old, new) = (self.place(from), self.place(to));
        blocking(format!("{from} -> {to}"), move || fs::rename(old?, new?))
    }

    fn make_dir(&self, dir: &str) -> impl Future<Output = io::Result<()>> + use<> {
        let place = self.place(dir);
        blocking(dir.to_string(), move || fs::create_dir_all(place?))
    }

    fn sync_dir(&self, dir: &str) -> impl Future<Output = io::Result<()>> + use<> {
        let places = self.synced(dir);
        blocking(dir.to_string(), move || {
            places?
                .iter()
                .try_for_each(|place| fs::File::open(place)?.sync_all())
        })
    }

    fn free_bytes(&self) -> impl Future<Output = io::Result<u64>> + use<> {
        // The log is who asks; it needs to know of its own file system.
        let root = self.wal.as_ref().unwrap_or(&self.root).clone();
        blocking(".".to_string(), move || {
            let stat = rustix::fs::statvfs(root.as_path())?;
            Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
        })
    }
}

impl DirectFile {
    fn error(&self, doing: &str, offset: u64, error: &io::Error) -> io::Error {
        let text = format!("{}: {doing} at offset {offset}: {error}", self.path);
        io::Error::new(error.kind(), text)
    }

    /// Refuses after a failure: a failed write or sync is final for the open file.
    fn check_sound(&self) -> io::Result<()> {
        if self.failed.get() {
            let text = format!("{}: an earlier write or sync failed", self.path);
            return Err(io::Error::other(text));
        }
        Ok(())
    }

    /// Reads an aligned stretch; fewer bytes where the file ends.
    async fn read_aligned(&self, offset: u64, len: usize) -> io::Result<DirectBuf> {
        let mut buf = DirectBuf::empty(len);
        let mut done = 0;
        loop {
            let (at, wanted) = (offset + done as u64, (len - done).min(OPERATION_BYTES));
            // SAFETY: `done` bytes are there, and the buffer has room for `len`.
            let into = unsafe { buf.as_mut_ptr().add(done) };
            let entry = opcode::Read::new(Fd(self.fd.raw()), into, wanted as u32).offset(at);
            let hold = (buf, self.fd.clone());
            // SAFETY: buffer and descriptor are held; the buffer's memory does not move with it.
            let op = unsafe { local::current().ring.start(entry.build(), hold) };
            let (read, (returned, _)) = op.await;
            let read = read.map_err(|e| self.error("reading", at, &e))? as usize;
            buf = returned;
            done += read;
            // The end of the file, or everything: a piece that stops short of both is a signal
            // or a device limit, and the rest is asked for again.
            if read == 0 || !read.is_multiple_of(ALIGN_BYTES) || done == len {
                // SAFETY: the kernel wrote them.
                unsafe { buf.set_len(done) };
                return Ok(buf);
            }
        }
    }

    async fn write_whole(&self, offset: u64, buf: DirectBuf) -> io::Result<()> {
        let len = buf.len();
        let (start, wanted) = (buf.as_ptr(), len.min(OPERATION_BYTES) as u32);
        let entry = opcode::Write::new(Fd(self.fd.raw()), start, wanted).offset(offset);
        let hold = (buf, self.fd.clone());
        // SAFETY: buffer and descriptor are held; the buffer's memory does not move with it.
        let op = unsafe { local::current().ring.start(entry.build(), hold) };
        match op.await.0 {
            Ok(written) if written as usize == len => Ok(()),
            Ok(written) => {
                let short = format!("only {written} of {len} bytes were written");
                let short = io::Error::new(ErrorKind::WriteZero, short);
                Err(self.error("writing", offset, &short))
            }
            Err(e) => Err(self.error("writing", offset, &e)),
        }
    }

    async fn sync_data(&self) -> io::Result<()> {
        let entry = opcode::Fsync::new(Fd(self.fd.raw())).flags(FsyncFlags::DATASYNC);
        // SAFETY: the descriptor is held, and there is no memory.
        let op = unsafe { local::current().ring.start(entry.build(), self.fd.clone()) };
        op.await.0.map(|_| ())
    }
}

impl DiskFile for DirectFile {
    type Buf = DirectBuf;

    fn alloc(&self, len: usize) -> DirectBuf {
        DirectBuf::zeroed(len)
    }

    fn trim(&self, mut buf: DirectBuf, len: usize) -> DirectBuf {
        buf.truncate(len);
        buf
    }

    fn write(&self, offset: u64, buf: DirectBuf) -> impl Future<Output = io::Result<()>> + use<> {
        let this = self.clone();
        async move {
            if buf.is_empty() {
                return Ok(());
            }
            this.check_sound()?;
            let written = this.write_whole(offset, buf).await;
            this.failed.set(this.failed.get() || written.is_err());
            written
        }
    }

    fn read(&self, offset: u64, len: usize) -> impl Future<Output = io::Result<Bytes>> + use<> {
        let this = self.clone();
        async move {
            if len == 0 {
                return Ok(Bytes::new());
            }
            let start = offset - offset % ALIGN_BYTES as u64;
            let skip = (offset - start) as usize;
            let span = (skip + len).next_multiple_of(ALIGN_BYTES);
            if start
                .checked_add(span as u64)
                .is_none_or(|end| end > i64::MAX as u64)
            {
                return Err(ErrorKind::InvalidInput.into());
            }
            let buf = this.read_aligned(start, span).await?;
            if buf.len() <= skip {
                return Ok(Bytes::new());
            }
            let end = buf.len().min(skip + len);
            Ok(Bytes::from_owner(buf).slice(skip..end))
        }
    }

    fn sync(&self) -> impl Future<Output = io::Result<()>> + use<> {
        let this = self.clone();
        async move {
            this.check_sound()?;
            let synced = this.sync_data().await;
            this.failed.set(this.failed.get() || synced.is_err());
            synced.map_err(|e| named(&format!("{}: syncing", this.path), &e))
        }
    }

    fn len(&self) -> impl Future<Output = io::Result<u64>> + use<> {
        let size = rustix::fs::fstat(self.fd.as_fd()).map(|stat| stat.st_size as u64);
        let size = size.map_err(|e| named(&self.path, &e.into()));
        async move { size }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0
            .as_ref()
            .expect("a descriptor is there until it is dropped")
            .as_fd()
    }
}

impl Descriptor {
    fn raw(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let (Some(fd), Some(local)) = (self.0.take(), local::try_current()) else {
            return;
        };
        local.helper().tell(move || drop(fd));
    }
}

#[cfg(test)]
mod tests;
