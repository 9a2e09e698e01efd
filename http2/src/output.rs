//! What is to be sent: [`Output`] in the order of the wire, [`Pieces`] a body that waits for it.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// A piece at least this large is sent from where it lies; a smaller one is cheaper copied.
const BORROW_BYTES: usize = 2 << 10;

/// Capacity that an empty output keeps.
const KEEP_BYTES: usize = 16 << 10;

/// Bytes sent before the space they took is used again.
const COMPACT_BYTES: usize = 64 << 10;

/// A body in pieces, in order.
#[derive(Debug, Default)]
pub struct Pieces {
    first: Bytes,
    rest: VecDeque<Bytes>,
    len: usize,
}

impl Pieces {
    /// A body of a first piece and further ones.
    #[must_use]
    pub fn new(first: Bytes, rest: VecDeque<Bytes>) -> Self {
        let len = first.len() + rest.iter().map(Bytes::len).sum::<usize>();
        Self { first, rest, len }
    }

    /// Bytes left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces left.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    pub(crate) fn append(&mut self, other: Pieces) {
        if self.is_empty() {
            *self = other;
            return;
        }
        self.len += other.len;
        self.rest.push_back(other.first);
        self.rest.extend(other.rest);
    }

    /// Moves the first `n` bytes to an output.
    pub(crate) fn move_to(&mut self, mut n: usize, out: &mut Output) {
        self.len -= n;
        loop {
            if n < self.first.len() {
                out.put(&self.first.split_to(n));
                return;
            }
            n -= self.first.len();
            out.put(&std::mem::take(&mut self.first));
            match self.rest.pop_front() {
                Some(next) => self.first = next,
                None => return,
            }
        }
    }
}

impl From<Bytes> for Pieces {
    fn from(first: Bytes) -> Self {
        Self::new(first, VecDeque::new())
    }
}

/// Bytes in the order in which they leave. Small ones are gathered, large ones borrowed.
#[derive(Debug, Default)]
pub struct Output {
    gathered: Vec<u8>,
    /// What of `gathered` has left.
    sent: usize,
    /// Borrowed pieces, each with the length that `gathered` had before it.
    borrowed: VecDeque<(usize, Bytes)>,
    borrowed_len: usize,
}

impl Output {
    /// Bytes that have not left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.gathered.len() - self.sent + self.borrowed_len
    }

    /// Whether everything has left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `slices` with what leaves next; gives their number.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut n = 0;
        let mut from = self.sent;
        let mut add = |bytes: &'a [u8]| {
            if !bytes.is_empty() && n < slices.len() {
                slices[n] = IoSlice::new(bytes);
                n += 1;
            }
        };
        for (at, piece) in &self.borrowed {
            add(&self.gathered[from..*at]);
            add(piece);
            from = *at;
        }
        add(&self.gathered[from..]);
        n
    }

    /// Notes that the next `n` bytes have left.
    pub fn advance(&mut self, mut n: usize) {
        debug_assert!(n <= self.len());
        while let Some((at, piece)) = self.borrowed.front_mut() {
            let before = n.min(*at - self.sent);
            self.sent += before;
            n -= before;
            if self.sent < *at || n == 0 {
                return;
            }
            let here = n.min(piece.len());
            piece.advance(here);
            self.borrowed_len -= here;
            n -= here;
            if !piece.is_empty() {
                return;
            }
            self.borrowed.pop_front();
        }
        self.sent += n;
        if self.sent == self.gathered.len() {
            self.sent = 0;
            if self.gathered.capacity() > KEEP_BYTES {
                self.gathered = Vec::new();
            } else {
                self.gathered.clear();
            }
        } else if self.sent >= COMPACT_BYTES {
            self.gathered.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// The end of the gathered bytes, to append to.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.gathered
    }

    /// Appends a piece.
    pub(crate) fn put(&mut self, piece: &Bytes) {
        if piece.len() < BORROW_BYTES {
            self.gathered.extend_from_slice(piece);
            return;
        }
        self.borrowed_len += piece.len();
        self.borrowed
            .push_back((self.gathered.len(), piece.clone()));
    }
}

#[cfg(test)]
mod tests;
