//! The bytes of one file on the memory disk: what a reader sees now, what a crash leaves for
//! certain, and what it may leave. Called by the memory disk only.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::random::Random;

/// The unit that lands whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// A sector written and not yet made durable: when, and where its bytes are.
struct Landing {
    seq: u64,
    data: Rc<[u8]>,
    at: usize,
}

/// One file's bytes.
#[derive(Default)]
pub(super) struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    volatile: BTreeMap<usize, Vec<Landing>>,
    lengths: Vec<(u64, usize)>,
    /// A sync failed: what was volatile then can be made durable no more, though syncs succeed.
    failed: bool,
}

impl Content {
    pub(super) fn live(&self) -> &[u8] {
        &self.live
    }

    /// What a write of `len` bytes at `offset` adds to the length.
    pub(super) fn growth(&self, offset: u64, len: usize) -> u64 {
        (offset + len as u64).saturating_sub(self.live.len() as u64)
    }

    /// A write that completed as number `seq`; `lands` chooses its sectors.
    pub(super) fn write(
        &mut self,
        seq: u64,
        offset: u64,
        data: &Rc<[u8]>,
        mut lands: impl FnMut() -> bool,
    ) {
        let start = offset as usize;
        let end = start + data.len();
        if end > self.live.len() {
            self.live.resize(end, 0);
            self.lengths.push((seq, end));
        }
        for at in (0..data.len()).step_by(SECTOR_BYTES) {
            if lands() {
                let sector = &data[at..at + SECTOR_BYTES];
                self.live[start + at..start + at + SECTOR_BYTES].copy_from_slice(sector);
                let landing = Landing {
                    seq,
                    data: data.clone(),
                    at,
                };
                self.volatile
                    .entry((start + at) / SECTOR_BYTES)
                    .or_default()
                    .push(landing);
            }
        }
    }

    /// Makes the sectors of one write durable, with the length they need.
    pub(super) fn settle(&mut self, offset: u64, len: usize) {
        if self.failed {
            return;
        }
        let (start, end) = (offset as usize, offset as usize + len);
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[start..end].copy_from_slice(&self.live[start..end]);
        for sector in start / SECTOR_BYTES..end / SECTOR_BYTES {
            self.volatile.remove(&sector);
        }
    }

    /// Makes durable what completed up to `seq`.
    pub(super) fn sync(&mut self, seq: u64) {
        if self.failed {
            return;
        }
        for (_, len) in self.lengths.extract_if(.., |(at, _)| *at <= seq) {
            if self.durable.len() < len {
                self.durable.resize(len, 0);
            }
        }
        let durable = &mut self.durable;
        self.volatile.retain(|sector, landings| {
            if let Some(last) = landings.iter().rposition(|landing| landing.seq <= seq) {
                put(durable, *sector, &landings[last]);
                landings.drain(..=last);
            }
            !landings.is_empty()
        });
    }

    /// From here on what is volatile stays so.
    pub(super) fn fail(&mut self) {
        self.failed = true;
    }

    /// The power goes: each volatile sector, and the length, is what it was or any of what was
    /// written since.
    pub(super) fn crash(&mut self, random: &mut Random) {
        let len = match random.below(self.lengths.len() as u64 + 1) as usize {
            0 => self.durable.len(),
            n => self.lengths[n - 1].1.max(self.durable.len()),
        };
        let full = self.live.len().max(len);
        self.durable.resize(full, 0);
        for (sector, landings) in &self.volatile {
            match random.below(landings.len() as u64 + 1) as usize {
                0 => {}
                n => put(&mut self.durable, *sector, &landings[n - 1]),
            }
        }
        self.durable.truncate(len);
        self.live.clone_from(&self.durable);
        self.volatile.clear();
        self.lengths.clear();
        self.failed = false;
    }

    /// Turns one bit over, in what is seen and in what is durable. False past the end.
    pub(super) fn flip(&mut self, offset: u64, bit: u8) -> bool {
        let at = offset as usize;
        let mask = 1 << (bit & 7);
        for bytes in [&mut self.live, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= mask;
            }
        }
        at < self.live.len()
    }
}

fn put(bytes: &mut Vec<u8>, sector: usize, landing: &Landing) {
    let start = sector * SECTOR_BYTES;
    if bytes.len() < start + SECTOR_BYTES {
        bytes.resize(start + SECTOR_BYTES, 0);
    }
    bytes[start..start + SECTOR_BYTES]
        .copy_from_slice(&landing.data[landing.at..landing.at + SECTOR_BYTES]);
}
