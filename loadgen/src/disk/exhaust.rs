//! Long writing, on request: until the credits of a cloud volume or the fast cells of a drive are
//! used up, or the limit is reached. It says whether the rate fell, when and how far.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::files::{self, WorkDir};
use super::measure::FILE_BYTES;
use super::offsets::Offsets;
use super::stretch::Stretch;
use super::uring::{self, Shape};
use crate::progress::{Progress, Stop};

/// Between two looks at the rate.
const PIECE: Duration = Duration::from_secs(5);
/// Seconds whose mean is compared.
const WINDOW_SECONDS: usize = 10;
/// Below this share of what it was at first the rate counts as fallen.
const FALLEN: f64 = 0.6;
/// It goes on for so long after that, so that what is left is known.
const AFTER: Duration = Duration::from_secs(30);
const SMALL_BYTES: usize = 4096;
const SMALL_DEPTH: usize = 4;
const LARGE_BYTES: usize = 128 << 10;
const LARGE_DEPTH: usize = 8;
/// Most of the disk that is written; round and round if it takes more.
const REGION_MOST: u64 = 64 << 30;

/// What long writing showed.
#[derive(Clone, Debug, Serialize)]
pub struct Exhaustion {
    /// What was written.
    pub what: &'static str,
    /// For how long.
    pub seconds: f64,
    /// How much.
    pub bytes: u64,
    /// Writes a second in the first seconds.
    pub first_per_second: f64,
    /// In the last ones.
    pub last_per_second: f64,
    /// When the rate fell, in seconds, if it did.
    pub fell_at: Option<f64>,
    /// Seconds since its beginning, and writes a second from there on.
    pub rates: Vec<(f64, f64)>,
}

impl fmt::Display for Exhaustion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, first, last) = (self.what, self.first_per_second, self.last_per_second);
        let gib = self.bytes as f64 / (1u64 << 30) as f64;
        match self.fell_at {
            Some(at) => write!(
                f,
                "{what}: fell after {at:.0} s from {first:.0} to {last:.0} writes a second \
                 (burst credits or a fast cache are used up); only the lower rate can be relied on"
            ),
            None => write!(
                f,
                "{what}: did not fall in {:.0} s and {gib:.1} GiB ({first:.0} writes a second at \
                 first, {last:.0} at the end)",
                self.seconds
            ),
        }
    }
}

/// Writes small synced blocks for half of `limit`, then large ones for the other half; each ends
/// early when the rate has fallen.
///
/// # Errors
/// When a write fails, with what it was.
pub fn run(work: &WorkDir, limit: Duration, stop: Stop) -> io::Result<Vec<Exhaustion>> {
    let mut found = Vec::new();
    let path = work.written("direct-0", FILE_BYTES, stop)?;
    let flags = libc::O_DIRECT | libc::O_DSYNC;
    let file = files::open(&path, OpenOptions::new().write(true), flags)?;
    let small = Phase {
        what: "durable writes of 4 KiB",
        block: SMALL_BYTES,
        depth: SMALL_DEPTH,
        region: FILE_BYTES,
    };
    found.extend(small.run(&file, limit / 2, stop)?);
    let region = (files::free_bytes(work.path())? / 2).min(REGION_MOST);
    let file = files::open_direct_if_possible(&work.path().join("region"))?;
    files::reserve(&file, region)?;
    let large = Phase {
        what: "writes of 128 KiB",
        block: LARGE_BYTES,
        depth: LARGE_DEPTH,
        region,
    };
    found.extend(large.run(&file, limit / 2, stop)?);
    work.forget("region");
    Ok(found)
}

/// Long writing of one kind.
struct Phase {
    what: &'static str,
    block: usize,
    depth: usize,
    region: u64,
}

impl Phase {
    /// `None` if it was ended before anything was written.
    fn run(&self, file: &File, limit: Duration, stop: Stop) -> io::Result<Option<Exhaustion>> {
        let bar = format!("{} until it slows down", self.what);
        let progress = Progress::new(&bar, limit.as_millis() as u64);
        let mut places = Offsets::round(self.block, self.region);
        let zero = Instant::now();
        let (mut rates, mut count) = (Vec::new(), 0);
        let mut fell: Option<f64> = None;
        let is_after = |at: f64| zero.elapsed().as_secs_f64() > at + AFTER.as_secs_f64();
        while zero.elapsed() < limit && !stop.is_set() && !fell.is_some_and(is_after) {
            let length = PIECE.min(limit.saturating_sub(zero.elapsed()));
            let stretch = Stretch { length, zero, stop };
            let (block, depth) = (self.block, self.depth);
            let piece = uring::run(file, Shape::Write, block, depth, &mut places, &stretch)?;
            count += piece.count;
            let seconds = piece.length().as_secs_f64().max(1e-6);
            // What ctrl-C left of a piece has no rate to be compared.
            if rates.is_empty() || seconds > PIECE.as_secs_f64() / 2.0 {
                rates.push((piece.began().as_secs_f64(), piece.count as f64 / seconds));
            }
            fell = fell_at(&rates);
            progress.set(zero.elapsed().as_millis() as u64);
        }
        let exhaustion = |(first, last)| Exhaustion {
            what: self.what,
            seconds: zero.elapsed().as_secs_f64(),
            bytes: count * self.block as u64,
            first_per_second: first,
            last_per_second: last,
            fell_at: fell,
            rates: rates.clone(),
        };
        Ok(ends(&rates).map(exhaustion))
    }
}

/// Looks at a time in a window.
const WINDOW: usize = WINDOW_SECONDS / PIECE.as_secs() as usize;

/// The mean rates at first and at last.
fn ends(rates: &[(f64, f64)]) -> Option<(f64, f64)> {
    let mean =
        |part: &[(f64, f64)]| part.iter().map(|(_, rate)| rate).sum::<f64>() / part.len() as f64;
    let len = WINDOW.min(rates.len());
    (len > 0).then(|| (mean(&rates[..len]), mean(&rates[rates.len() - len..])))
}

/// When a whole window first stayed below the share, if the rate is still there at the end.
fn fell_at(rates: &[(f64, f64)]) -> Option<f64> {
    let (first, last) = ends(rates)?;
    let is_low = |window: &[(f64, f64)]| window.iter().all(|(_, rate)| *rate < FALLEN * first);
    let low = rates.windows(WINDOW).find(|window| is_low(window))?;
    (last < FALLEN * first).then(|| low[0].0)
}

#[cfg(test)]
mod tests;
