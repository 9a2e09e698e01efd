//! Seeded bytes for decoders: random ones, and written ones with a few changes. Test code; every
//! decoder of bytes that come from outside has a test that feeds it these.
//!
//! | decoder | test in |
//! |---|---|
//! | frame and segment header, page, effects, a stored pair | `format/*/tests.rs` |
//! | superblock, manifest; header, chunk and footer of an index | `format/*/tests.rs` |
//! | the frames of a segment, a whole lane | `wal/recover/tests/mutated.rs` |
//! | an index file's entries | `mvcc/checkpoint/entry/tests.rs` |
//! | entry, vote and membership of a group | `group/codec/tests.rs` |
//! | lease table, state of core 0 | `lease/tests.rs`, `shard/keeper/tests.rs` |
//! | HTTP/1, gRPC frames and headers, messages, flags | `server` |
//! | profiles | `tuning` |

/// A source of choices: the same seed makes the same ones.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// The next 64 bits.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if there is none.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.roll() % n.max(1) as u64) as usize
    }

    /// Up to `max` random bytes.
    pub(crate) fn noise(&mut self, max: usize) -> Vec<u8> {
        let len = self.below(max + 1);
        (0..len).map(|_| self.roll() as u8).collect()
    }

    /// Flips, replaces, cuts, repeats or inserts a few of the bytes; never none of it.
    pub(crate) fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        loop {
            let out = self.mutate_once(bytes);
            if out != bytes {
                return out;
            }
        }
    }

    fn mutate_once(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(out.len());
            match self.below(7) {
                0 if !out.is_empty() => out[at] ^= 1 << self.below(8),
                1 if !out.is_empty() => out[at] = self.roll() as u8,
                2 => out.truncate(at),
                3 => out.insert(at, self.roll() as u8),
                4 if !out.is_empty() => {
                    let end = at + self.below(out.len() - at);
                    let piece = out[at..end].to_vec();
                    out.splice(at..at, piece);
                }
                // Lengths and counts as large as they get.
                5 if !out.is_empty() => {
                    let end = (at + 1 + self.below(8)).min(out.len());
                    out[at..end].fill(0xff);
                }
                _ => out.extend(self.noise(8)),
            }
        }
        out
    }

    /// As [`Dice::mutate`], but as long as before: what a disk does to a file of fixed length.
    pub(crate) fn scribble(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        while out == bytes {
            let at = self.below(out.len());
            let end = (at + 1 + self.below(16)).min(out.len());
            match self.below(3) {
                0 => out[at] ^= 1 << self.below(8),
                1 => out[at..end].fill(0xff),
                _ => out[at..end].fill_with(|| self.roll() as u8),
            }
        }
        out
    }
}

/// Calls `feed` with `cases` inputs: one of `written` with changes, or noise.
pub(crate) fn feed(seed: u64, cases: usize, written: &[&[u8]], mut feed: impl FnMut(&[u8])) {
    let mut dice = Dice(seed);
    for case in 0..cases {
        let input = match case % 8 {
            0 => dice.noise(300),
            _ => {
                let which = dice.below(written.len());
                dice.mutate(written[which])
            }
        };
        feed(&input);
    }
}
