//! The nodes of the tree: leaves hold entry numbers in key order, inner nodes hold children with
//! how many keys, and how many living ones, each has below it. Used by `tree` and `build`.

use std::ops::ControlFlow;

use super::super::Key;
use super::heads::{CAP, Heads};
use super::slab::Slab;

/// A node smaller than this looks for a neighbour to be joined with.
const SMALL: usize = CAP / 4;

/// Two neighbours are joined where the result has at most this many.
const JOINED: usize = CAP * 3 / 4;

/// Entries that a walk brings into the cache together.
const WARMED: usize = 16;

/// Keys below a node, and those whose newest version is no delete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::mvcc) struct Counts {
    /// All keys.
    pub keys: u64,
    /// The living ones.
    pub live: u64,
}

impl Counts {
    /// Both parts added.
    pub fn plus(self, other: Self) -> Self {
        Self {
            keys: self.keys + other.keys,
            live: self.live + other.live,
        }
    }

    /// Both parts subtracted.
    pub fn minus(self, other: Self) -> Self {
        Self {
            keys: self.keys - other.keys,
            live: self.live - other.live,
        }
    }
}

/// A subtree.
#[derive(Debug)]
pub(super) enum Node {
    /// Entries.
    Leaf(Box<Leaf>),
    /// Children.
    Inner(Box<Inner>),
}

/// Up to [`CAP`] entries in key order.
#[derive(Debug)]
pub(super) struct Leaf {
    pub heads: Heads,
    pub ids: [u32; CAP],
    /// Bit i: entry i is alive.
    pub live: u64,
}

/// Up to [`CAP`] children.
#[derive(Debug)]
pub(super) struct Inner {
    pub heads: Heads,
    /// Separator i: no key of child i reaches it, no key of child i+1 lies below it.
    pub seps: Vec<Key>,
    pub kids: Vec<Node>,
    /// Keys below each child.
    pub keys: Vec<u32>,
    /// Living keys below each child.
    pub live: Vec<u32>,
}

/// The right half of a node that was split, and the separator below it.
pub(super) type Split = Option<(Key, Node)>;

impl Leaf {
    /// Without entries.
    pub fn new() -> Self {
        Self {
            heads: Heads::new(),
            ids: [0; CAP],
            live: 0,
        }
    }

    /// Of sorted entries, at most [`CAP`].
    pub fn of(slab: &Slab, ids: &[u32]) -> Self {
        assert!(ids.len() <= CAP);
        let mut leaf = Self::new();
        leaf.ids[..ids.len()].copy_from_slice(ids);
        for (place, &id) in ids.iter().enumerate() {
            leaf.live |= u64::from(slab[id].is_alive()) << place;
        }
        leaf.heads.rebuild(ids.len(), |i| slab.key(ids[i]));
        leaf
    }

    /// The entries.
    pub fn ids(&self) -> &[u32] {
        &self.ids[..self.heads.len()]
    }

    /// Where `key` is or belongs.
    pub fn search(&self, slab: &Slab, key: &[u8]) -> Result<usize, usize> {
        self.heads.search(key, |i| slab.key(self.ids[i]))
    }

    fn insert(&mut self, slab: &Slab, id: u32) -> Split {
        let (Ok(place) | Err(place)) = self.search(slab, slab.key(id));
        if self.heads.len() < CAP {
            self.put(slab, place, id);
            return None;
        }
        let mut right = if place == CAP {
            // Keys that rise leave full nodes behind.
            Self::new()
        } else {
            let right = Self::of(slab, &self.ids[CAP / 2..]);
            *self = Self::of(slab, &self.ids[..CAP / 2]);
            right
        };
        match place.checked_sub(CAP / 2) {
            Some(in_right) => right.put(slab, in_right.min(right.heads.len()), id),
            None => self.put(slab, place, id),
        }
        let sep = slab[right.ids[0]].key().clone();
        Some((sep, Node::Leaf(Box::new(right))))
    }

