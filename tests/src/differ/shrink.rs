//! A run from a seed, and the making of a failing one short: parts of its steps are left out, each
//! time with fresh servers, for as long as it goes on failing.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use super::contest::Contest;
use super::peers::Entrant;
use super::script::Script;
use super::step::{Call, Step};

/// Most watches that live at a time: each one makes every comparison dearer.
const WATCHES_MAX: usize = 24;

/// What a run does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who takes part; the first is the measure.
    pub entrants: Vec<Entrant>,
    /// The seed.
    pub seed: u64,
    /// How many steps.
    pub steps: usize,
    /// Steps between restarts, on average; 0: none.
    pub restart_every: u64,
}

/// How a run went.
#[derive(Debug)]
pub struct Report {
    /// The steps, as they were taken.
    pub steps: Vec<Step>,
    /// The revision before each step.
    pub revisions: Vec<i64>,
    /// What nothing explains.
    pub differences: Vec<String>,
    /// How often each row of the table explained a difference.
    pub explained: BTreeMap<&'static str, usize>,
    /// Requests that were refused.
    pub refused: usize,
    /// What was met, and how often.
    pub seen: BTreeMap<String, usize>,
    /// The newest revision.
    pub revision: i64,
}

fn report(contest: Contest, taken: Vec<(Step, i64)>) -> Report {
    let (steps, revisions) = taken.into_iter().unzip();
    Report {
        steps,
        revisions,
        differences: contest.differences,
        explained: contest.explained,
        refused: contest.refused,
        seen: contest.seen,
        revision: contest.known.revision,
    }
}

/// Runs a plan. `Ok(None)` when a server is not on this machine.
///
/// # Errors
/// When a server does not start.
pub async fn run(plan: &Plan) -> io::Result<Option<Report>> {
    let Some(mut contest) = Contest::start(&plan.entrants).await? else {
        return Ok(None);
    };
    let old_peer = plan.entrants.iter().any(Entrant::is_etcd);
    let mut script = Script::new(plan.seed, old_peer, plan.restart_every);
    let mut taken = Vec::new();
    while taken.len() < plan.steps && !contest.is_over() {
        let mut next = vec![script.next(contest.known)];
        if contest.watched.len() > WATCHES_MAX {
            let all = contest.watched.keys().step_by(2);
            next.extend(all.map(|(stream, id)| Step::Cancel(*stream, *id)));
        }
        for step in next {
            let before = contest.known.revision;
            contest.step(&step).await;
            taken.push((step, before));
        }
    }
    let mut last = script.last_steps(contest.known);
    last.reverse();
    while let Some(step) = last.pop().filter(|_| !contest.is_over()) {
        let before = contest.known.revision;
        contest.step(&step).await;
        taken.push((step, before));
    }
    Ok(Some(report(contest, taken)))
}

/// Runs given steps until the first difference.
///
/// # Errors
/// When a server does not start.
pub async fn replay(entrants: &[Entrant], steps: &[Step]) -> io::Result<Option<Report>> {
    let Some(mut contest) = Contest::start(entrants).await? else {
        return Ok(None);
    };
    let mut taken = Vec::new();
    for step in steps {
        let before = contest.known.revision;
        contest.step(step).await;
        taken.push((step.clone(), before));
        if !contest.differences.is_empty() {
            break;
        }
    }
    if contest.differences.is_empty() && !contest.lost {
        contest.step(&Step::Settle).await;
    }
    Ok(Some(report(contest, taken)))
}

/// Leaves out steps for as long as the rest still fails, in at most `tries` runs and about `limit`
/// of time. Gives the last run that failed.
pub async fn shrink(entrants: &[Entrant], failed: Report, tries: usize, limit: Duration) -> Report {
    let end = Instant::now() + limit;
    let mut best = failed;
    let mut tries_left = tries;
    let mut part = best.steps.len().div_ceil(2);
    while part > 0 && tries_left > 0 && Instant::now() < end {
        let mut from = 0;
        let mut smaller = false;
        while from < best.steps.len() && tries_left > 0 && Instant::now() < end {
            let to = (from + part).min(best.steps.len());
            let Some(rest) = without(&best, from, to) else {
                from = to;
                continue;
            };
            tries_left -= 1;
            match replay(entrants, &rest).await {
                // It ends at the difference, so what came behind is gone, too.
                Ok(Some(report)) if !report.differences.is_empty() => {
                    best = report;
                    smaller = true;
                }
                // A server that did not start proves nothing either.
                _ => from = to,
            }
        }
        if part == 1 && !smaller {
            break;
        }
        part = if part > 1 { part / 2 } else { 1 };
    }
    best
}

/// The steps without those from `from` to `to`. Revisions that later steps name stay right, as
/// others are put in their place. None when there is nothing to leave out.
fn without(report: &Report, from: usize, to: usize) -> Option<Vec<Step>> {
    let is_pad = |step: &Step| matches!(step, Step::Pad(_));
    if report.steps[from..to].iter().all(is_pad) {
        return None;
    }
    let mut rest: Vec<Step> = report.steps[..from].to_vec();
    if let Some(&revision) = report.revisions.get(to)
        && report.revisions[from] < revision
    {
        while rest.last().is_some_and(is_pad) {
            rest.pop();
        }
        rest.push(Step::Pad(revision));
    }
    rest.extend_from_slice(&report.steps[to..]);
    Some(rest)
}

/// How a report reads: what differs, and the steps that show it.
#[must_use]
pub fn told(report: &Report) -> String {
    let mut out = String::new();
    for difference in report.differences.iter().take(3) {
        out.push_str(&format!("{difference}\n"));
    }
    out.push_str("the script (cargo run -p tests --bin differ -- --script FILE):\n");
    for step in &report.steps {
        // Reads change nothing, but may be what differs: only the last one counts.
        let is_read = matches!(step, Step::Call(Call::Range(_)));
        if !is_read || report.steps.last() == Some(step) {
            out.push_str(&format!("{step}\n"));
        }
    }
    out
}
