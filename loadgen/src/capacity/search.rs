//! The search: the rate is doubled until the objective is not met, then the span between is halved,
//! then what is left has to hold for the whole time that is asked for.

use std::time::Duration;

use super::load::{Held, Load};
use super::objective::Objective;

/// How a search is made.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The rate to begin with, operations a second.
    pub first: f64,
    /// The highest rate that is tried.
    pub most: f64,
    /// How near what held and what did not have to be, as a part.
    pub near: f64,
    /// How long a rate is tried on the way.
    pub trial: Duration,
    /// How long the rate that is found has to hold.
    pub hold: Duration,
}

/// What was tried and found.
#[derive(Clone, Debug, Default)]
pub struct Searched {
    /// Every rate tried, in order, and whether the objective was met.
    pub steps: Vec<(Held, bool)>,
    /// Which of them is the answer: the highest that held for the whole time.
    pub found: Option<usize>,
}

/// Rates below this are not tried.
const LEAST: f64 = 1.0;
/// By how much a rate is lowered that did not hold for the whole time.
const LOWER: f64 = 0.9;
/// Attempts at a rate while this program is late itself.
const TRIES: u32 = 2;

impl Searched {
    /// The highest rate that held, operations a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.answer().map_or(0.0, |held| held.rate)
    }

    /// How it held.
    #[must_use]
    pub fn answer(&self) -> Option<&Held> {
        self.found.map(|at| &self.steps[at].0)
    }

    async fn attempt(
        &mut self,
        load: &mut impl Load,
        objective: &Objective,
        rate: f64,
        span: Duration,
        is_over: &impl Fn() -> bool,
    ) -> Result<bool, String> {
        for left in (0..TRIES).rev() {
            let held = load.hold(rate, span).await?;
            let is_met = objective.is_met(&held);
            let was_late = held.is_late();
            self.steps.push((held, is_met));
            // Where this program was late, the server may not be to blame.
            if is_met || !was_late || left == 0 || is_over() {
                return Ok(is_met);
            }
        }
        Ok(false)
    }

    /// Whether this program, not the server, may be why no higher rate was found: it was at its
    /// limit in the answer, or in the lowest rate above it that did not hold.
    #[must_use]
    pub fn is_own_limit(&self) -> bool {
        let unmet = self.steps.iter().filter(|(_, is_met)| !is_met);
        let above = unmet.map(|(held, _)| held).filter(|h| h.rate > self.rate());
        // The last attempt at a rate is the one that counts.
        let lowest = above.reduce(|low, held| if held.rate <= low.rate { held } else { low });
        self.answer()
            .into_iter()
            .chain(lowest)
            .any(Held::is_own_limit)
    }
}

/// Searches.
///
/// # Errors
/// When the load cannot be made.
pub async fn search(
    load: &mut impl Load,
    objective: &Objective,
    plan: Plan,
    is_over: impl Fn() -> bool,
) -> Result<Searched, String> {
    let mut searched = Searched::default();
    let (mut met, mut unmet) = (0.0_f64, f64::INFINITY);
    let mut rate = plan.first.min(plan.most);
    while rate >= LEAST && !is_over() {
        let tried = searched.attempt(load, objective, rate, plan.trial, &is_over);
        if tried.await? {
            met = rate;
        } else {
            unmet = rate;
        }
        rate = if met == 0.0 {
            rate / 2.0
        } else if unmet.is_infinite() {
            if met >= plan.most {
                break;
            }
            (met * 2.0).min(plan.most)
        } else if unmet <= met * (1.0 + plan.near) {
            break;
        } else {
            // Half way in proportion: rates span orders of magnitude.
            (met * unmet).sqrt()
        };
    }
    let mut rate = met;
    while rate >= LEAST && !is_over() {
        let tried = searched.attempt(load, objective, rate, plan.hold, &is_over);
        if tried.await? {
            searched.found = Some(searched.steps.len() - 1);
            break;
        }
        rate *= LOWER;
    }
    Ok(searched)
}

#[cfg(test)]
mod tests;
