//! The page files of a shard: which there are, how much of each is live, and how one that is
//! mostly garbage is rewritten and removed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::rc::Rc;

use futures::lock::Mutex;

use super::error::PageError;
use super::seal::Writer;
use super::{Inner, PageOptions, Pages, SealRecord, weight};
use crate::env::{Disk, DiskFile, OpenMode};
use crate::format::checkpoint::FileImage;
use crate::format::fault::{Fault, join};
use crate::format::page::Page;
use crate::ids::Revision;
use crate::limits::{BLOCK_BYTES, PAGE_CACHE_UNREAD_BYTES, PAGE_FILE_BYTES};
use crate::mvcc::page_cache::PageCache;
use crate::mvcc::version::{PageId, PageSlot};

/// Directory of all pages, below the root of the disk; a directory for each shard is in it.
pub const DIR: &str = "pages";

const SUFFIX: &str = ".pages";

/// One page file.
pub(super) struct PageFile<F> {
    /// Blocks sealed, from the start.
    pub(super) blocks: u32,
    /// Weight of all records in them.
    pub(super) total: u64,
    /// Weight of those that are still named.
    pub(super) live: u64,
    /// Open handle, once somebody needed one.
    pub(super) handle: Option<F>,
    /// The newest checkpoint begun when the file was retired.
    pub(super) retired: Option<u64>,
}

/// A file worth rewriting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileWork {
    /// Number of the file.
    pub file: u32,
    /// Weight of what is still named in it, bytes; 0 means it can be retired at once.
    pub live: u64,
    /// Weight of all its records, bytes.
    pub total: u64,
}

/// A page of records, read back for rewriting.
#[derive(Clone, Debug)]
pub struct RecordChunk {
    /// All records of the page with their places, in revision order, live or not.
    pub records: Vec<(PageSlot, SealRecord)>,
    /// Block to go on from; `None` at the end of the file.
    pub next: Option<u32>,
}

impl<F> PageFile<F> {
    /// A new file.
    pub(super) fn begun(handle: F) -> Self {
        Self {
            blocks: 0,
            total: 0,
            live: 0,
            handle: Some(handle),
            retired: None,
        }
    }
}

impl<D: Disk> Pages<D> {
    /// The pages that a durable checkpoint names: `files` is its footer's list, `next_file` its
    /// manifest's number. Every other page file is garbage of a former run and is removed; so
    /// the manifest must be durable (see `checkpoint::load_manifest`).
    ///
    /// The directory must exist durably (see `superblock::create`). Fails if a file that is named
    /// is missing or shorter than the checkpoint says.
    pub async fn open(
        disk: D,
        options: PageOptions,
        next_file: u32,
        files: &[FileImage],
    ) -> Result<Self, PageError> {
        let mut known = BTreeMap::new();
        for image in files {
            check_file(&disk, &options.dir, image).await?;
            let FileImage {
                number,
                blocks,
                total,
                live,
            } = *image;
            let handle = None;
            known.insert(
                number,
                PageFile {
                    blocks,
                    total,
                    live,
                    handle,
                    retired: None,
                },
            );
        }
        remove_unknown(&disk, &options.dir, &known).await?;
        let last = known.last_key_value().map_or(0, |(number, _)| number + 1);
        let cache = PageCache::new(options.cache_bytes, PAGE_CACHE_UNREAD_BYTES);
        let inner = Inner {
            disk,
            options,
            files: RefCell::new(known),
            cache: Rc::new(RefCell::new(cache)),
            loading: RefCell::default(),
            mismatch: RefCell::default(),
            next_file: Cell::new(next_file.max(last)),
            reads: Cell::new(0),
            open_file: Cell::new(None),
            writer: Mutex::new(Writer::new(None)),
        };
        inner.go_on().await?;
        Ok(Self {
            inner: Rc::new(inner),
        })
    }

    /// Notes that nothing names `slot` any more: its version was compacted, dropped or reseated.
    pub fn dead(&self, slot: &PageSlot) {
        if let Some(file) = self.inner.files.borrow_mut().get_mut(&slot.page.file) {
            debug_assert!(file.live >= weight(slot.len), "more garbage than records");
            file.live = file.live.saturating_sub(weight(slot.len));
        }
    }

    /// The file most worth rewriting: the one with the smallest live share, if that is below one
    /// half, or, with `force`, if there is any garbage in it. Never the open or a retired one.
    pub fn garbage(&self, force: bool) -> Option<FileWork> {
        let files = self.inner.files.borrow();
        let open = self.inner.open_file.get();
        let share = |work: &FileWork| work.live.saturating_mul(1000) / work.total.max(1);
        files
            .iter()
            .filter(|(number, file)| Some(**number) != open && file.retired.is_none())
            .map(|(&number, file)| FileWork {
                file: number,
                live: file.live,
                total: file.total,
            })
            .filter(|work| work.live.saturating_mul(2) < work.total || force)
            .filter(|work| work.live < work.total)
            .min_by_key(share)
    }

    /// The records of the page at `from_block` of a file, for rewriting; begin with block 0. The
    /// page is not kept in memory.
    ///
    /// The caller seals anew those that the index still names here, reseats them, and then
    /// calls [`Pages::retire`].
    pub async fn records(&self, file: u32, from_block: u32) -> Result<RecordChunk, PageError> {
        let id = PageId {
            file,
            block: from_block,
        };
        let page = self.page(id).await?;
        let records = (0..page.records()).filter_map(|slot| {
            let record = record_of(&page, slot)?;
            let len = record.value.len() as u32;
            Some((
                PageSlot {
                    page: id,
                    slot,
                    len,
                },
                record,
            ))
        });
        let records = records.collect();
        let next = from_block + (page.image().len() / BLOCK_BYTES) as u32;
        let files = self.inner.files.borrow();
        let blocks = files.get(&file).map_or(0, |f| f.blocks);
        Ok(RecordChunk {
            records,
            next: (next < blocks).then_some(next),
        })
    }

