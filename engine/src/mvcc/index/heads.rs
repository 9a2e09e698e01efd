//! Searching sorted keys with few cache misses: a node keeps the eight bytes that follow what all
//! its keys begin with, so that nearly every comparison stays inside the node. Used by both kinds
//! of tree node.

/// Most keys in one node.
pub(super) const CAP: usize = 64;

/// The heads of a node's keys.
#[derive(Debug)]
pub(super) struct Heads {
    /// Length of a prefix that all keys share (not always the longest).
    shared: usize,
    len: usize,
    heads: [u64; CAP],
}

impl Heads {
    /// Of no keys.
    pub fn new() -> Self {
        Self {
            shared: 0,
            len: 0,
            heads: [0; CAP],
        }
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Takes the heads of `len` sorted keys anew.
    pub fn rebuild<'a>(&mut self, len: usize, key: impl Fn(usize) -> &'a [u8]) {
        self.len = len;
        if len == 0 {
            self.shared = 0;
            return;
        }
        self.shared = shared_len(key(0), key(len - 1));
        self.refill(key);
    }

    /// Notes that `key(place)` was put among the keys at `place`; `key` gives the keys with it.
    pub fn insert<'a>(&mut self, place: usize, key: impl Fn(usize) -> &'a [u8]) {
        assert!(self.len < CAP);
        let new = key(place);
        self.heads.copy_within(place..self.len, place + 1);
        self.len += 1;
        let shared = match self.len {
            1 => new.len(),
            _ => shared_len(new, key(usize::from(place == 0))).min(self.shared),
        };
        if shared == self.shared {
            self.heads[place] = head(new, shared);
        } else {
            self.shared = shared;
            self.refill(key);
        }
    }

    /// Notes that the key at `place` is gone.
    pub fn remove(&mut self, place: usize) {
        self.heads.copy_within(place + 1..self.len, place);
        self.len -= 1;
    }

    /// Where `wanted` is (`Ok`) or would be put (`Err`).
    pub fn search<'a>(
        &self,
        wanted: &[u8],
        key: impl Fn(usize) -> &'a [u8],
    ) -> Result<usize, usize> {
        if self.len == 0 {
            return Err(0);
        }
        let prefix = &key(0)[..self.shared];
        let common = self.shared.min(wanted.len());
        match wanted[..common].cmp(&prefix[..common]) {
            std::cmp::Ordering::Less => return Err(0),
            std::cmp::Ordering::Greater => return Err(self.len),
            std::cmp::Ordering::Equal if common < self.shared => return Err(0),
            std::cmp::Ordering::Equal => {}
        }
        self.search_shared(wanted, key)
    }

    /// Where `wanted` is, if it is there: [`Self::search`] without looking at the shared prefix,
    /// which saves a cache miss. A key with another prefix only fails to equal what it finds.
    pub fn find<'a>(&self, wanted: &[u8], key: impl Fn(usize) -> &'a [u8]) -> Option<usize> {
        if wanted.len() < self.shared {
            return None;
        }
        self.search_shared(wanted, key).ok()
    }

    fn search_shared<'a>(
        &self,
        wanted: &[u8],
        key: impl Fn(usize) -> &'a [u8],
    ) -> Result<usize, usize> {
        let wanted_head = head(wanted, self.shared);
        let heads = &self.heads[..self.len];
        // All heads are looked at: the loads do not wait for each other, as those of a binary
        // search would, and a node is mostly not in the cache.
        let mut low = heads
            .iter()
            .map(|&h| usize::from(h < wanted_head))
            .sum::<usize>();
        let mut high = low
            + heads[low..]
                .iter()
                .take_while(|&&h| h == wanted_head)
                .count();
        // Equal heads: the keys themselves decide. Also for one, since a head is padded.
        while low < high {
            let middle = low + (high - low) / 2;
            match key(middle).cmp(wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    fn refill<'a>(&mut self, key: impl Fn(usize) -> &'a [u8]) {
        for place in 0..self.len {
            self.heads[place] = head(key(place), self.shared);
        }
    }

    /// Says what is wrong with the heads, given the keys.
    pub fn check<'a>(&self, key: impl Fn(usize) -> &'a [u8]) -> Result<(), String> {
        for place in 0..self.len {
            if key(place).get(..self.shared) != key(0).get(..self.shared) {
                return Err(format!("key {place} does not share {} bytes", self.shared));
            }
            if self.heads[place] != head(key(place), self.shared) {
                return Err(format!("head {place} is stale"));
            }
            if place > 0 && key(place - 1) >= key(place) {
                return Err(format!("key {place} is not above its neighbour"));
            }
        }
        Ok(())
    }
}

/// The eight bytes after the first `skip`, padded with zeros: orders keys as far as it goes.
fn head(key: &[u8], skip: usize) -> u64 {
    let rest = key.get(skip..).unwrap_or(&[]);
    if let Some(full) = rest.first_chunk::<8>() {
        return u64::from_be_bytes(*full);
    }
    let mut bytes = [0; 8];
    bytes[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(bytes)
}

fn shared_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
