//! The ordered set of entries: a B+tree of entry numbers with counts of keys and of living keys in
//! every subtree, so that ranks and counts cost one descent. Keys are read through the slab.
//! Used by the index alone.

use std::ops::ControlFlow;

use super::heads::CAP;
use super::node::{Counts, Inner, Leaf, Node};
use super::slab::Slab;

/// Entries or children in a node that is built from sorted input: some room is left.
const BUILT: usize = CAP * 7 / 8;

/// The tree.
#[derive(Debug)]
pub(super) struct Tree {
    root: Node,
}

impl Tree {
    /// Without entries.
    pub fn new() -> Self {
        Self {
            root: Node::Leaf(Box::new(Leaf::new())),
        }
    }

    /// Of entries in key order, in linear time.
    pub fn build(slab: &Slab, ids: &[u32]) -> Self {
        // Every node of a level with the least key below it.
        let mut level = Vec::new();
        for group in even_groups(ids) {
            let least = slab[group[0]].key().clone();
            level.push((least, Node::Leaf(Box::new(Leaf::of(slab, group)))));
        }
        while level.len() > 1 {
            let groups = level.len().div_ceil(BUILT);
            let mut rest = level.into_iter();
            let mut above = Vec::with_capacity(groups);
            for group in 0..groups {
                let take = rest.len().div_ceil(groups - group);
                let (mut seps, kids): (Vec<_>, Vec<_>) = rest.by_ref().take(take).unzip();
                let least = seps.remove(0);
                above.push((least, Node::Inner(Box::new(Inner::of(seps, kids)))));
            }
            level = above;
        }
        level
            .pop()
            .map_or_else(Self::new, |(_, root)| Self { root })
    }

    /// The entry of `key`.
    pub fn find(&self, slab: &Slab, key: &[u8]) -> Option<u32> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Inner(inner) => node = &inner.kids[inner.child(key)],
                Node::Leaf(leaf) => {
                    let place = leaf.heads.find(key, |i| slab.key(leaf.ids[i]))?;
                    return Some(leaf.ids[place]);
                }
            }
        }
    }

    /// Adds an entry whose key is not there.
    pub fn insert(&mut self, slab: &Slab, id: u32) {
        if let Some((sep, right)) = self.root.insert(slab, id) {
            let left = std::mem::replace(&mut self.root, Node::Leaf(Box::new(Leaf::new())));
            self.root = Node::Inner(Box::new(Inner::of(vec![sep], vec![left, right])));
        }
    }

    /// Takes an entry out, whose key is still in the slab.
    pub fn remove(&mut self, slab: &Slab, id: u32) {
        self.root.remove(slab, id);
        while let Node::Inner(inner) = &mut self.root
            && inner.kids.len() == 1
        {
            self.root = inner.kids.remove(0);
        }
    }

    /// Notes that an entry came to life or died.
    pub fn set_live(&mut self, slab: &Slab, id: u32) {
        self.root.set_live(slab, id);
    }

    /// All keys.
    pub fn counts(&self) -> Counts {
        self.root.counts()
    }

    /// The keys below `key`.
    pub fn rank(&self, slab: &Slab, key: &[u8]) -> Counts {
        let mut below = Counts::default();
        let mut node = &self.root;
        loop {
            match node {
                Node::Inner(inner) => {
                    let place = inner.child(key);
                    below = below.plus(inner.before(place));
                    node = &inner.kids[place];
                }
                Node::Leaf(leaf) => {
                    let (Ok(place) | Err(place)) = leaf.search(slab, key);
                    let mask = if place == CAP {
                        u64::MAX
                    } else {
                        (1 << place) - 1
                    };
                    let live = u64::from((leaf.live & mask).count_ones());
                    return below.plus(Counts {
                        keys: place as u64,
                        live,
                    });
                }
            }
        }
    }

    /// Calls `f` with each entry in key order, from the first key that `from` admits: a key, and
    /// whether it is itself inside.
    pub fn walk<F>(&self, slab: &Slab, from: Option<(&[u8], bool)>, f: &mut F) -> ControlFlow<()>
    where
        F: FnMut(u32) -> ControlFlow<()>,
    {
        self.root.walk(slab, from, f)
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        node_bytes(&self.root)
    }

    /// Says what is wrong with the tree.
    pub fn check(&self, slab: &Slab) -> Result<(), String> {
        check_node(slab, &self.root, true).map(|_| ())
    }
}

