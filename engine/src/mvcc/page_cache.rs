//! Pages in memory, up to a bound, with the clock algorithm: a page that was used since the hand
//! last passed gets another round. Called by `mvcc/pages` only.
//!
//! Two bounds hold: one for all pages, and a small one for those that were only written. Memory is
//! for what is read; old versions that nobody asks for again do not fill it.
//!
//! A hit sets two flags and allocates nothing. Evicting a page never takes it from a reader: a
//! value is a slice that keeps its page's buffer alive by itself.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::version::PageId;
use crate::format::page::Page;

/// Pages in memory.
pub(crate) struct PageCache {
    bytes_max: usize,
    bytes: usize,
    /// Bound and bytes of the pages that nothing was read from yet.
    unread_max: usize,
    unread: Cell<usize>,
    /// Pages in the order of their writing, all unread ones among them.
    written: VecDeque<PageId>,
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    places: HashMap<PageId, usize, BuildHasherDefault<PageHasher>>,
    hand: usize,
    hits: Cell<u64>,
}

struct Entry {
    id: PageId,
    page: Page,
    used: Cell<bool>,
    /// Whether anything was ever read from it.
    read: Cell<bool>,
    pins: u32,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.page.image().len()
    }
}

impl PageCache {
    /// An empty cache that keeps up to `bytes_max` bytes of pages, beyond those that are pinned,
    /// and among them up to `unread_max` of pages that were written and not read.
    pub(crate) fn new(bytes_max: usize, unread_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            unread_max,
            unread: Cell::new(0),
            written: VecDeque::new(),
            entries: Vec::new(),
            free: Vec::new(),
            places: HashMap::default(),
            hand: 0,
            hits: Cell::new(0),
        }
    }

    /// Bytes of pages held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How often a page that was asked for was there.
    pub(crate) fn hits(&self) -> u64 {
        self.hits.get()
    }

    /// The page, and notes its use.
    pub(crate) fn get(&self, id: PageId) -> Option<&Page> {
        let entry = self.entries[*self.places.get(&id)?].as_ref();
        let entry = entry.expect("a place leads to an entry");
        entry.used.set(true);
        self.note_read(entry);
        self.hits.set(self.hits.get().wrapping_add(1));
        Some(&entry.page)
    }

    /// Keeps a page that was just written, evicting others for it.
    pub(crate) fn insert(&mut self, id: PageId, page: Page) {
        if !self.places.contains_key(&id) {
            self.unread.set(self.unread.get() + page.image().len());
            self.written.push_back(id);
            self.enter(id, page, false);
        }
        self.shrink_unread();
        self.shrink();
    }

    /// Keeps a page that is read from until as many [`PageCache::unpin`] as pins.
    pub(crate) fn pin(&mut self, id: PageId, page: Page) {
        let place = self.enter(id, page, true);
        let entry = self.entries[place].as_mut().expect("just entered");
        entry.pins += 1;
        let entry = self.entries[place].as_ref().expect("just entered");
        self.note_read(entry);
        self.shrink();
    }

    /// Gives a pin back. A page whose file was removed meanwhile is no longer there.
    pub(crate) fn unpin(&mut self, id: PageId) {
        let Some(&place) = self.places.get(&id) else {
            return;
        };
        let entry = self.entries[place]
            .as_mut()
            .expect("a place leads to an entry");
        entry.pins = entry.pins.saturating_sub(1);
        self.shrink();
    }

    /// Forgets all pages of a file, pinned or not: nothing names them any more.
    pub(crate) fn remove_file(&mut self, file: u32) {
        for place in 0..self.entries.len() {
            if self.entries[place]
                .as_ref()
                .is_some_and(|e| e.id.file == file)
            {
                self.evict(place);
            }
        }
    }

    fn note_read(&self, entry: &Entry) {
        if !entry.read.replace(true) {
            self.unread.set(self.unread.get() - entry.bytes());
        }
    }

    fn enter(&mut self, id: PageId, page: Page, read: bool) -> usize {
        if let Some(&place) = self.places.get(&id) {
            return place;
        }
        self.bytes += page.image().len();
        // Not used before its first hit, so that pages that pass through once do not push out
        // those that are read again and again.
        let entry = Some(Entry {
            id,
            page,
            used: Cell::new(false),
            read: Cell::new(read),
            pins: 0,
        });
        let place = match self.free.pop() {
            Some(place) => {
                self.entries[place] = entry;
                place
            }
            None => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
        };
        self.places.insert(id, place);
        place
    }

    /// The place of a page that was written and not read.
    fn unread_place(&self, id: PageId) -> Option<usize> {
        let place = *self.places.get(&id)?;
        let entry = self.entries[place].as_ref();
        entry.is_some_and(|e| !e.read.get()).then_some(place)
    }

    /// Lets the oldest pages go that nothing was read from.
    fn shrink_unread(&mut self) {
        while self.unread.get() > self.unread_max {
            let Some(id) = self.written.pop_front() else {
                return;
            };
            if let Some(place) = self.unread_place(id) {
                self.evict(place);
            }
        }
        // Pages that were read or are gone stay queued until they come to the front: not too many.
        if self.written.len() > 2 * self.entries.len() + 64 {
            let mut written = std::mem::take(&mut self.written);
            written.retain(|id| self.unread_place(*id).is_some());
            self.written = written;
        }
    }

    fn shrink(&mut self) {
        // Two rounds: the first may only clear flags. What is left then is pinned.
        let mut turns = self.entries.len() * 2;
        while self.bytes > self.bytes_max && turns > 0 {
            turns -= 1;
            let place = self.hand % self.entries.len();
            self.hand = place + 1;
            match &mut self.entries[place] {
                Some(entry) if entry.pins > 0 => {}
                Some(entry) if entry.used.get() => entry.used.set(false),
                Some(_) => self.evict(place),
                None => {}
            }
        }
    }

    fn evict(&mut self, place: usize) {
        let Some(entry) = self.entries[place].take() else {
            return;
        };
        self.bytes -= entry.bytes();
        if !entry.read.get() {
            self.unread.set(self.unread.get() - entry.bytes());
        }
        self.places.remove(&entry.id);
        self.free.push(place);
    }
}

/// A fixed hash of a page id: the keys are our own numbers, and a seed would cost determinism.
#[derive(Default)]
pub(crate) struct PageHasher(u64);

impl Hasher for PageHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        // Multiplication by a large odd number spreads low bits upward, the rotation brings the
        // spread bits down to where the table looks.
        let mixed = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed.rotate_left(26);
    }
}

#[cfg(test)]
mod tests;
