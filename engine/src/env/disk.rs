//! Files as the engine needs them, and what a disk may do to them in a crash.
//!
//! The contract: a write is volatile until a later `sync` returns, or until it returns itself on
//! a file opened with [`OpenMode::durable_writes`]. A volatile write may land in full, in part
//! (any subset of its 512-byte sectors) or not at all, and writes may land in any order. A name
//! (created, renamed, removed) is volatile until `sync_dir` on its directory returns. After a
//! failed write or sync the file must not be written again: the error is final.

use std::future::Future;
use std::io;

use bytes::Bytes;

/// How to open a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenMode {
    /// Allow writes.
    pub write: bool,
    /// Create it; fails with `AlreadyExists` if it is there.
    pub create_new: bool,
    /// Every write is durable when it returns (O_DSYNC).
    pub durable_writes: bool,
}

impl OpenMode {
    /// For reading only.
    pub const READ: Self = Self {
        write: false,
        create_new: false,
        durable_writes: false,
    };
    /// For reading and writing what exists.
    pub const WRITE: Self = Self {
        write: true,
        create_new: false,
        durable_writes: false,
    };
    /// A new file.
    pub const CREATE: Self = Self {
        write: true,
        create_new: true,
        durable_writes: false,
    };
}

/// A tree of files below one root. Paths are relative to it, with `/` between names.
///
/// Handles are cheap to clone and belong to one core.
pub trait Disk: Clone + 'static {
    /// An open file.
    type File: DiskFile;

    /// Opens a file.
    fn open(
        &self,
        path: &str,
        mode: OpenMode,
    ) -> impl Future<Output = io::Result<Self::File>> + use<Self>;
    /// Names in a directory, sorted; files and directories alike. `NotFound` if it is not there.
    fn list(&self, dir: &str) -> impl Future<Output = io::Result<Vec<String>>> + use<Self>;
    /// Removes a file.
    fn remove(&self, path: &str) -> impl Future<Output = io::Result<()>> + use<Self>;
    /// Renames a file, replacing what has the new name.
    fn rename(&self, from: &str, to: &str) -> impl Future<Output = io::Result<()>> + use<Self>;
    /// Makes a directory and its parents; fine if they exist.
    fn make_dir(&self, dir: &str) -> impl Future<Output = io::Result<()>> + use<Self>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &str) -> impl Future<Output = io::Result<()>> + use<Self>;
    /// Bytes free for this process below the root.
    fn free_bytes(&self) -> impl Future<Output = io::Result<u64>> + use<Self>;
}

/// An open file. Clones share it; it is closed with the last.
#[allow(clippy::len_without_is_empty)]
pub trait DiskFile: Clone + 'static {
    /// A buffer fit for direct writes.
    type Buf: AsRef<[u8]> + AsMut<[u8]> + 'static;

    /// A zeroed buffer of `len` bytes, a multiple of [`crate::limits::BLOCK_BYTES`].
    fn alloc(&self, len: usize) -> Self::Buf;
    /// The first `len` bytes of a buffer, a multiple of the block, as a buffer to write. A disk
    /// that can shorten a buffer in place does so; this copies.
    fn trim(&self, buf: Self::Buf, len: usize) -> Self::Buf {
        if buf.as_ref().len() == len {
            return buf;
        }
        let mut short = self.alloc(len);
        short.as_mut().copy_from_slice(&buf.as_ref()[..len]);
        short
    }
    /// Writes the whole buffer at `offset`; both are multiples of the block. Extends the file.
    fn write(
        &self,
        offset: u64,
        buf: Self::Buf,
    ) -> impl Future<Output = io::Result<()>> + use<Self>;
    /// Reads `len` bytes at `offset`, any alignment; fewer where the file ends.
    fn read(&self, offset: u64, len: usize) -> impl Future<Output = io::Result<Bytes>> + use<Self>;
    /// Makes everything written before durable, with the length.
    fn sync(&self) -> impl Future<Output = io::Result<()>> + use<Self>;
    /// Length in bytes.
    fn len(&self) -> impl Future<Output = io::Result<u64>> + use<Self>;
}