    fn put(&mut self, slab: &Slab, place: usize, id: u32) {
        let len = self.heads.len();
        self.ids.copy_within(place..len, place + 1);
        self.ids[place] = id;
        let low = self.live & ((1 << place) - 1);
        let high = self.live & !((1 << place) - 1);
        self.live = low | (high << 1) | (u64::from(slab[id].is_alive()) << place);
        let ids = &self.ids;
        self.heads.insert(place, |i| slab.key(ids[i]));
    }

    fn remove(&mut self, place: usize) {
        let len = self.heads.len();
        assert!(place < len);
        self.ids.copy_within(place + 1..len, place);
        let low = self.live & ((1 << place) - 1);
        let high = (self.live >> place) >> 1;
        self.live = low | (high << place);
        self.heads.remove(place);
    }
}

impl Inner {
    /// Of children and the separators between them, at most [`CAP`] children.
    pub fn of(seps: Vec<Key>, kids: Vec<Node>) -> Self {
        assert_eq!(seps.len() + 1, kids.len());
        assert!(kids.len() <= CAP);
        let mut inner = Self {
            heads: Heads::new(),
            seps,
            keys: kids.iter().map(|kid| kid.counts().keys as u32).collect(),
            live: kids.iter().map(|kid| kid.counts().live as u32).collect(),
            kids,
        };
        inner.heads.rebuild(inner.seps.len(), |i| &inner.seps[i]);
        inner
    }

    /// The child where `key` is or belongs.
    pub fn child(&self, key: &[u8]) -> usize {
        match self.heads.search(key, |i| &self.seps[i]) {
            Ok(place) => place + 1,
            Err(place) => place,
        }
    }

    /// The sum over the children before `place`.
    pub fn before(&self, place: usize) -> Counts {
        let sum = |counts: &[u32]| counts.iter().map(|&n| u64::from(n)).sum();
        Counts {
            keys: sum(&self.keys[..place]),
            live: sum(&self.live[..place]),
        }
    }

    fn recount(&mut self, place: usize) {
        let counts = self.kids[place].counts();
        self.keys[place] = counts.keys as u32;
        self.live[place] = counts.live as u32;
    }

    fn adopt(&mut self, place: usize, sep: Key, kid: Node) -> Split {
        self.seps.insert(place, sep);
        self.kids.insert(place + 1, kid);
        self.keys.insert(place + 1, 0);
        self.live.insert(place + 1, 0);
        self.recount(place);
        self.recount(place + 1);
        if self.kids.len() <= CAP {
            let seps = &self.seps;
            self.heads.insert(place, |i| &seps[i]);
            return None;
        }
        // As in leaves, children that are added at the end leave full nodes behind.
        let at = if place + 2 == self.kids.len() {
            CAP
        } else {
            CAP / 2
        };
        let right_seps = self.seps.split_off(at);
        let sep = self.seps.pop().expect("a split node has separators");
        let right = Self::of(right_seps, self.kids.split_off(at));
        *self = Self::of(
            std::mem::take(&mut self.seps),
            std::mem::take(&mut self.kids),
        );
        Some((sep, Node::Inner(Box::new(right))))
    }

    /// Joins child `place` with a neighbour where it has become small, or drops it where it is
    /// empty.
    fn tend(&mut self, slab: &Slab, place: usize) {
        let len = self.kids[place].len();
        if len >= SMALL || self.kids.len() == 1 {
            return;
        }
        if self.keys[place] == 0 {
            let sep = place.saturating_sub(1);
            self.seps.remove(sep);
            self.heads.remove(sep);
            self.kids.remove(place);
            self.keys.remove(place);
            self.live.remove(place);
            return;
        }
        let fits = |other: usize| {
            self.kids
                .get(other)
                .is_some_and(|kid| len + kid.len() <= JOINED)
        };
        let left = match (place.checked_sub(1), place + 1) {
            (Some(before), _) if fits(before) => before,
            (_, after) if fits(after) => place,
            _ => return,
        };
        let sep = self.seps.remove(left);
        let right = self.kids.remove(left + 1);
        self.keys.remove(left + 1);
        self.live.remove(left + 1);
        self.kids[left].join(slab, sep, right);
        self.recount(left);
        self.heads.remove(left);
    }
}

