//! When operations are due, in a run whose rate does not depend on the server.

use std::time::Duration;

/// Parts that a ramp is told in.
const RAMP_PARTS: u32 = 10;

/// Most steps of a run: each takes a quarter of a MiB.
const STEPS_MAX: usize = 200;

/// Rates over the time of a run: one for all of it, steps, or a ramp.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// As fast as the clients get their answers.
    Closed,
    /// So many a second.
    Rate(f64),
    /// One rate after the other, each for an equal part of the time.
    Steps(Vec<f64>),
    /// From one rate to another, evenly.
    Ramp(f64, f64),
}

impl Schedule {
    /// Operations that are due up to `at` of a run of this length; none of a closed loop.
    #[must_use]
    pub fn due(&self, at: Duration, length: Duration) -> u64 {
        let (t, all) = (at.as_secs_f64(), length.as_secs_f64());
        let due = match self {
            Schedule::Closed => 0.0,
            Schedule::Rate(rate) => rate * t,
            Schedule::Steps(rates) => {
                let step = all / rates.len() as f64;
                let over = |(n, rate): (usize, &f64)| rate * (t - step * n as f64).clamp(0.0, step);
                rates.iter().enumerate().map(over).sum()
            }
            Schedule::Ramp(from, to) => from * t + (to - from) * t * t / (2.0 * all),
        };
        due as u64
    }

    /// When the operation with this number, from 0 on, is due.
    #[must_use]
    pub fn time_of(&self, number: u64, length: Duration) -> Duration {
        let (n, all) = (number as f64, length.as_secs_f64());
        let seconds = match self {
            Schedule::Closed => 0.0,
            Schedule::Rate(rate) => n / rate,
            Schedule::Steps(rates) => {
                let step = all / rates.len() as f64;
                let (mut left, mut at) = (n, 0.0);
                for rate in rates {
                    if left < rate * step {
                        at += left / rate;
                        return Duration::from_secs_f64(at);
                    }
                    left -= rate * step;
                    at += step;
                }
                at
            }
            Schedule::Ramp(from, to) => {
                // from * t + (to - from) / (2 * all) * t^2 = n
                let a = (to - from) / (2.0 * all);
                if a.abs() < 1e-9 {
                    n / from
                } else {
                    (-from + (from * from + 4.0 * a * n).max(0.0).sqrt()) / (2.0 * a)
                }
            }
        };
        Duration::from_secs_f64(seconds.clamp(0.0, 1e9))
    }

    /// The rate at the start, if it has one.
    #[must_use]
    pub fn first(&self) -> Option<f64> {
        match self {
            Schedule::Closed => None,
            Schedule::Rate(rate) | Schedule::Ramp(rate, _) => Some(*rate),
            Schedule::Steps(rates) => rates.first().copied(),
        }
    }

    /// The lowest rate, if it has one.
    #[must_use]
    pub fn least(&self) -> Option<f64> {
        match self {
            Schedule::Closed => None,
            Schedule::Rate(rate) => Some(*rate),
            Schedule::Ramp(from, to) => Some(from.min(*to)),
            Schedule::Steps(rates) => rates.iter().copied().reduce(f64::min),
        }
    }

    /// Average rates of the parts, of equal length, in which a run is told; none where the rate
    /// does not change.
    #[must_use]
    pub fn parts(&self) -> Vec<f64> {
        match self {
            Schedule::Closed | Schedule::Rate(_) => Vec::new(),
            Schedule::Steps(rates) => rates.clone(),
            Schedule::Ramp(from, to) => {
                let middle = |n: u32| (f64::from(n) + 0.5) / f64::from(RAMP_PARTS);
                let parts = (0..RAMP_PARTS).map(|n| from + (to - from) * middle(n));
                parts.collect()
            }
        }
    }

    /// Reads `1000,2000,4000`; for clap.
    ///
    /// # Errors
    /// A text that says how steps are written.
    pub fn steps(text: &str) -> Result<Schedule, String> {
        let rates: Result<Vec<f64>, String> = text.split(',').map(rate).collect();
        let rates = rates?;
        if rates.len() > STEPS_MAX {
            return Err(format!("at most {STEPS_MAX} steps"));
        }
        Ok(Schedule::Steps(rates))
    }

    /// Reads `1000..10000`; for clap.
    ///
    /// # Errors
    /// A text that says how a ramp is written.
    pub fn ramp(text: &str) -> Result<Schedule, String> {
        let bad = || format!("{text:?} is no ramp such as 1000..10000");
        let (from, to) = text.split_once("..").ok_or_else(bad)?;
        Ok(Schedule::Ramp(rate(from)?, rate(to)?))
    }
}

/// Reads a rate; for clap.
///
/// # Errors
/// A text that says what a rate is.
pub fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.trim().parse().unwrap_or(f64::NAN);
    if (1e-3..=1e8).contains(&rate) {
        Ok(rate)
    } else {
        Err(format!(
            "{text:?} is no rate: operations a second, between 0.001 and 100000000"
        ))
    }
}

#[cfg(test)]
mod tests;
