//! Walks the pairs of a bucket in the order of their keys. Memory holds one page of each level.

use super::reader::Page;
use super::{
    BoltError, Bucket, Database, ELEMENT_BYTES, HEAD_BYTES, IS_BUCKET, Pair, Source, damaged,
    u32_at, u64_at,
};

/// More levels than any file has: a page that is its own ancestor shows by it.
const DEPTH_MAX: usize = 40;

/// A key, its value, and whether that is a bucket.
type Element<'a> = (&'a [u8], &'a [u8], bool);

/// A walk. After an error it is over.
#[derive(Debug)]
pub struct Cursor<'a, S> {
    database: &'a Database<S>,
    /// From the root to the leaf, each with the next element to visit.
    stack: Vec<(Page, usize)>,
    last: Option<Vec<u8>>,
    /// Pages visited; a sound tree has no more than the file.
    visited: u64,
}

impl<'a, S: Source> Cursor<'a, S> {
    /// At the start of a bucket.
    ///
    /// # Errors
    /// Its first page is damaged.
    pub fn new(database: &'a Database<S>, bucket: &Bucket) -> Result<Self, BoltError> {
        let root = match bucket {
            Bucket::At(page) => database.page(*page)?,
            Bucket::Inline(bytes) => {
                let page = Page::new(0, bytes.clone())?;
                if !page.is_leaf {
                    return Err(damaged("a bucket in a leaf has a branch"));
                }
                page
            }
        };
        Ok(Self {
            database,
            stack: vec![(root, 0)],
            last: None,
            visited: 0,
        })
    }

    /// The next pair, `None` at the end.
    ///
    /// # Errors
    /// The file is damaged.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Pair<'_>>, BoltError> {
        match self.next_element()? {
            Some((_, _, true)) => Err(damaged("it has a bucket inside of a bucket")),
            Some((key, value, false)) => Ok(Some((key, value))),
            None => Ok(None),
        }
    }

    /// The next pair, and whether its value is a bucket.
    pub(super) fn next_element(&mut self) -> Result<Option<Element<'_>>, BoltError> {
        loop {
            let Some((page, next)) = self.stack.last_mut() else {
                return Ok(None);
            };
            if *next == page.elements {
                self.stack.pop();
                continue;
            }
            let at = *next;
            *next += 1;
            if page.is_leaf {
                return self.take(at).map(Some);
            }
            let (number, child) = (page.number, child(page, at));
            let Some(child) = child else {
                return Err(damaged(format!("element {at} of page {number}")));
            };
            self.visited += 1;
            if self.stack.len() == DEPTH_MAX || self.visited > self.database.pages() {
                return Err(damaged(format!("page {number} is reached again and again")));
            }
            let child = self.database.page(child)?;
            self.stack.push((child, 0));
        }
    }

    fn take(&mut self, at: usize) -> Result<Element<'_>, BoltError> {
        let Some((page, _)) = self.stack.last() else {
            return Err(damaged("no page"));
        };
        let number = page.number;
        let Some((key, value, is_bucket)) = pair(page, at) else {
            return Err(damaged(format!("element {at} of page {number}")));
        };
        match &mut self.last {
            Some(last) if key <= last.as_slice() => {
                return Err(damaged(format!("keys do not rise in page {number}")));
            }
            Some(last) => {
                last.clear();
                last.extend_from_slice(key);
            }
            None => self.last = Some(key.to_vec()),
        }
        Ok((key, value, is_bucket))
    }
}

/// Element `at` of a leaf.
fn pair(page: &Page, at: usize) -> Option<Element<'_>> {
    let element = HEAD_BYTES + at * ELEMENT_BYTES;
    let field = |number: usize| u32_at(&page.bytes, element + 4 * number);
    let (flags, place) = (field(0)?, field(1)? as usize);
    let (key_len, value_len) = (field(2)? as usize, field(3)? as usize);
    let key = element.checked_add(place)?;
    let value = key.checked_add(key_len)?;
    let end = value.checked_add(value_len)?;
    let is_bucket = flags & IS_BUCKET != 0;
    Some((
        page.bytes.get(key..value)?,
        page.bytes.get(value..end)?,
        is_bucket,
    ))
}

/// The page that element `at` of a branch names.
fn child(page: &Page, at: usize) -> Option<u64> {
    u64_at(&page.bytes, HEAD_BYTES + at * ELEMENT_BYTES + 8)
}
