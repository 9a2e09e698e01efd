//! Writing pages: records packed into pages, pages appended to the open file in large direct
//! writes, and one sync for all.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::error::PageError;
use super::files::PageFile;
use super::{Inner, Pages, SealRecord, weight};
use crate::env::{Disk, DiskFile, OpenMode};
use crate::error::Class;
use crate::format::fault::Fault;
use crate::format::page::{Page, PageDraft, ROOM_BYTES, Record, record_bytes};
use crate::limits::{BLOCK_BYTES, PAGE_FILE_BYTES, WRITE_BYTES};
use crate::mvcc::version::{PageId, PageSlot};

const FILE_BLOCKS: u32 = (PAGE_FILE_BYTES / BLOCK_BYTES as u64) as u32;

const _: () = assert!(PAGE_FILE_BYTES / BLOCK_BYTES as u64 <= u32::MAX as u64 / 2);

/// The one writer of a shard's pages, behind a lock that is held over a whole seal.
pub(super) struct Writer<F> {
    open: Option<OpenFile<F>>,
    /// A seal failed for good, and no other is tried.
    poison: Option<PageError>,
    /// A seal is under way. Found set when the next begins: its caller was dropped, and a write
    /// of it may still land.
    in_doubt: bool,
    /// Files begun by the seal under way: nothing names them before it is through.
    begun: Vec<(u32, F)>,
}

/// The file that pages are appended to.
struct OpenFile<F> {
    number: u32,
    handle: F,
    /// Blocks written.
    written: u32,
    /// Images not yet written; they follow behind `written`.
    pending: VecDeque<Bytes>,
    pending_bytes: usize,
    /// Something was written since the last sync.
    dirty: bool,
}

