//! One disk, measured and judged: everything that a report shows.

use super::advice::{self, Advice};
use super::case::Pattern;
use super::findings::{self, Finding, Gravity};
use super::results::Results;
use super::stalls::{self, Stalls};
use super::timeouts::{self, Timeouts};
use super::verdict::{self, Class, Judgement};

/// A disk and what to think of it.
#[derive(Debug)]
pub struct Judged {
    /// What was measured.
    pub results: Results,
    /// By etcd's needs.
    pub etcd: Option<Judgement>,
    /// By Stoa's.
    pub stoa: Option<Judgement>,
    /// What is suspicious.
    pub findings: Vec<Finding>,
    /// Stalls of single writes.
    pub stalls: Stalls,
    /// Timeouts for its tail.
    pub timeouts: Option<Timeouts>,
    /// The profile to use.
    pub advice: Option<Advice>,
}

impl Judged {
    /// Judges.
    #[must_use]
    pub fn new(results: Results) -> Judged {
        let stalls = stalls::find(&results.measurements);
        let tail = results.tail(&[Pattern::Etcd, Pattern::Wal]);
        let timeouts = tail.map(|(p999, longest)| timeouts::derive(p999, longest));
        Judged {
            etcd: verdict::by_etcd(&results),
            stoa: verdict::by_stoa(&results),
            findings: findings::find(&results, &stalls),
            timeouts,
            advice: advice::advise(&results, timeouts),
            stalls,
            results,
        }
    }

    /// The class: what both servers' needs allow, and unfit if what it acknowledges may be lost.
    /// `None` if nothing can be said: one bad number condemns a disk at any time, but a run that
    /// was ended before all were measured praises none.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        let is_unfit = |finding: &Finding| finding.gravity == Gravity::Unfit;
        if self.findings.iter().any(is_unfit) {
            return Some(Class::Unfit);
        }
        let judged = self.etcd.iter().chain(&self.stoa);
        let class = judged.map(|judgement| judgement.class).min()?;
        let is_known = class == Class::Unfit || !self.results.is_partial || self.has_all();
        is_known.then_some(class)
    }

    /// Whether every number that a class rests on was measured.
    fn has_all(&self) -> bool {
        let has_all = |judgement: &Judgement| judgement.missing.is_empty();
        self.etcd.as_ref().is_some_and(has_all) && self.stoa.as_ref().is_some_and(has_all)
    }

    /// Why the class is no better, in words, and what it leaves out of account.
    #[must_use]
    pub fn reason(&self) -> String {
        let weakest = self.weakest();
        match self.class() {
            Some(_) if !self.has_all() => {
                format!("{weakest}; judged without what could not be measured here")
            }
            _ => weakest,
        }
    }

    fn weakest(&self) -> String {
        let loss = self
            .findings
            .iter()
            .find(|finding| finding.gravity == Gravity::Unfit);
        if let Some(finding) = loss {
            return finding.text.clone();
        }
        if self.class().is_none() {
            return "too little was measured for a verdict".to_owned();
        }
        let judged = self.etcd.iter().map(|one| ("etcd", one));
        let judged = judged.chain(self.stoa.iter().map(|one| ("Stoa", one)));
        let numbers = judged.flat_map(|(server, one)| one.numbers.iter().map(move |n| (server, n)));
        let Some((server, number)) = numbers.min_by_key(|(_, number)| number.class) else {
            return "too little was measured for a verdict".to_owned();
        };
        let (what, measured, unit) = (number.what, number.measured, number.unit);
        let better = [Class::Small, Class::Medium, Class::Large, Class::Xlarge];
        let next = better
            .iter()
            .zip(number.needed)
            .find(|(class, _)| **class > number.class);
        let Some((next, needed)) = next else {
            return format!("no number is too low, {what} ({server}) being {measured:.0} {unit}");
        };
        let bound = if number.is_limit {
            "at most"
        } else {
            "at least"
        };
        format!(
            "{what} ({server}) is {measured:.1} {unit}, and {} cluster needs {bound} \
             {needed:.0}",
            next.with_article()
        )
    }
}
