//! Reading pages: one read for however many ask, checked once, kept until the asker's turn.

use std::cell::RefCell;
use std::rc::Rc;

use futures::future::{FutureExt, LocalBoxFuture, Shared, WeakShared};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::error::PageError;
use super::{Inner, Pages};
use crate::env::{Disk, DiskFile, OpenMode};
use crate::format::fault::Fault;
use crate::format::page::{Page, PageHead};
use crate::limits::{PAGE_BYTES, PAGE_READS_MAX};
use crate::mvcc::page_cache::PageCache;
use crate::mvcc::version::PageId;

type Read = Shared<LocalBoxFuture<'static, Result<Page, PageError>>>;

/// A read under way. Weak: a read whose askers are all gone ends with them.
pub(super) type Loading = WeakShared<LocalBoxFuture<'static, Result<Page, PageError>>>;

/// Pages that stay in memory while this lives: hold it until the read that missed them ran again.
pub struct Pinned {
    cache: Rc<RefCell<PageCache>>,
    pages: Vec<PageId>,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut cache = self.cache.borrow_mut();
        for &page in &self.pages {
            cache.unpin(page);
        }
    }
}

impl<D: Disk> Pages<D> {
    /// Brings a page into memory.
    ///
    /// Fails with [`PageError::Gone`] if its file was rewritten meanwhile, with a fault that
    /// names file and offset if it is damaged.
    pub async fn load(&self, page: PageId) -> Result<Pinned, PageError> {
        self.load_all(&[page]).await
    }

    /// Brings pages into memory, [`PAGE_READS_MAX`] reads at a time. The caller bounds the list.
    pub async fn load_all(&self, pages: &[PageId]) -> Result<Pinned, PageError> {
        if let Some(error) = &*self.inner.mismatch.borrow() {
            return Err(error.clone());
        }
        let cache = Rc::clone(&self.inner.cache);
        let mut pinned = Pinned {
            cache,
            pages: Vec::with_capacity(pages.len()),
        };
        let mut loads = stream::iter(pages)
            .map(|&id| async move { Ok::<_, PageError>((id, self.page(id).await?)) })
            .buffered(PAGE_READS_MAX);
        while let Some((id, page)) = loads.try_next().await? {
            pinned.cache.borrow_mut().pin(id, page);
            pinned.pages.push(id);
        }
        drop(loads);
        Ok(pinned)
    }

    /// A page, from memory or from the disk; does not keep it.
    pub(super) async fn page(&self, id: PageId) -> Result<Page, PageError> {
        if let Some(page) = self.inner.cache.borrow_mut().get(id) {
            return Ok(page.clone());
        }
        let running = self
            .inner
            .loading
            .borrow()
            .get(&id)
            .and_then(WeakShared::upgrade);
        let read = running.unwrap_or_else(|| self.begin(id));
        read.await
    }

    fn begin(&self, id: PageId) -> Read {
        let inner = Rc::clone(&self.inner);
        let read = async move {
            let read = inner.read(id).await;
            inner.loading.borrow_mut().remove(&id);
            read
        };
        let read = read.boxed_local().shared();
        let weak = read.downgrade().expect("not polled yet");
        self.inner.loading.borrow_mut().insert(id, weak);
        read
    }
}

impl<D: Disk> Inner<D> {
    async fn read(&self, id: PageId) -> Result<Page, PageError> {
        let (path, place) = (self.path(id.file), self.place(id));
        let file = self.handle(id).await?;
        self.reads.set(self.reads.get().wrapping_add(1));
        let read = |len: usize| {
            let read = file.read(place.offset(), len);
            let path = path.clone();
            async move { read.await.map_err(|e| Fault::io(&path, "read", &e)) }
        };
        // Nearly every page has this size at most, so one read does.
        let mut image = read(PAGE_BYTES).await?;
        let len = PageHead::read(&image, &path, &place)?.bytes;
        if len > PAGE_BYTES {
            image = read(len).await?;
        } else if len * 2 <= image.len() {
            // Do not keep a large buffer alive for a small page.
            image = bytes::Bytes::copy_from_slice(&image[..len]);
        } else {
            image.truncate(len);
        }
        Ok(Page::new(image, &path, &place)?)
    }

    /// An open handle for reading the file of `page`.
    async fn handle(&self, page: PageId) -> Result<D::File, PageError> {
        let file = page.file;
        {
            let files = self.files.borrow();
            let known = files.get(&file).ok_or(PageError::Gone { file })?;
            if page.block >= known.blocks {
                let offset = self.place(page).offset();
                let what = "a page behind the sealed part of its file";
                return Err(PageError::corrupt(&self.path(file), offset, what));
            }
            if let Some(handle) = &known.handle {
                return Ok(handle.clone());
            }
        }
        let path = self.path(file);
        let opened = self.disk.open(&path, OpenMode::READ).await;
        let mut files = self.files.borrow_mut();
        let known = files.get_mut(&file).ok_or(PageError::Gone { file })?;
        let handle = opened.map_err(|e| Fault::io(&path, "open", &e))?;
        known.handle.get_or_insert(handle.clone());
        Ok(handle)
    }
}
