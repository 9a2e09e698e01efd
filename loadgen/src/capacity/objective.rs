//! What has to hold: `p99<10ms,errors=0`.

use std::time::Duration;

use super::load::Held;
use crate::span;

/// A limit of latency at a quantile, or of errors.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Latency(f64, Duration),
    /// The part of all operations that may fail.
    Errors(f64),
}

/// Limits that have to hold together.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    text: String,
    limits: Vec<Limit>,
}

const HELP: &str = "an objective is such as \"p99<10ms,errors=0\": p50, p90, p99, p999 or max \
                    below a span of time, errors=0 or errors<1%";

impl Objective {
    /// Reads it; for clap.
    ///
    /// # Errors
    /// A text that says how it is written.
    pub fn parse(text: &str) -> Result<Objective, String> {
        let limits = text.split(',').map(|part| limit(part.trim()));
        let limits: Option<Vec<Limit>> = limits.collect();
        match limits {
            Some(limits) => Ok(Objective {
                text: text.to_owned(),
                limits,
            }),
            None => Err(HELP.to_owned()),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it was met.
    #[must_use]
    pub fn is_met(&self, held: &Held) -> bool {
        let errors = held.errors_total() as f64 / held.operations().max(1) as f64;
        let is_met = |limit: &Limit| match *limit {
            Limit::Latency(quantile, most) => {
                let nanos = held.latencies.value_at_quantile(quantile);
                u128::from(nanos) < most.as_nanos()
            }
            Limit::Errors(most) => errors <= most,
        };
        !held.is_overrun && !held.latencies.is_empty() && self.limits.iter().all(is_met)
    }
}

fn limit(part: &str) -> Option<Limit> {
    if let Some(errors) = part.strip_prefix("errors") {
        let number = errors.trim_start_matches(['=', '<']);
        if number.len() == errors.len() {
            return None;
        }
        let part: f64 = match number.strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().ok()? / 100.0,
            None => number.trim().parse().ok().filter(|n: &f64| *n == 0.0)?,
        };
        return (0.0..1.0).contains(&part).then_some(Limit::Errors(part));
    }
    let (name, most) = part.split_once('<')?;
    let quantile = match name.trim() {
        "p50" => 0.5,
        "p90" => 0.9,
        "p99" => 0.99,
        "p999" | "p99.9" => 0.999,
        "max" => 1.0,
        _ => return None,
    };
    Some(Limit::Latency(quantile, span::parse(most.trim()).ok()?))
}

#[cfg(test)]
mod tests;
