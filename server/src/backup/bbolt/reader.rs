//! Opens a bbolt file and finds its buckets. Everything that is followed is checked; what a page
//! says of itself is believed no further than the file goes.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::{
    BRANCH, BoltError, Cursor, HEAD_BYTES, LEAF, MAGIC, META, META_BYTES, VERSION, damaged, fnv64a,
    u16_at, u32_at, u64_at,
};

/// Most bytes that one page with what belongs to it may take: a value of etcd's is far smaller.
const PAGE_SPAN_MAX: u64 = 1 << 30;

/// Sizes of a page that bbolt uses.
const PAGE_SIZES: std::ops::RangeInclusive<u64> = 512..=(1 << 20);

/// Bytes at an offset.
pub trait Source {
    /// Fills `into` from `offset`.
    ///
    /// # Errors
    /// The source ends before, or the system's word.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()>;
}

impl Source for File {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        self.read_exact_at(into, offset)
    }
}

/// An open file.
#[derive(Debug)]
pub struct Database<S> {
    source: S,
    page_bytes: u64,
    /// Pages there are.
    pages: u64,
    root: u64,
}

/// Where a bucket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// Below this page.
    At(u64),
    /// In the place where its page would be named.
    Inline(Vec<u8>),
}

/// A page that was read, with what belongs to it.
#[derive(Debug)]
pub(super) struct Page {
    pub number: u64,
    pub is_leaf: bool,
    pub elements: usize,
    pub bytes: Vec<u8>,
}

struct Meta {
    page_bytes: u64,
    root: u64,
    pages: u64,
    transaction: u64,
}

impl<S: Source> Database<S> {
    /// Opens the file in the first `len` bytes of `source`.
    ///
    /// # Errors
    /// It is no bbolt file, or cut.
    pub fn open(source: S, len: u64) -> Result<Self, BoltError> {
        let first = read_meta(&source, len, 0);
        let sizes = match &first {
            Some(meta) => meta.page_bytes..=meta.page_bytes,
            None => PAGE_SIZES,
        };
        let second = std::iter::successors(Some(*sizes.start()), |size| Some(size * 2))
            .take_while(|size| size <= sizes.end())
            .find_map(|at| read_meta(&source, len, at).filter(|meta| meta.page_bytes == at));
        let newest = first
            .into_iter()
            .chain(second)
            .max_by_key(|m| m.transaction);
        let Some(meta) = newest else {
            return Err(damaged(
                "it does not begin as a database file of etcd (bbolt) does",
            ));
        };
        let there = len / meta.page_bytes;
        if meta.pages > there {
            let what = format!("it is cut: it has {there} of {} pages", meta.pages);
            return Err(damaged(what));
        }
        Ok(Self {
            source,
            page_bytes: meta.page_bytes,
            pages: meta.pages,
            root: meta.root,
        })
    }

    /// Bytes of the pages that are in use or free, without what a file may have behind them.
    pub fn bytes(&self) -> u64 {
        self.pages * self.page_bytes
    }

    /// Pages of the file.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// Calls `take` with each bucket, in the order of their names.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn buckets(&self) -> Result<Vec<(Vec<u8>, Bucket)>, BoltError> {
        let mut cursor = Cursor::new(self, &Bucket::At(self.root))?;
        let mut buckets = Vec::new();
        while let Some((name, value, is_bucket)) = cursor.next_element()? {
            if !is_bucket {
                return Err(damaged("it has a pair where only buckets are"));
            }
            buckets.push((name.to_vec(), bucket(value)?));
        }
        Ok(buckets)
    }

    /// The bucket called `name`.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn bucket(&self, name: &[u8]) -> Result<Option<Bucket>, BoltError> {
        let mut all = self.buckets()?.into_iter();
        Ok(all.find(|(found, _)| found == name).map(|(_, at)| at))
    }

    /// Reads a branch or leaf page.
    pub(super) fn page(&self, number: u64) -> Result<Page, BoltError> {
        if number < 2 || number >= self.pages {
            return Err(damaged(format!("page {number} is outside of the file")));
        }
        let mut bytes = vec![0; self.page_bytes as usize];
        let offset = number * self.page_bytes;
        self.source.read_at(offset, &mut bytes)?;
        let more = u64::from(u32_at(&bytes, 12).unwrap_or(0));
        let span = (more + 1) * self.page_bytes;
        if more >= self.pages - number || span > PAGE_SPAN_MAX {
            return Err(damaged(format!("page {number} goes beyond the file")));
        }
        if more > 0 {
            bytes.resize(span as usize, 0);
            let (first, rest) = (self.page_bytes as usize, offset + self.page_bytes);
            self.source.read_at(rest, &mut bytes[first..])?;
        }
        Page::new(number, bytes)
    }
}

impl Page {
    /// Checks the head of a page.
    pub fn new(number: u64, bytes: Vec<u8>) -> Result<Self, BoltError> {
        let fields = (u64_at(&bytes, 0), u16_at(&bytes, 8), u16_at(&bytes, 10));
        let (Some(own), Some(kind), Some(elements)) = fields else {
            return Err(damaged(format!("page {number} is cut")));
        };
        if own != number {
            return Err(damaged(format!("page {number} calls itself {own}")));
        }
        if kind != BRANCH && kind != LEAF {
            let what = format!("page {number} is neither branch nor leaf, but of kind {kind}");
            return Err(damaged(what));
        }
        if kind == BRANCH && elements == 0 {
            return Err(damaged(format!(
                "page {number} is a branch without children"
            )));
        }
        Ok(Self {
            number,
            is_leaf: kind == LEAF,
            elements: usize::from(elements),
            bytes,
        })
    }
}

/// The bucket in a value.
fn bucket(value: &[u8]) -> Result<Bucket, BoltError> {
    match (u64_at(value, 0), value.get(16..)) {
        (Some(0), Some(inline)) => Ok(Bucket::Inline(inline.to_vec())),
        (Some(page), Some(_)) => Ok(Bucket::At(page)),
        _ => Err(damaged("a bucket is cut")),
    }
}

/// The meta page at `at`, if there is a sound one.
fn read_meta(source: &impl Source, len: u64, at: u64) -> Option<Meta> {
    let mut bytes = [0; HEAD_BYTES + META_BYTES];
    if at + bytes.len() as u64 > len {
        return None;
    }
    source.read_at(at, &mut bytes).ok()?;
    let meta = bytes.get(HEAD_BYTES..)?;
    let is_meta = u16_at(&bytes, 8)? & META != 0
        && u32_at(meta, 0)? == MAGIC
        && u32_at(meta, 4)? == VERSION
        && u64_at(meta, 56)? == fnv64a(meta.get(..56)?);
    let page_bytes = u64::from(u32_at(meta, 8)?);
    let is_size = page_bytes.is_power_of_two() && PAGE_SIZES.contains(&page_bytes);
    (is_meta && is_size).then_some(Meta {
        page_bytes,
        root: u64_at(meta, 16)?,
        pages: u64_at(meta, 40)?,
        transaction: u64_at(meta, 48)?,
    })
}
