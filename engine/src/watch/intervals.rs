//! Spans of keys, and which of them hold a given key. Used by `ranges`.
//!
//! A treap ordered by (start, end), where each node also knows the span of its subtree that
//! ends last. Priorities come from the values, so the same spans always make the same tree.
//! Finding the k spans around a key costs O(log n) for each of them, never O(n) for spans that
//! lie elsewhere.

use std::cmp::Ordering;

use bytes::Bytes;
use slab::Slab;

const NONE: u32 = u32::MAX;

/// A set of spans, each with a value. No two spans are the same.
#[derive(Debug)]
pub(super) struct Intervals {
    nodes: Slab<Node>,
    root: u32,
}

#[derive(Debug)]
struct Node {
    start: Bytes,
    /// The first key above the span; `None` where it has no end.
    end: Option<Bytes>,
    value: u32,
    priority: u32,
    left: u32,
    right: u32,
    /// The node of this subtree whose span ends last.
    last: u32,
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            nodes: Slab::new(),
            root: NONE,
        }
    }
}

impl Intervals {
    /// The value of the span, if it is here.
    pub(super) fn get(&self, start: &[u8], end: Option<&[u8]>) -> Option<u32> {
        let mut at = self.root;
        while at != NONE {
            let node = self.node(at);
            at = match order(start, end, node) {
                Ordering::Less => node.left,
                Ordering::Greater => node.right,
                Ordering::Equal => return Some(node.value),
            };
        }
        None
    }

    /// Adds a span that is not here yet. Values are distinct.
    pub(super) fn insert(&mut self, start: Bytes, end: Option<Bytes>, value: u32) {
        debug_assert!(self.get(&start, end.as_deref()).is_none());
        let (left, right) = self.split(self.root, &start, end.as_deref());
        let priority = scramble(value);
        let node = Node {
            start,
            end,
            value,
            priority,
            left: NONE,
            right: NONE,
            last: NONE,
        };
        let at = self.nodes.insert(node) as u32;
        self.refresh(at);
        let left = self.join(left, at);
        self.root = self.join(left, right);
    }

    /// Removes a span, if it is here.
    pub(super) fn remove(&mut self, start: &[u8], end: Option<&[u8]>) {
        self.root = self.remove_below(self.root, start, end);
    }

    /// Calls `found` with the value of each span that holds `key`, ordered by (start, end).
    pub(super) fn holding(&self, key: &[u8], mut found: impl FnMut(u32)) {
        self.holding_below(self.root, key, &mut found);
    }

    fn holding_below(&self, mut at: u32, key: &[u8], found: &mut impl FnMut(u32)) {
        while at != NONE {
            let node = self.node(at);
            if !ends_above(self.node(node.last), key) {
                return;
            }
            self.holding_below(node.left, key, found);
            if node.start.as_ref() > key {
                return;
            }
            if ends_above(node, key) {
                found(node.value);
            }
            at = node.right;
        }
    }

    fn node(&self, at: u32) -> &Node {
        &self.nodes[at as usize]
    }

    fn node_mut(&mut self, at: u32) -> &mut Node {
        &mut self.nodes[at as usize]
    }

    /// Recomputes `last` after a change below.
    fn refresh(&mut self, at: u32) {
        let mut last = at;
        for child in [self.node(at).left, self.node(at).right] {
            if child == NONE {
                continue;
            }
            let theirs = self.node(child).last;
            if ends_later(self.node(theirs), self.node(last)) {
                last = theirs;
            }
        }
        self.node_mut(at).last = last;
    }

    /// Splits a subtree in what lies below (start, end) and the rest.
    fn split(&mut self, at: u32, start: &[u8], end: Option<&[u8]>) -> (u32, u32) {
        if at == NONE {
            return (NONE, NONE);
        }
        let parts = if order(start, end, self.node(at)) == Ordering::Greater {
            let (middle, right) = self.split(self.node(at).right, start, end);
            self.node_mut(at).right = middle;
            (at, right)
        } else {
            let (left, middle) = self.split(self.node(at).left, start, end);
            self.node_mut(at).left = middle;
            (left, at)
        };
        self.refresh(at);
        parts
    }

    /// Joins two subtrees; everything in `left` lies below everything in `right`.
    fn join(&mut self, left: u32, right: u32) -> u32 {
        if left == NONE {
            return right;
        }
        if right == NONE {
            return left;
        }
        let top = if self.node(left).priority >= self.node(right).priority {
            let below = self.join(self.node(left).right, right);
            self.node_mut(left).right = below;
            left
        } else {
            let below = self.join(left, self.node(right).left);
            self.node_mut(right).left = below;
            right
        };
        self.refresh(top);
        top
    }

    fn remove_below(&mut self, at: u32, start: &[u8], end: Option<&[u8]>) -> u32 {
        if at == NONE {
            return NONE;
        }
        match order(start, end, self.node(at)) {
            Ordering::Equal => {
                let node = self.nodes.remove(at as usize);
                return self.join(node.left, node.right);
            }
            Ordering::Less => {
                let left = self.remove_below(self.node(at).left, start, end);
                self.node_mut(at).left = left;
            }
            Ordering::Greater => {
                let right = self.remove_below(self.node(at).right, start, end);
                self.node_mut(at).right = right;
            }
        }
        self.refresh(at);
        at
    }
}

/// How (start, end) compares with the node's span; a missing end is above all.
fn order(start: &[u8], end: Option<&[u8]>, node: &Node) -> Ordering {
    let ends = || match (end, node.end.as_deref()) {
        (Some(a), Some(b)) => a.cmp(b),
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
    };
    start.cmp(node.start.as_ref()).then_with(ends)
}

fn ends_above(node: &Node, key: &[u8]) -> bool {
    node.end.as_deref().is_none_or(|end| key < end)
}

fn ends_later(a: &Node, b: &Node) -> bool {
    match (&a.end, &b.end) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(a), Some(b)) => a > b,
    }
}

/// Spreads the bits of small numbers (the finaliser of MurmurHash3).
fn scramble(value: u32) -> u32 {
    let mut bits = value ^ 0x9e37_79b9;
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x85eb_ca6b);
    bits = (bits ^ (bits >> 13)).wrapping_mul(0xc2b2_ae35);
    bits ^ (bits >> 16)
}