/// Nearly equal groups, so that no node of a built tree is small.
fn even_groups(ids: &[u32]) -> impl Iterator<Item = &[u32]> {
    let groups = ids.len().div_ceil(BUILT);
    let mut rest = ids;
    (0..groups).map(move |group| {
        let (taken, left) = rest.split_at(rest.len().div_ceil(groups - group));
        rest = left;
        taken
    })
}

fn node_bytes(node: &Node) -> usize {
    match node {
        Node::Leaf(_) => size_of::<Leaf>(),
        Node::Inner(inner) => {
            let own = size_of::<Inner>() + CAP * (16 + size_of::<Node>() + 4 + 4);
            // Children are of one kind: leaves are counted without being touched.
            match inner.kids.first() {
                Some(Node::Leaf(_)) => own + inner.kids.len() * size_of::<Leaf>(),
                _ => own + inner.kids.iter().map(node_bytes).sum::<usize>(),
            }
        }
    }
}

/// Checks a subtree; returns its depth, and its first and last entry.
fn check_node(slab: &Slab, node: &Node, root: bool) -> Result<(usize, u32, u32), String> {
    match node {
        Node::Leaf(leaf) => {
            leaf.heads.check(|i| slab.key(leaf.ids[i]))?;
            for (place, &id) in leaf.ids().iter().enumerate() {
                if (leaf.live >> place) & 1 != u64::from(slab[id].is_alive()) {
                    return Err(format!("the living bit of entry {id} is wrong"));
                }
            }
            if leaf.heads.len() < CAP && leaf.live >> leaf.heads.len() != 0 {
                return Err("living bits beyond the entries".into());
            }
            match (leaf.ids().first(), leaf.ids().last()) {
                (Some(&first), Some(&last)) => Ok((0, first, last)),
                _ if root => Ok((0, 0, 0)),
                _ => Err("an empty leaf".into()),
            }
        }
        Node::Inner(inner) => check_inner(slab, inner, root),
    }
}

fn check_inner(slab: &Slab, inner: &Inner, root: bool) -> Result<(usize, u32, u32), String> {
    inner.heads.check(|i| &inner.seps[i])?;
    let count = inner.kids.len();
    if count > CAP || inner.seps.len() + 1 != count || inner.heads.len() + 1 != count {
        return Err(format!("{count} children, {} separators", inner.seps.len()));
    }
    if root && count < 2 {
        return Err("a root with one child".into());
    }
    let mut ends = Vec::new();
    for (place, kid) in inner.kids.iter().enumerate() {
        let (depth, first, last) = check_node(slab, kid, false)?;
        let counts = kid.counts();
        if counts.keys != u64::from(inner.keys[place]) {
            return Err(format!("child {place} counts {} keys", inner.keys[place]));
        }
        if counts.live != u64::from(inner.live[place]) {
            return Err(format!(
                "child {place} counts {} living keys",
                inner.live[place]
            ));
        }
        if place > 0 && slab.key(first) < &*inner.seps[place - 1] {
            return Err(format!("child {place} reaches below its separator"));
        }
        if place + 1 < count && slab.key(last) >= &*inner.seps[place] {
            return Err(format!("child {place} reaches above its separator"));
        }
        ends.push((depth, first, last));
    }
    if ends.iter().any(|end| end.0 != ends[0].0) {
        return Err("leaves at different depths".into());
    }
    Ok((ends[0].0 + 1, ends[0].1, ends[count - 1].2))
}
