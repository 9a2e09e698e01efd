//! A small seeded stream of random numbers (SplitMix64). Every use of the simulator draws from a
//! stream of its own, so that one more draw in one place does not change the others.

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Which task runs next, and when time goes on.
    Scheduling,
    /// What the engine and openraft draw.
    Entropy,
    /// What the disk does.
    Disk,
    /// What clients ask; one for each client of each life.
    Workload(u64, u64),
    /// Crashes and restarts.
    Fate,
    /// What an audit looks at.
    Audit(u64),
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A stream of its own for each seed and use.
    pub fn new(seed: u64, stream: Stream) -> Self {
        let (kind, a, b) = match stream {
            Stream::Scheduling => (1, 0, 0),
            Stream::Entropy => (2, 0, 0),
            Stream::Disk => (3, 0, 0),
            Stream::Workload(life, client) => (4, life, client),
            Stream::Fate => (5, 0, 0),
            Stream::Audit(life) => (6, life, 0),
        };
        let mut state = mix(seed ^ mix(kind));
        state = mix(state ^ mix(a + 1));
        Self(mix(state ^ mix(b + 1)))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below 0");
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Spreads every bit of `x` over all bits.
pub fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