impl Node {
    /// Entries or children directly in this node.
    pub fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.heads.len(),
            Self::Inner(inner) => inner.kids.len(),
        }
    }

    /// Keys below.
    pub fn counts(&self) -> Counts {
        match self {
            Self::Leaf(leaf) => Counts {
                keys: leaf.heads.len() as u64,
                live: u64::from(leaf.live.count_ones()),
            },
            Self::Inner(inner) => inner.before(inner.kids.len()),
        }
    }

    /// Adds an entry whose key is not there.
    pub fn insert(&mut self, slab: &Slab, id: u32) -> Split {
        match self {
            Self::Leaf(leaf) => leaf.insert(slab, id),
            Self::Inner(inner) => {
                let place = inner.child(slab.key(id));
                match inner.kids[place].insert(slab, id) {
                    Some((sep, right)) => inner.adopt(place, sep, right),
                    None => {
                        inner.keys[place] += 1;
                        inner.live[place] += u32::from(slab[id].is_alive());
                        None
                    }
                }
            }
        }
    }

    /// Takes an entry out, whose key is still in the slab.
    pub fn remove(&mut self, slab: &Slab, id: u32) {
        match self {
            Self::Leaf(leaf) => {
                let place = leaf.search(slab, slab.key(id));
                leaf.remove(place.expect("an entry of the slab is in the tree"));
            }
            Self::Inner(inner) => {
                let place = inner.child(slab.key(id));
                inner.kids[place].remove(slab, id);
                inner.recount(place);
                inner.tend(slab, place);
            }
        }
    }

    /// Notes that an entry came to life or died; returns whether that was news.
    pub fn set_live(&mut self, slab: &Slab, id: u32) -> bool {
        match self {
            Self::Leaf(leaf) => {
                let place = leaf.search(slab, slab.key(id));
                let bit = 1 << place.expect("an entry of the slab is in the tree");
                let before = leaf.live;
                leaf.live = if slab[id].is_alive() {
                    before | bit
                } else {
                    before & !bit
                };
                before != leaf.live
            }
            Self::Inner(inner) => {
                let place = inner.child(slab.key(id));
                let news = inner.kids[place].set_live(slab, id);
                if news && slab[id].is_alive() {
                    inner.live[place] += 1;
                } else if news {
                    inner.live[place] -= 1;
                }
                news
            }
        }
    }

    /// Calls `f` with each entry in key order, from the first key that `from` admits: a key, and
    /// whether it is itself inside.
    pub fn walk<F>(&self, slab: &Slab, from: Option<(&[u8], bool)>, f: &mut F) -> ControlFlow<()>
    where
        F: FnMut(u32) -> ControlFlow<()>,
    {
        match self {
            Self::Leaf(leaf) => {
                let first = match from.map(|(key, inside)| (leaf.search(slab, key), inside)) {
                    None => 0,
                    Some((Ok(place), inside)) => place + usize::from(!inside),
                    Some((Err(place), _)) => place,
                };
                leaf.ids()[first..].chunks(WARMED).try_for_each(|ids| {
                    slab.warm(ids);
                    ids.iter().try_for_each(|&id| f(id))
                })
            }
            Self::Inner(inner) => {
                let first = from.map_or(0, |(key, _)| inner.child(key));
                inner.kids[first].walk(slab, from, f)?;
                inner.kids[first + 1..]
                    .iter()
                    .try_for_each(|kid| kid.walk(slab, None, f))
            }
        }
    }

    fn join(&mut self, slab: &Slab, sep: Key, right: Self) {
        match (self, right) {
            (Self::Leaf(left), Self::Leaf(right)) => {
                let ids = [left.ids(), right.ids()].concat();
                **left = Leaf::of(slab, &ids);
            }
            (Self::Inner(left), Self::Inner(right)) => {
                let mut seps = std::mem::take(&mut left.seps);
                seps.push(sep);
                seps.extend(right.seps);
                let mut kids = std::mem::take(&mut left.kids);
                kids.extend(right.kids);
                **left = Inner::of(seps, kids);
            }
            _ => unreachable!("neighbours are of one level"),
        }
    }
}
