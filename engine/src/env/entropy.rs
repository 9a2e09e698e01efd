//! Random bytes as an input: real ones on a node, seeded ones in the simulator.

/// A source of random numbers.
pub trait Entropy: 'static {
    /// 64 random bits.
    fn next_u64(&self) -> u64;
}
