//! Where the next operation goes in its file: in order and round again, anywhere, or always behind
//! the end.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Where places anywhere begin: each run goes to the same ones in the same order.
pub const SEED: u64 = 1;

/// A sequence of places.
#[derive(Debug)]
pub struct Offsets {
    block: u64,
    blocks: u64,
    next: u64,
    order: Order,
}

#[derive(Debug)]
enum Order {
    Round,
    Anywhere(SmallRng),
    Once,
}

impl Offsets {
    fn new(block: usize, bytes: u64, order: Order) -> Offsets {
        let block = block as u64;
        Offsets {
            block,
            blocks: (bytes / block).max(1),
            next: 0,
            order,
        }
    }

    /// Block after block over `bytes`, then from the start again.
    #[must_use]
    pub fn round(block: usize, bytes: u64) -> Offsets {
        Offsets::new(block, bytes, Order::Round)
    }

    /// Any block of `bytes`.
    #[must_use]
    pub fn anywhere(block: usize, bytes: u64, seed: u64) -> Offsets {
        Offsets::new(block, bytes, Order::Anywhere(SmallRng::seed_from_u64(seed)))
    }

    /// Block after block up to `bytes`, and then no more.
    #[must_use]
    pub fn once(block: usize, bytes: u64) -> Offsets {
        Offsets::new(block, bytes, Order::Once)
    }
}

impl Iterator for Offsets {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let number = match &mut self.order {
            Order::Anywhere(random) => random.random_range(0..self.blocks),
            Order::Once if self.next == self.blocks => return None,
            Order::Once | Order::Round => self.next % self.blocks,
        };
        self.next += 1;
        Some(number * self.block)
    }
}
