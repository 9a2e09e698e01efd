//! Stalls: stretches in which writes took far longer than they should, how many there were, and
//! whether they came at even intervals, as those of a housekeeping task or a throttle do.

use std::time::Duration;

use serde::Serialize;

use super::measure::Measurement;
use super::recorder::Slow;

/// Stalls that a report marks; the longest are taken.
const MARKED_MAX: usize = 100;
/// Fewer are no rhythm.
const RHYTHM_LEAST: usize = 5;
/// How far intervals may stray from their mean, as a share of it.
const RHYTHM_SPREAD: f64 = 0.2;

/// How many operations were slower than each bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Over 10 ms.
    pub over_10ms: usize,
    /// Over 100 ms.
    pub over_100ms: usize,
    /// Over 1 s.
    pub over_1000ms: usize,
}

/// What a run saw of them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stalls {
    /// Stretches without a break: writes slow at the same time are one.
    pub counts: Counts,
    /// Seconds between them, if they come at even intervals.
    pub every_seconds: Option<f64>,
    /// The longest ones in the order of time: seconds since the start, and how long.
    pub marked: Vec<Mark>,
}

/// A stall.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mark {
    /// Seconds since the start.
    pub at: f64,
    /// Seconds.
    pub took: f64,
}

/// Counts by length.
#[must_use]
pub fn count(slow: &[Slow]) -> Counts {
    let over = |bound_ms: u64| {
        let bound = Duration::from_millis(bound_ms);
        slow.iter().filter(|slow| slow.took > bound).count()
    };
    Counts {
        over_10ms: over(10),
        over_100ms: over(100),
        over_1000ms: over(1000),
    }
}

/// Finds them in durable writes, but not in those beside a checkpoint, which may wait for it, nor
/// in those of many blocks or many at once, which take longer by nature.
#[must_use]
pub fn find(measurements: &[Measurement]) -> Stalls {
    let mut slow: Vec<Slow> = Vec::new();
    for measurement in measurements.iter().filter(|m| is_telling(m)) {
        slow.extend_from_slice(&measurement.recorder.slow);
    }
    slow.sort_unstable();
    let stretches = joined(&slow);
    let mut longest = stretches.clone();
    longest.sort_unstable_by_key(|slow| std::cmp::Reverse(slow.took));
    longest.truncate(MARKED_MAX);
    longest.sort_unstable();
    let mark = |slow: Slow| Mark {
        at: slow.at.as_secs_f64(),
        took: slow.took.as_secs_f64(),
    };
    Stalls {
        counts: count(&stretches),
        every_seconds: rhythm(&stretches),
        marked: longest.into_iter().map(mark).collect(),
    }
}

fn is_telling(measurement: &Measurement) -> bool {
    let case = &measurement.case;
    let is_small = case.block_bytes <= 4096 && case.logs == 1 && case.depth == 1;
    case.pattern.is_durable() && is_small && !case.background
}

/// Slow operations that overlap, as one each.
fn joined(slow: &[Slow]) -> Vec<Slow> {
    let mut out: Vec<Slow> = Vec::new();
    for one in slow {
        match out.last_mut() {
            Some(last) if one.at < last.at + last.took => {
                let end = (last.at + last.took).max(one.at + one.took);
                last.took = end - last.at;
            }
            _ => out.push(*one),
        }
    }
    out
}

/// The mean interval, if all are about as long. Stalls that follow each other at once are a slow
/// disk and no rhythm.
fn rhythm(stretches: &[Slow]) -> Option<f64> {
    if stretches.len() < RHYTHM_LEAST {
        return None;
    }
    let gaps = stretches
        .windows(2)
        .map(|pair| (pair[1].at - pair[0].at).as_secs_f64());
    let gaps: Vec<f64> = gaps.collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    let stalled: f64 = stretches.iter().map(|slow| slow.took.as_secs_f64()).sum();
    let share = stalled / (mean * stretches.len() as f64);
    (variance.sqrt() < RHYTHM_SPREAD * mean && share < 0.5).then_some(mean)
}

#[cfg(test)]
mod tests;
