//! How many pages a tree takes, from the lengths of its keys and values alone. The writer packs by
//! the same rules, so that the head of the file can be written before anything else is known.

use super::{ELEMENT_BYTES, HEAD_BYTES, PAGE_BYTES};

/// How far one leaf is filled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fill {
    bytes: usize,
    elements: usize,
}

impl Fill {
    /// Adds an element if the page has room; the first always has, in as many pages as it takes.
    pub fn add(&mut self, key_len: usize, value_len: usize) -> bool {
        let more = ELEMENT_BYTES + key_len + value_len;
        if self.elements > 0 && HEAD_BYTES + self.bytes + more > PAGE_BYTES {
            return false;
        }
        self.bytes += more;
        self.elements += 1;
        true
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.elements == 0
    }

    /// Pages of [`PAGE_BYTES`] that it takes.
    pub fn pages(&self) -> u64 {
        (HEAD_BYTES + self.bytes).div_ceil(PAGE_BYTES) as u64
    }
}

/// Children of a branch page whose keys have at most `key_max` bytes.
pub(super) fn fan_out(key_max: usize) -> usize {
    let fan_out = (PAGE_BYTES - HEAD_BYTES) / (ELEMENT_BYTES + key_max);
    assert!(fan_out >= 4, "keys of a tree are short");
    fan_out
}

/// Counts the pages of a tree.
#[derive(Clone, Copy, Debug)]
pub struct TreeSize {
    fan_out: u64,
    leaf: Fill,
    leaves: u64,
    pages: u64,
}

impl TreeSize {
    /// Of a tree whose keys have at most `key_max` bytes.
    pub fn new(key_max: usize) -> Self {
        Self {
            fan_out: fan_out(key_max) as u64,
            leaf: Fill::default(),
            leaves: 0,
            pages: 0,
        }
    }

    /// Counts one pair, in the order of keys.
    pub fn add(&mut self, key_len: usize, value_len: usize) {
        if !self.leaf.add(key_len, value_len) {
            self.close();
            self.leaf.add(key_len, value_len);
        }
    }

    /// Pages of the whole tree, at least one.
    pub fn pages(mut self) -> u64 {
        if !self.leaf.is_empty() || self.leaves == 0 {
            self.close();
        }
        let mut children = self.leaves;
        while children > 1 {
            // As the writer: a page leaves when two more than it holds are there, so that none is
            // left with one child.
            let full = (children - 2) / self.fan_out;
            let rest = children - full * self.fan_out;
            children = full + if rest > self.fan_out { 2 } else { 1 };
            self.pages += children;
        }
        self.pages
    }

    fn close(&mut self) {
        self.pages += self.leaf.pages();
        self.leaves += 1;
        self.leaf = Fill::default();
    }
}
