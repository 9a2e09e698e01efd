//! The engine's disk on direct I/O: `O_DIRECT` reads and writes on the core's ring, `O_DSYNC` for
//! files whose writes are durable when they return. `boot` makes one per core.
//!
//! Opening, reading, writing and syncing go through the ring; names (list, rename, remove, make,
//! sync of a directory) are rare and go to the executor's helper thread. A tmpfs has no
//! direct I/O: there the runtime falls back to buffered I/O by itself, with the same results.
//!
//! The runtime decides once per device whether completions may be polled for, by reading from the
//! first file opened; a read of a region never written answers yes wrongly, and every later
//! write then spins. So [`GlommioDisk::open`] writes and syncs a small file and opens it first.

use std::cell::Cell;
use std::fs;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use engine::env::{Disk, DiskFile, OpenMode};
use engine::shard::boot::WAL_DIR;
use glommio::io::{DmaBuffer, DmaFile, OpenOptions};

/// Start of the name of the file that is written, opened and removed when a disk is opened.
const PROBE_PREFIX: &str = ".probe-";

/// Bytes written to the probe file.
const PROBE_BYTES: usize = 64 << 10;

/// Files below one directory, for the core that opened it.
#[derive(Clone, Debug)]
pub struct GlommioDisk {
    root: Arc<PathBuf>,
    /// Where everything below `wal` is instead, on a disk of its own.
    wal: Option<Arc<PathBuf>>,
}

/// An open file. The descriptor is closed with the last clone.
#[derive(Clone, Debug)]
pub struct GlommioFile {
    file: Rc<DmaFile>,
    /// Relative, for messages.
    path: Rc<str>,
    /// A write or sync failed. The kernel reports a failed write-back once and then forgets it, so
    /// a later sync would succeed over lost bytes.
    failed: Rc<Cell<bool>>,
}

impl GlommioDisk {
    /// Opens the disk of this core below `root`, which must exist.
    ///
    /// # Errors
    /// When `root` is not a directory that can be written to.
    pub async fn open(root: &Path) -> io::Result<Self> {
        Self::open_with(root, None).await
    }

    /// As [`GlommioDisk::open`], with the directory `wal` and all below it in the directory
    /// `wal`, which must exist, instead of in `root`.
    ///
    /// # Errors
    /// When one of the two is not a directory that can be written to.
    pub async fn open_with(root: &Path, wal: Option<&Path>) -> io::Result<Self> {
        let mut disk = Self::open_one(root).await?;
        if let Some(wal) = wal {
            disk.wal = Some(Self::open_one(wal).await?.root);
        }
        Ok(disk)
    }

    async fn open_one(root: &Path) -> io::Result<Self> {
        static PROBES: AtomicU64 = AtomicU64::new(0);
        let root = fs::canonicalize(root).map_err(|e| named(&root.to_string_lossy(), &e))?;
        let number = PROBES.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PROBE_PREFIX}{}-{number}", std::process::id());
        let disk = Self {
            root: Arc::new(root),
            wal: None,
        };
        let path = disk.root.join(&name);
        let probe = path.clone();
        blocking(name.clone(), move || {
            fs::write(&probe, vec![0x5a; PROBE_BYTES])?;
            fs::File::open(&probe)?.sync_all()
        })
        .await?;
        let opened = DmaFile::open(&path).await;
        blocking(name.clone(), move || fs::remove_file(path)).await?;
        match opened {
            Ok(file) => file.close().await.map_err(|e| named(&name, &e.into()))?,
            Err(e) => return Err(named(&name, &e.into())),
        }
        Ok(disk)
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
    let done = glommio::executor().spawn_blocking(call).await;
    done.map_err(|e| named(&path, &e))
}

