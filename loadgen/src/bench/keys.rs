//! Which key an operation is about.

use bytes::Bytes;
use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt};

/// How keys are chosen, and what they look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Space {
    /// Each as likely as any other.
    Uniform,
    /// A few very often, most hardly ever (Zipf's law with exponent 0.99).
    Zipfian,
    /// One after the other.
    Sequential,
    /// As uniform, under names as kube-apiserver gives them.
    Kubernetes,
}

/// Where all keys of a run lie.
pub const PREFIX: &str = "stoa-loadgen/";
/// Where they lie in a space like that of Kubernetes.
pub const KUBERNETES_PREFIX: &str = "/registry/pods/stoa-loadgen-";

/// Namespaces of a space like that of Kubernetes.
const NAMESPACES: u64 = 100;

/// Exponent of the Zipfian space, as YCSB has it.
const THETA: f64 = 0.99;

/// Chooses keys.
#[derive(Clone, Debug)]
pub struct Keys {
    space: Space,
    count: u64,
    key_size: usize,
    next: u64,
    zipf: Option<Zipf>,
}

/// Gray's method to draw from a Zipfian distribution in constant time ("Quickly Generating
/// Billion-Record Synthetic Databases", 1994).
#[derive(Clone, Copy, Debug)]
struct Zipf {
    alpha: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    fn new(count: u64) -> Zipf {
        let zeta = |n: u64| (1..=n).map(|i| (i as f64).powf(-THETA)).sum::<f64>();
        let all = zeta(count);
        let eta = (1.0 - (2.0 / count as f64).powf(1.0 - THETA)) / (1.0 - zeta(2) / all);
        Zipf {
            alpha: 1.0 / (1.0 - THETA),
            zeta: all,
            eta,
        }
    }

    fn draw(&self, random: &mut SmallRng, count: u64) -> u64 {
        let u: f64 = random.random();
        let uz = u * self.zeta;
        if uz < 1.0 {
            return 0;
        }
        if uz < 1.0 + 0.5_f64.powf(THETA) {
            return 1.min(count - 1);
        }
        let rank = (count as f64 * (self.eta * u - self.eta + 1.0).powf(self.alpha)) as u64;
        rank.min(count - 1)
    }
}

impl Keys {
    /// Of `count` keys, at least one, of `key_size` bytes if their names allow it. `first` is where
    /// a sequential space begins.
    #[must_use]
    pub fn new(space: Space, count: u64, key_size: usize, first: u64) -> Keys {
        let count = count.max(1);
        Keys {
            space,
            count,
            key_size,
            next: first % count,
            zipf: (space == Space::Zipfian).then(|| Zipf::new(count)),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The number of the next key.
    pub fn draw(&mut self, random: &mut SmallRng) -> u64 {
        match (&self.zipf, self.space) {
            // The popular ones are not neighbours.
            (Some(zipf), _) => scatter(zipf.draw(random, self.count), self.count),
            (None, Space::Sequential) => {
                let number = self.next;
                self.next = (self.next + 1) % self.count;
                number
            }
            _ => random.next_u64() % self.count,
        }
    }

    /// The key with this number.
    #[must_use]
    pub fn key(&self, number: u64) -> Bytes {
        if self.space == Space::Kubernetes {
            let namespace = number % NAMESPACES;
            return format!("{KUBERNETES_PREFIX}{namespace:02}/pod-{number:08}").into();
        }
        let digits = self.key_size.saturating_sub(PREFIX.len()).max(8);
        format!("{PREFIX}{number:0digits$}").into()
    }

    /// First and end of the range of all keys.
    #[must_use]
    pub fn whole(&self) -> (Bytes, Bytes) {
        let prefix = match self.space {
            Space::Kubernetes => KUBERNETES_PREFIX,
            _ => PREFIX,
        };
        (Bytes::from_static(prefix.as_bytes()), end_of(prefix))
    }
}

/// The end of the range of all keys with a prefix that ends below 0xff.
fn end_of(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end.into()
}

/// Each rank at a place of its own.
fn scatter(rank: u64, count: u64) -> u64 {
    // A step that shares no factor with the count visits every place once.
    let mut step = (count as f64 * 0.618) as u64 | 1;
    while gcd(step, count) != 1 {
        step += 2;
    }
    (u128::from(rank) * u128::from(step) % u128::from(count)) as u64
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