/// Gives the records of a seal, a page at a time, so that they need not be copied first.
pub trait Source {
    /// Calls `make` with the records of the next page: in rising revisions, at least one, several
    /// only if they fit [`ROOM_BYTES`]. Does nothing when none is left.
    fn page(&mut self, make: &mut dyn FnMut(&[Record<'_>]));
}

/// Records that were collected before.
struct Collected<'a>(&'a [SealRecord]);

impl Source for Collected<'_> {
    fn page(&mut self, make: &mut dyn FnMut(&[Record<'_>])) {
        let (page, behind) = self.0.split_at(page_end(self.0));
        self.0 = behind;
        if !page.is_empty() {
            let borrowed: Vec<_> = page.iter().map(borrow).collect();
            make(&borrowed);
        }
    }
}

/// A page whose place is not known, and the lengths of its values.
struct Drafted {
    draft: PageDraft,
    lens: Vec<u32>,
}

impl Drafted {
    fn new(records: &[Record<'_>]) -> Self {
        let len = |record: &Record<'_>| {
            u32::try_from(record.value.len()).expect("a request is far below 4 GiB")
        };
        Self {
            draft: PageDraft::new(records),
            lens: records.iter().map(len).collect(),
        }
    }
}

/// What one seal has put down so far; published when all of it is durable.
#[derive(Default)]
struct Sealed {
    slots: Vec<PageSlot>,
    pages: Vec<(PageId, Page, u64)>,
}

impl<F> Writer<F> {
    /// A writer that goes on behind the sealed blocks of a file, or begins the first.
    pub(super) fn new(open: Option<(u32, F, u32)>) -> Self {
        let open = open.map(|(number, handle, blocks)| OpenFile::new(number, handle, blocks));
        Self {
            open,
            poison: None,
            in_doubt: false,
            begun: Vec::new(),
        }
    }
}

impl<F> OpenFile<F> {
    fn new(number: u32, handle: F, written: u32) -> Self {
        let pending = VecDeque::new();
        Self {
            number,
            handle,
            written,
            pending,
            pending_bytes: 0,
            dirty: false,
        }
    }

    /// The block that the next page begins at.
    fn next_block(&self) -> u32 {
        self.written + (self.pending_bytes / BLOCK_BYTES) as u32
    }

    fn append(&mut self, image: Bytes) {
        assert!(
            image.len().is_multiple_of(BLOCK_BYTES),
            "a page of whole blocks"
        );
        self.pending_bytes += image.len();
        self.pending.push_back(image);
    }
}

impl<D: Disk> Pages<D> {
    /// Writes records into pages and returns their places, in the records' order; all durable,
    /// and in memory. As [`Pages::seal_from`], in one go.
    ///
    /// # Errors
    /// As there.
    pub async fn seal(&self, records: Vec<SealRecord>) -> Result<Vec<PageSlot>, PageError> {
        self.seal_from(&mut Collected(&records), async || ()).await
    }

    /// Writes what `source` gives into pages and returns the places, in its order; all durable, and
    /// in memory. `pause` is called after each page, to let others work.
    ///
    /// Seals run one after the other. The memory it takes is that of the pages until they are
    /// written, [`WRITE_BYTES`] at a time.
    ///
    /// # Errors
    /// Nothing was sealed: when the disk is full the same records may be sealed later, any other
    /// failure is final for this process.
    pub async fn seal_from(
        &self,
        source: &mut impl Source,
        pause: impl AsyncFn(),
    ) -> Result<Vec<PageSlot>, PageError> {
        let mut writer = self.inner.writer.lock().await;
        if let Some(error) = &writer.poison {
            return Err(error.clone());
        }
        if writer.in_doubt {
            self.inner.abandon(&mut writer).await;
        }
        writer.in_doubt = true;
        let sealed = self.inner.seal(&mut writer, source, &pause).await;
        match sealed {
            Ok(sealed) => Ok(self.inner.publish(&mut writer, sealed)),
            Err(error) => {
                if error.class() == Class::Fatal {
                    writer.poison = Some(error.clone());
                }
                self.inner.abandon(&mut writer).await;
                Err(error)
            }
        }
    }

    /// Ends the open file: the next seal begins another, and this one may be rewritten.
    pub async fn rotate(&self) {
        let mut writer = self.inner.writer.lock().await;
        writer.open = None;
        self.inner.open_file.set(None);
    }
}

impl<D: Disk> Inner<D> {
    async fn seal(
        &self,
        writer: &mut Writer<D::File>,
        source: &mut impl Source,
        pause: &impl AsyncFn(),
    ) -> Result<Sealed, PageError> {
        let mut sealed = Sealed::default();
        loop {
            let mut drafted = None;
            source.page(&mut |records| drafted = Some(Drafted::new(records)));
            let Some(drafted) = drafted else { break };
            self.add_page(writer, drafted, &mut sealed).await?;
            pause().await;
        }
        if let Some(open) = &mut writer.open {
            self.flush(open).await?;
        }
        if !writer.begun.is_empty() {
            let dir = &self.options.dir;
            let synced = self.disk.sync_dir(dir).await;
            synced.map_err(|e| Fault::io(dir, "sync of the directory", &e))?;
        }
        Ok(sealed)
    }

    /// Puts one page of records at the end of the open file, or of the next if it is full.
    async fn add_page(
        &self,
        writer: &mut Writer<D::File>,
        Drafted { draft, lens }: Drafted,
        sealed: &mut Sealed,
    ) -> Result<(), PageError> {
        if let Some(open) = &mut writer.open
            && open.next_block() > 0
            && open.next_block().saturating_add(draft.blocks()) > FILE_BLOCKS
        {
            self.flush(open).await?;
            writer.open = None;
        }
        if writer.open.is_none() {
            self.begin_file(writer).await?;
        }
        let open = writer.open.as_mut().expect("begun above");
        let page = PageId {
            file: open.number,
            block: open.next_block(),
        };
        let done = draft.finish(&self.place(page));
        let total = lens.iter().map(|len| weight(*len)).sum();
        let slots = (0..)
            .zip(lens)
            .map(|(slot, len)| PageSlot { page, slot, len });
        sealed.slots.extend(slots);
        open.append(done.image().clone());
        sealed.pages.push((page, done, total));
        while open.pending_bytes >= WRITE_BYTES {
            self.write(open).await?;
        }
        Ok(())
    }

    async fn begin_file(&self, writer: &mut Writer<D::File>) -> Result<(), PageError> {
        let number = self.next_file.get();
        self.next_file.set(number + 1);
        let path = self.path(number);
        let handle = self.disk.open(&path, OpenMode::CREATE).await;
        let handle = handle.map_err(|e| Fault::io(&path, "create", &e))?;
        writer.begun.push((number, handle.clone()));
        writer.open = Some(OpenFile::new(number, handle, 0));
        Ok(())
    }

    /// Writes all that is pending and makes the file durable.
    async fn flush(&self, open: &mut OpenFile<D::File>) -> Result<(), PageError> {
        while !open.pending.is_empty() {
            self.write(open).await?;
        }
        if open.dirty {
            let synced = open.handle.sync().await;
            synced.map_err(|e| Fault::io(&self.path(open.number), "sync", &e))?;
            open.dirty = false;
        }
        Ok(())
    }

    /// One write of what is pending, up to [`WRITE_BYTES`] of it.
    async fn write(&self, open: &mut OpenFile<D::File>) -> Result<(), PageError> {
        let len = open.pending_bytes.min(WRITE_BYTES);
        let mut buf = open.handle.alloc(len);
        let mut room = &mut buf.as_mut()[..len];
        while !room.is_empty() {
            let image = open.pending.front_mut().expect("as many bytes are pending");
            let taken = image.len().min(room.len());
            let (filled, behind) = room.split_at_mut(taken);
            filled.copy_from_slice(&image[..taken]);
            image.advance(taken);
            if image.is_empty() {
                open.pending.pop_front();
            }
            room = behind;
        }
        let offset = u64::from(open.written) * BLOCK_BYTES as u64;
        open.dirty = true;
        let written = open.handle.write(offset, buf).await;
        written.map_err(|e| Fault::io(&self.path(open.number), "write", &e))?;
        open.written += (len / BLOCK_BYTES) as u32;
        open.pending_bytes -= len;
        Ok(())
    }

    /// Makes what a seal has written known, now that it is durable.
    fn publish(&self, writer: &mut Writer<D::File>, sealed: Sealed) -> Vec<PageSlot> {
        writer.in_doubt = false;
        let mut files = self.files.borrow_mut();
        for (number, handle) in writer.begun.drain(..) {
            files.insert(number, PageFile::begun(handle));
        }
        self.open_file
            .set(writer.open.as_ref().map(|open| open.number));
        let mut cache = self.cache.borrow_mut();
        for (id, page, total) in sealed.pages {
            let blocks = (page.image().len() / BLOCK_BYTES) as u32;
            let file = files
                .get_mut(&id.file)
                .expect("the open file is never removed");
            file.blocks = id.block + blocks;
            file.total += total;
            file.live += total;
            cache.insert(id, page);
        }
        sealed.slots
    }

    /// After a seal that failed or was given up, what it wrote must not be written again: the
    /// open file ends where it was sealed last, and files begun for nothing go.
    async fn abandon(&self, writer: &mut Writer<D::File>) {
        writer.open = None;
        self.open_file.set(None);
        while let Some((number, _)) = writer.begun.pop() {
            // Best effort: one that stays takes space until the next start removes it.
            let _ = self.disk.remove(&self.path(number)).await;
        }
        writer.in_doubt = false;
    }
}

/// How many of `records` the next page takes: as many as fit, in rising revisions, at least one.
///
/// Rewriting seals records of several pages at once, and their revisions fall between pages.
fn page_end(records: &[SealRecord]) -> usize {
    let mut bytes = 0;
    for (at, record) in records.iter().enumerate() {
        bytes += record_bytes(record.key.len(), record.value.len());
        let falls = at > 0 && record.revision <= records[at - 1].revision;
        if at > 0 && (falls || bytes > ROOM_BYTES) {
            return at;
        }
    }
    records.len()
}

fn borrow(record: &SealRecord) -> Record<'_> {
    Record {
        key: &record.key,
        main: record.revision.main,
        sub: record.revision.sub,
        create_revision: record.create_revision,
        version: record.version,
        lease: record.lease,
        value: &record.value,
    }
}