/// The same error, saying which file.
fn named(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

impl Disk for GlommioDisk {
    type File = GlommioFile;

    fn open(
        &self,
        path: &str,
        mode: OpenMode,
    ) -> impl Future<Output = io::Result<GlommioFile>> + use<> {
        let place = self.place(path);
        let path: Rc<str> = path.into();
        async move {
            let mut options = OpenOptions::new();
            options
                .read(true)
                .write(mode.write || mode.create_new)
                .create_new(mode.create_new);
            if mode.durable_writes {
                options.custom_flags(libc::O_DSYNC);
            }
            match options.dma_open(place?).await {
                Ok(file) => Ok(GlommioFile {
                    file: Rc::new(file),
                    path,
                    failed: Rc::default(),
                }),
                Err(e) => Err(named(&path, &e.into())),
            }
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
                if !name.starts_with(PROBE_PREFIX) {
                    names.push(name);
                }
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

impl GlommioFile {
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
    async fn read_aligned(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let align = self.file.alignment() as usize;
        let mut gathered = Vec::new();
        let mut done = 0;
        loop {
            let at = offset + done as u64;
            let piece = self.file.read_at_aligned(at, len - done).await;
            let piece = piece.map_err(|e| self.error("reading", at, &e.into()))?;
            let n = piece.len();
            done += n;
            // The end of the file, or everything: a piece that stops short of both is a signal
            // or a device limit, and the rest is asked for again.
            let ended = n == 0 || !n.is_multiple_of(align) || done == len;
            if ended && gathered.is_empty() {
                return Ok(Bytes::copy_from_slice(&piece));
            }
            gathered.extend_from_slice(&piece);
            if ended {
                return Ok(gathered.into());
            }
        }
    }
}

impl DiskFile for GlommioFile {
    type Buf = DmaBuffer;

    fn alloc(&self, len: usize) -> DmaBuffer {
        let mut buf = self.file.alloc_dma_buffer(len);
        buf.as_bytes_mut().fill(0);
        buf
    }

    fn write(&self, offset: u64, buf: DmaBuffer) -> impl Future<Output = io::Result<()>> + use<> {
        let this = self.clone();
        async move {
            let len = buf.len();
            if len == 0 {
                return Ok(());
            }
            this.check_sound()?;
            let written = this.file.write_at(buf, offset).await;
            this.failed
                .set(this.failed.get() || !matches!(written, Ok(n) if n == len));
            match written {
                Ok(n) if n == len => Ok(()),
                Ok(n) => {
                    let short = format!("only {n} of {len} bytes were written");
                    let short = io::Error::new(ErrorKind::WriteZero, short);
                    Err(this.error("writing", offset, &short))
                }
                Err(e) => Err(this.error("writing", offset, &e.into())),
            }
        }
    }

    fn read(&self, offset: u64, len: usize) -> impl Future<Output = io::Result<Bytes>> + use<> {
        let this = self.clone();
        async move {
            if len == 0 {
                return Ok(Bytes::new());
            }
            let start = this.file.align_down(offset);
            let skip = (offset - start) as usize;
            let end = offset
                .checked_add(len as u64)
                .ok_or(ErrorKind::InvalidInput)?;
            let span = this.file.align_up(end) - start;
            let mut got = this.read_aligned(start, span as usize).await?;
            if got.len() <= skip {
                return Ok(Bytes::new());
            }
            got.truncate(skip + len);
            Ok(got.slice(skip..))
        }
    }

    fn sync(&self) -> impl Future<Output = io::Result<()>> + use<> {
        let this = self.clone();
        async move {
            this.check_sound()?;
            let synced = this.file.fdatasync().await;
            this.failed.set(this.failed.get() || synced.is_err());
            synced.map_err(|e| named(&format!("{}: syncing", this.path), &e.into()))
        }
    }

    fn len(&self) -> impl Future<Output = io::Result<u64>> + use<> {
        let this = self.clone();
        async move {
            let size = this.file.file_size().await;
            size.map_err(|e| named(&this.path, &e.into()))
        }
    }
}

#[cfg(test)]
mod tests;
