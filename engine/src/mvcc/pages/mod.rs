//! The sealed values of one shard: immutable pages in append-only files. Called by the shard,
//! which seals staged versions, reads values by their places and rewrites files full of garbage.
//!
//! A page is named by its file and first block for as long as it lives. Three rules keep what a
//! durable checkpoint names whole:
//!
//! - Blocks are only ever appended; those behind the sealed part of a file, which no checkpoint
//!   names, may be written again after a restart, never by the process that failed to write them.
//! - File numbers only rise, and a checkpoint carries the next one.
//! - A retired file goes only when a checkpoint begun after its retirement is durable.
//!
//! Garbage is accounted in *weight*: bytes a record takes in a page but for its key, which the
//! place of a version does not tell ([`weight`]).

mod error;
mod files;
mod load;
mod seal;

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use futures::lock::Mutex;

pub use error::PageError;
pub use files::{DIR, FileWork, RecordChunk, any_file};
pub use load::Pinned;
pub use seal::Source;

use self::files::PageFile;
use self::load::Loading;
use self::seal::Writer;
use super::page_cache::PageCache;
use super::version::{Key, PageId, PageSlot};
use crate::env::Disk;
use crate::format::fault::join;
use crate::format::identity::Identity;
use crate::format::page::{Page, PagePlace, RECORD_BYTES};
use crate::ids::{Revision, ShardId};
use crate::limits::{BLOCK_BYTES, PAGE_CACHE_BYTES_MIN};

/// One version of one key with its value: what is sealed, and what rewriting reads back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealRecord {
    /// The key.
    pub key: Key,
    /// When it was written.
    pub revision: Revision,
    /// Revision of the put that began this life of the key.
    pub create_revision: i64,
    /// Puts in this life, from 1.
    pub version: i64,
    /// Lease attached, 0 for none.
    pub lease: i64,
    /// The value.
    pub value: Bytes,
}

/// Whose pages these are, and how much of them is kept in memory.
#[derive(Clone, Debug)]
pub struct PageOptions {
    /// Directory below the root of the disk, one for each shard, as `pages/0`.
    pub dir: String,
    /// The shard.
    pub shard: ShardId,
    /// Cluster and member.
    pub identity: Identity,
    /// Bound of the page cache, bytes; [`PAGE_CACHE_BYTES_MIN`] unless there is a reason.
    pub cache_bytes: usize,
}

impl PageOptions {
    /// The pages of `shard` below [`DIR`].
    pub fn new(shard: ShardId, identity: Identity) -> Self {
        Self {
            dir: join(DIR, &shard.to_string()),
            shard,
            identity,
            cache_bytes: PAGE_CACHE_BYTES_MIN,
        }
    }
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageStats {
    /// Page files, retired ones included.
    pub files: usize,
    /// Bytes of sealed pages in them.
    pub allocated_bytes: u64,
    /// Weight of the records that are still named, bytes.
    pub live_bytes: u64,
    /// Bytes of pages in memory.
    pub cached_bytes: usize,
    /// Pages that were asked for and in memory.
    pub hits: u64,
    /// Pages read from the disk.
    pub reads: u64,
}

/// The pages of one shard. Clones share them.
pub struct Pages<D: Disk> {
    inner: Rc<Inner<D>>,
}

impl<D: Disk> Clone for Pages<D> {
    fn clone(&self) -> Self {
        Self {
            inner: Rc::clone(&self.inner),
        }
    }
}

struct Inner<D: Disk> {
    disk: D,
    options: PageOptions,
    files: RefCell<BTreeMap<u32, PageFile<D::File>>>,
    cache: Rc<RefCell<PageCache>>,
    loading: RefCell<BTreeMap<PageId, Loading>>,
    /// An index that names what no page holds: told by the next load, since a peek cannot.
    mismatch: RefCell<Option<PageError>>,
    next_file: Cell<u32>,
    /// Pages read from the disk.
    reads: Cell<u64>,
    /// The file that the next seal goes on with.
    open_file: Cell<Option<u32>>,
    writer: Mutex<Writer<D::File>>,
}

/// What a record counts for in the accounting of garbage, bytes.
pub fn weight(value_len: u32) -> u64 {
    RECORD_BYTES as u64 + u64::from(value_len)
}

impl<D: Disk> Pages<D> {
    /// The value at `slot` if its page is in memory. It keeps the page's buffer alive.
    ///
    /// `None` means: load the page and ask again.
    pub fn peek(&self, slot: &PageSlot) -> Option<Bytes> {
        let view = self.view();
        let (page, value) = view.find(slot)?;
        Some(page.keep(value))
    }

    /// A look at the pages in memory, for many values without a count on each. Nothing is loaded
    /// or evicted while it is held: not over an await.
    pub fn view(&self) -> PagesView<'_, D> {
        PagesView {
            cache: self.inner.cache.borrow(),
            pages: self,
        }
    }

    /// The whole record at `slot` if its page is in memory, for checks and for rewriting.
    pub fn peek_record(&self, slot: &PageSlot) -> Option<SealRecord> {
        let cache = self.inner.cache.borrow();
        let record = files::record_of(cache.get(slot.page)?, slot.slot);
        if record.is_none() {
            self.note_mismatch(slot);
        }
        record
    }

    /// How much there is.
    pub fn stats(&self) -> PageStats {
        let files = self.inner.files.borrow();
        let blocks: u64 = files.values().map(|f| u64::from(f.blocks)).sum();
        PageStats {
            files: files.len(),
            allocated_bytes: blocks * BLOCK_BYTES as u64,
            live_bytes: files.values().map(|f| f.live).sum(),
            cached_bytes: self.inner.cache.borrow().bytes(),
            hits: self.inner.cache.borrow().hits(),
            reads: self.inner.reads.get(),
        }
    }

    fn note_mismatch(&self, slot: &PageSlot) {
        let (path, offset) = (
            self.inner.path(slot.page.file),
            self.inner.place(slot.page).offset(),
        );
        let what = format!("no value of {} bytes in record {}", slot.len, slot.slot);
        let error = PageError::corrupt(&path, offset, &what);
        self.inner.mismatch.borrow_mut().get_or_insert(error);
    }
}

/// The pages in memory, borrowed.
pub struct PagesView<'a, D: Disk> {
    cache: Ref<'a, PageCache>,
    pages: &'a Pages<D>,
}

impl<D: Disk> PagesView<'_, D> {
    /// As [`Pages::peek`].
    pub fn peek(&self, slot: &PageSlot) -> Option<&[u8]> {
        self.find(slot).map(|(_, value)| value)
    }

    fn find(&self, slot: &PageSlot) -> Option<(&Page, &[u8])> {
        let page = self.cache.get(slot.page)?;
        match page.value_ref(slot.slot) {
            Some(value) if value.len() == slot.len as usize => Some((page, value)),
            _ => {
                self.pages.note_mismatch(slot);
                None
            }
        }
    }
}

impl<D: Disk> Inner<D> {
    fn path(&self, file: u32) -> String {
        join(&self.options.dir, &files::name(file))
    }

    fn place(&self, page: PageId) -> PagePlace {
        let PageOptions {
            identity, shard, ..
        } = self.options;
        PagePlace {
            identity,
            shard,
            file: page.file,
            block: page.block,
        }
    }
}

#[cfg(test)]
mod tests;
