//! Writes a whole bbolt file from its first byte to its last: trees of pairs that come in the order
//! of their keys, then the bucket of buckets. Memory holds one leaf and a page of each level. The
//! file says at its start where its end is, so the sizes of all trees are counted first
//! ([`TreeSize`]).

use super::layout::{Fill, fan_out};
use super::{
    BRANCH, ELEMENT_BYTES, FIRST_TREE_PAGE, FREE_LIST, HEAD_BYTES, IS_BUCKET, LEAF, MAGIC, META,
    META_BYTES, PAGE_BYTES, TreeSize, VERSION, fnv64a,
};

/// What a file begins with is written twice, as of two transactions; the later counts.
const TRANSACTIONS: [u64; 2] = [2, 1];

/// Writes one file. What is to go out next gathers until it is taken.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    next: u64,
    pages: u64,
    buckets: Vec<(&'static [u8], u64)>,
    tree: Option<Tree>,
}

/// The tree that is being written.
#[derive(Debug)]
struct Tree {
    name: &'static [u8],
    fan_out: usize,
    fill: Fill,
    leaf: Vec<Element>,
    data: Vec<u8>,
    /// Children of the page that each level writes next: first key and page.
    levels: Vec<Vec<(Vec<u8>, u64)>>,
}

#[derive(Clone, Copy, Debug)]
struct Element {
    flags: u32,
    key_len: usize,
    value_len: usize,
}

