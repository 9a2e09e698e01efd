//! Hashing of stream numbers.

use std::hash::{BuildHasher, Hasher};

/// Makes [`IdHasher`]s.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdHash;

/// One multiplication: the peer chooses the numbers, but they only rise, and a bad choice slows its
/// own connection alone, within the bound on streams.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdHasher(u64);

impl BuildHasher for IdHash {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher::default()
    }
}

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32((*byte).into());
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