    /// Nothing names `file` any more. `begun` is the generation of the newest checkpoint begun so
    /// far, which may name it still; one begun from now on does not.
    pub fn retire(&self, file: u32, begun: u64) {
        if let Some(file) = self.inner.files.borrow_mut().get_mut(&file) {
            file.live = 0;
            file.retired.get_or_insert(begun);
        }
    }

    /// Removes retired files that the checkpoint `durable`, which must be durable, and all later
    /// ones do not name. Returns how many. No more than one call at a time.
    pub async fn remove_retired(&self, durable: u64) -> Result<usize, PageError> {
        let mut removed = 0;
        loop {
            let due = |f: &PageFile<_>| f.retired.is_some_and(|begun| begun < durable);
            let file = {
                let files = self.inner.files.borrow();
                files
                    .iter()
                    .find(|(_, f)| due(f))
                    .map(|(&number, _)| number)
            };
            let Some(file) = file else { return Ok(removed) };
            remove(&self.inner.disk, &self.inner.path(file)).await?;
            self.inner.files.borrow_mut().remove(&file);
            self.inner.cache.borrow_mut().remove_file(file);
            removed += 1;
        }
    }

    /// All page files as a checkpoint wants them, ascending; the `live` of its footer it counts
    /// itself. Everything in them is durable.
    pub fn files(&self) -> Vec<FileImage> {
        let files = self.inner.files.borrow();
        let image = |(&number, f): (&u32, &PageFile<_>)| FileImage {
            number,
            blocks: f.blocks,
            total: f.total,
            live: f.live,
        };
        files.iter().map(image).collect()
    }

    /// The number that the next new page file gets, for the manifest.
    pub fn next_file(&self) -> u32 {
        self.inner.next_file.get()
    }
}

impl<D: Disk> Inner<D> {
    /// Goes on behind the sealed blocks of the last file, if it has room.
    async fn go_on(&self) -> Result<(), PageError> {
        let last = {
            let files = self.files.borrow();
            files
                .last_key_value()
                .map(|(&number, file)| (number, file.blocks))
        };
        let Some((number, blocks)) = last else {
            return Ok(());
        };
        if u64::from(blocks) * BLOCK_BYTES as u64 >= PAGE_FILE_BYTES {
            return Ok(());
        }
        let path = self.path(number);
        let handle = self.disk.open(&path, OpenMode::WRITE).await;
        let handle = handle.map_err(|e| Fault::io(&path, "open", &e))?;
        *self.writer.lock().await = Writer::new(Some((number, handle, blocks)));
        self.open_file.set(Some(number));
        Ok(())
    }
}

/// Name of the page file `number`.
pub(super) fn name(number: u32) -> String {
    format!("{number:010}{SUFFIX}")
}

/// A page file of any shard, if there is one.
pub async fn any_file<D: Disk>(disk: &D) -> Result<Option<String>, Fault> {
    let listed = async |dir: &str| match disk.list(dir).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        names => names.map_err(|e| Fault::io(dir, "list", &e)),
    };
    for shard in listed(DIR).await? {
        if shard.parse::<u16>().is_err() {
            continue;
        }
        let dir = join(DIR, &shard);
        let names = listed(&dir).await?;
        if let Some(name) = names.iter().find(|name| number(name).is_some()) {
            return Ok(Some(join(&dir, name)));
        }
    }
    Ok(None)
}

fn number(name: &str) -> Option<u32> {
    name.strip_suffix(SUFFIX)?.parse().ok()
}

/// A record with its own key and a value that borrows the page's buffer.
pub(super) fn record_of(page: &Page, slot: u32) -> Option<SealRecord> {
    let record = page.record(slot)?;
    Some(SealRecord {
        key: record.key.into(),
        revision: Revision::new(record.main, record.sub),
        create_revision: record.create_revision,
        version: record.version,
        lease: record.lease,
        value: page.value(slot)?,
    })
}

async fn check_file<D: Disk>(disk: &D, dir: &str, image: &FileImage) -> Result<(), Fault> {
    let path = join(dir, &name(image.number));
    let file = match disk.open(&path, OpenMode::READ).await {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Fault::corrupt(&path, 0, "the file is missing"));
        }
        Err(error) => return Err(Fault::io(&path, "open", &error)),
    };
    let len = file
        .len()
        .await
        .map_err(|e| Fault::io(&path, "length", &e))?;
    let sealed = u64::from(image.blocks) * BLOCK_BYTES as u64;
    if len < sealed {
        let what = format!("the file ends before its {sealed} sealed bytes");
        return Err(Fault::corrupt(&path, len, what));
    }
    Ok(())
}

async fn remove_unknown<D: Disk, F>(
    disk: &D,
    dir: &str,
    known: &BTreeMap<u32, PageFile<F>>,
) -> Result<(), Fault> {
    let names = disk
        .list(dir)
        .await
        .map_err(|e| Fault::io(dir, "list", &e))?;
    for name in names {
        if number(&name).is_some_and(|number| !known.contains_key(&number)) {
            remove(disk, &join(dir, &name)).await?;
        }
    }
    Ok(())
}

/// Removes a file; one that is gone already is fine.
async fn remove<D: Disk>(disk: &D, path: &str) -> Result<(), Fault> {
    match disk.remove(path).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Fault::io(path, "remove", &error)),
        _ => Ok(()),
    }
}