/// Pages of a file with these trees, in the order of their names.
pub fn file_pages(trees: &[(&'static [u8], u64)]) -> u64 {
    let mut root = TreeSize::new(32);
    trees.iter().for_each(|(name, _)| root.add(name.len(), 16));
    FIRST_TREE_PAGE + trees.iter().map(|(_, pages)| pages).sum::<u64>() + root.pages()
}

impl Writer {
    /// Begins the file that will have these trees with so many pages each ([`TreeSize`]), sorted by
    /// name; they may be written in any order.
    pub fn new(trees: &[(&'static [u8], u64)]) -> Self {
        assert!(trees.is_sorted_by(|a, b| a.0 < b.0), "buckets are sorted");
        let mut writer = Self {
            out: Vec::new(),
            next: FIRST_TREE_PAGE,
            pages: file_pages(trees),
            buckets: Vec::new(),
            tree: None,
        };
        for (page, transaction) in (0..).zip(TRANSACTIONS) {
            writer.meta(page, transaction);
        }
        writer.head(2, FREE_LIST, 0, 0);
        writer.pad();
        writer
    }

    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> u64 {
        self.pages * PAGE_BYTES as u64
    }

    /// Takes up to `most` bytes of what was written, a multiple of [`PAGE_BYTES`]; `None` where
    /// that is less than `least`.
    pub fn take(&mut self, least: usize, most: usize) -> Option<Vec<u8>> {
        assert!(most.is_multiple_of(PAGE_BYTES), "whole pages are taken");
        if self.out.is_empty() || self.out.len() < least {
            return None;
        }
        let rest = self.out.split_off(self.out.len().min(most));
        Some(std::mem::replace(&mut self.out, rest))
    }

    /// Begins a tree whose keys have at most `key_max` bytes.
    pub fn begin(&mut self, name: &'static [u8], key_max: usize) {
        assert!(self.tree.is_none(), "one tree at a time");
        self.tree = Some(Tree {
            name,
            fan_out: fan_out(key_max),
            fill: Fill::default(),
            leaf: Vec::new(),
            data: Vec::new(),
            levels: Vec::new(),
        });
    }

    /// Adds a pair to the tree, in the order of keys.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.add_element(0, key, value);
    }

    fn add_element(&mut self, flags: u32, key: &[u8], value: &[u8]) {
        let mut tree = self.tree.take().expect("a tree was begun");
        if !tree.fill.add(key.len(), value.len()) {
            self.leaf(&mut tree);
            tree.fill.add(key.len(), value.len());
        }
        tree.leaf.push(Element {
            flags,
            key_len: key.len(),
            value_len: value.len(),
        });
        tree.data.extend_from_slice(key);
        tree.data.extend_from_slice(value);
        self.tree = Some(tree);
    }

    /// Ends the tree.
    pub fn end(&mut self) {
        let (name, root) = self.end_tree();
        self.buckets.push((name, root));
    }

    /// Ends the file.
    ///
    /// # Errors
    /// The trees had other sizes than was said: the file is not to be used.
    pub fn finish(&mut self) -> Result<(), &'static str> {
        let mut buckets = std::mem::take(&mut self.buckets);
        buckets.sort_unstable();
        self.begin(b"", 32);
        for (name, root) in buckets {
            let mut value = [0; 16];
            value[..8].copy_from_slice(&root.to_le_bytes());
            self.add_element(IS_BUCKET, name, &value);
        }
        let (_, root) = self.end_tree();
        if root + 1 != self.pages || self.next != self.pages {
            return Err("the pages of a snapshot are not those that were counted");
        }
        Ok(())
    }

    fn end_tree(&mut self) -> (&'static [u8], u64) {
        let mut tree = self.tree.take().expect("a tree was begun");
        if !tree.leaf.is_empty() || tree.levels.is_empty() {
            self.leaf(&mut tree);
        }
        let mut level = 0;
        loop {
            let children = tree.levels[level].len();
            if level + 1 == tree.levels.len() && children == 1 {
                return (tree.name, tree.levels[level][0].1);
            }
            if children > tree.fan_out {
                self.branch(&mut tree, level, children - 2);
            }
            let rest = tree.levels[level].len();
            self.branch(&mut tree, level, rest);
            level += 1;
        }
    }

    /// Writes the leaf that is filled.
    fn leaf(&mut self, tree: &mut Tree) {
        let page = self.next;
        let pages = tree.fill.pages();
        self.head(page, LEAF, tree.leaf.len(), pages - 1);
        let mut at = 0;
        for (number, element) in tree.leaf.iter().enumerate() {
            let place = (tree.leaf.len() - number) * ELEMENT_BYTES + at;
            self.u32s(&[
                element.flags,
                place as u32,
                element.key_len as u32,
                element.value_len as u32,
            ]);
            at += element.key_len + element.value_len;
        }
        self.out.extend_from_slice(&tree.data);
        self.pad();
        self.next += pages;
        let first = tree.leaf.first().map_or(0, |first| first.key_len);
        let key = tree.data[..first].to_vec();
        tree.leaf.clear();
        tree.data.clear();
        tree.fill = Fill::default();
        self.child(tree, 0, key, page);
    }

    /// Takes a child into a level, and writes the level's page once two more are there than it
    /// holds: one child alone in a page is more than bbolt bears when it merges pages.
    fn child(&mut self, tree: &mut Tree, level: usize, key: Vec<u8>, page: u64) {
        if tree.levels.len() == level {
            tree.levels.push(Vec::new());
        }
        tree.levels[level].push((key, page));
        if tree.levels[level].len() == tree.fan_out + 2 {
            let full = tree.fan_out;
            self.branch(tree, level, full);
        }
    }

    /// Writes a branch page of the first `count` children of a level.
    fn branch(&mut self, tree: &mut Tree, level: usize, count: usize) {
        let children: Vec<_> = tree.levels[level].drain(..count).collect();
        let page = self.next;
        self.head(page, BRANCH, count, 0);
        let mut at = 0;
        for (number, (key, child)) in children.iter().enumerate() {
            let place = (count - number) * ELEMENT_BYTES + at;
            self.u32s(&[place as u32, key.len() as u32]);
            self.out.extend_from_slice(&child.to_le_bytes());
            at += key.len();
        }
        for (key, _) in &children {
            self.out.extend_from_slice(key);
        }
        self.pad();
        self.next += 1;
        let first = children.into_iter().next().map(|(key, _)| key);
        self.child(tree, level + 1, first.unwrap_or_default(), page);
    }

    fn meta(&mut self, page: u64, transaction: u64) {
        self.head(page, META, 0, 0);
        let start = self.out.len();
        self.u32s(&[MAGIC, VERSION, PAGE_BYTES as u32, 0]);
        for field in [self.pages - 1, 0, 2, self.pages, transaction] {
            self.out.extend_from_slice(&field.to_le_bytes());
        }
        let checksum = fnv64a(&self.out[start..]);
        self.out.extend_from_slice(&checksum.to_le_bytes());
        debug_assert_eq!(self.out.len() - start, META_BYTES);
        self.pad();
    }

    fn head(&mut self, page: u64, kind: u16, elements: usize, overflow: u64) {
        let elements = u16::try_from(elements).expect("a page holds a few hundred elements");
        let overflow = u32::try_from(overflow).expect("a value is far below 16 TiB");
        self.out.reserve(PAGE_BYTES);
        self.out.extend_from_slice(&page.to_le_bytes());
        self.out.extend_from_slice(&kind.to_le_bytes());
        self.out.extend_from_slice(&elements.to_le_bytes());
        self.out.extend_from_slice(&overflow.to_le_bytes());
    }

    fn u32s(&mut self, fields: &[u32]) {
        for field in fields {
            self.out.extend_from_slice(&field.to_le_bytes());
        }
    }

    /// Zeros up to the next page; what is taken is whole pages.
    fn pad(&mut self) {
        let whole = self.out.len().next_multiple_of(PAGE_BYTES);
        self.out.resize(whole, 0);
    }
}

const _: () = assert!(HEAD_BYTES + META_BYTES < PAGE_BYTES);
