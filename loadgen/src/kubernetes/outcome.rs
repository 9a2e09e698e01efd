//! What a measured phase came to, and whether the objectives held.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::apiserver::Past;
use super::check::Checked;
use super::model::{Model, Resource, Verb};
use super::record::{Kind, Record, Second};
use crate::measured::{self, Errors};
use crate::server_process::{Usage, Watcher};

/// Limits of 99th percentiles.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Writes, and reads of one object.
    pub write: Duration,
    /// Lists, and reads that wait for a cache.
    pub list: Duration,
    /// From acknowledgement to event.
    pub lag: Duration,
}

/// One objective.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Objective {
    /// What it is about.
    pub name: String,
    /// What is allowed, in `unit`.
    pub limit: f64,
    /// What was measured.
    pub measured: f64,
    /// `ms` or nothing, for a number of things.
    pub unit: &'static str,
    /// Whether it held.
    pub held: bool,
}

/// A measured phase.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was played.
    pub model: Model,
    /// How long, seconds.
    pub seconds: f64,
    /// Latencies, nanoseconds.
    pub latencies: BTreeMap<(Kind, Resource), Histogram<u64>>,
    /// How late this program was, nanoseconds.
    pub lateness: Histogram<u64>,
    /// Failed calls by the name of their code, with the last message.
    pub errors: Errors,
    /// Calls made.
    pub operations: u64,
    /// What was not done in its time.
    pub missed: u64,
    /// Conditions that did not hold.
    pub conflicts: u64,
    /// Acknowledged writes that the server no longer knew.
    pub lost: u64,
    /// Objects that lists brought.
    pub listed: u64,
    /// Lists that were not whole in the end and count with the time they had taken.
    pub unfinished: u64,
    /// Second by second.
    pub timeline: Vec<Second>,
    /// What servers on this machine took.
    pub server: Option<Usage>,
    /// Processor time of this program, microseconds.
    pub own_us: u64,
    /// What was asked for and whether it held.
    pub objectives: Vec<Objective>,
}

/// All that a run found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The phases in their order; one but for a search.
    pub phases: Vec<Outcome>,
    /// The phase that is shown in full.
    pub shown: usize,
    /// The caches in the end.
    pub caches: Vec<Checked>,
    /// Why they could not be held against lists, if so.
    pub unchecked: Option<String>,
    /// What each apiserver's caches did, and its compactions.
    pub apiservers: Vec<(Past, u64)>,
    /// The server's version.
    pub version: String,
    /// Whether requested progress was used.
    pub has_progress: bool,
    /// Seconds that the making of the objects took.
    pub fill_seconds: f64,
    /// Whether it was told to end early.
    pub is_cut: bool,
}

impl Found {
    /// The phase that is shown in full.
    pub fn phase(&self) -> Option<&Outcome> {
        self.phases.get(self.shown)
    }

    /// The most nodes for which the objectives held.
    pub fn nodes_held(&self) -> usize {
        let held = self.phases.iter().filter(|phase| phase.is_held());
        held.map(|phase| phase.model.nodes).max().unwrap_or(0)
    }

    /// Whether the objectives held, and that nothing was lost is known.
    pub fn is_held(&self) -> bool {
        self.nodes_held() > 0 && self.unchecked.is_none()
    }

    /// Events that did not follow from what a cache had.
    pub fn gaps(&self) -> u64 {
        self.apiservers.iter().map(|(past, _)| past.gaps).sum()
    }

    /// Whether the server broke a promise.
    pub fn is_wrong(&self) -> bool {
        let lost: u64 = self.phases.iter().map(|phase| phase.lost).sum();
        lost > 0 || self.gaps() > 0 || self.caches.iter().any(|cache| !cache.equal)
    }
}

impl Outcome {
    /// Reads a record.
    pub fn of(
        record: &Record,
        watcher: &Watcher,
        model: Model,
        seconds: f64,
        limits: Limits,
    ) -> Outcome {
        let mut outcome = Outcome {
            model,
            seconds: seconds.max(1e-3),
            latencies: record.latencies.borrow().clone(),
            lateness: record.lateness.borrow().clone(),
            errors: record.errors.borrow().clone(),
            operations: record.operations.get(),
            missed: record.missed.get(),
            conflicts: record.conflicts.get(),
            lost: record.lost.get(),
            listed: record.listed.get(),
            unfinished: record.unfinished.get(),
            timeline: record.seconds.borrow().clone(),
            server: watcher.servers(),
            own_us: watcher.own_us(),
            objectives: Vec::new(),
        };
        outcome.objectives = outcome.judge(limits);
        outcome
    }

    /// All latencies of some kinds.
    pub fn all_of(&self, wanted: impl Fn(Kind) -> bool) -> Histogram<u64> {
        let all = self.latencies.iter();
        measured::sum(all.filter(|((kind, _), _)| wanted(*kind)).map(|(_, h)| h))
    }

    /// Writes acknowledged.
    pub fn writes(&self) -> u64 {
        self.all_of(|kind| matches!(kind, Kind::Write(_))).len()
    }

    /// Writes a second of a kind.
    pub fn rate(&self, resource: Resource, verb: Verb) -> f64 {
        let of_kind = self.latencies.get(&(Kind::Write(verb), resource));
        of_kind.map_or(0, Histogram::len) as f64 / self.seconds
    }

    /// Failed calls.
    pub fn errors_total(&self) -> u64 {
        measured::errors_total(&self.errors)
    }

    /// Whether all objectives held, and anything was written at all.
    pub fn is_held(&self) -> bool {
        self.writes() > 0 && self.objectives.iter().all(|objective| objective.held)
    }

    fn judge(&self, limits: Limits) -> Vec<Objective> {
        let mut objectives = Vec::new();
        for ((kind, resource), latencies) in &self.latencies {
            let limit = match kind {
                Kind::Write(_) | Kind::Get => limits.write,
                Kind::List | Kind::Count | Kind::Fresh => limits.list,
                Kind::Lag => limits.lag,
            };
            let ms = |nanos: f64| nanos / 1e6;
            let measured = ms(latencies.value_at_quantile(0.99) as f64);
            let limit = ms(limit.as_nanos() as f64);
            objectives.push(Objective {
                name: format!("{} of {resource}, p99", kind.name()),
                limit,
                measured,
                unit: "ms",
                held: measured <= limit,
            });
        }
        for (name, count) in [
            ("failed calls", self.errors_total()),
            ("writes that were not done in time", self.missed),
            ("acknowledged writes that were lost", self.lost),
        ] {
            objectives.push(Objective {
                name: name.to_owned(),
                limit: 0.0,
                measured: count as f64,
                unit: "",
                held: count == 0,
            });
        }
        objectives
    }
}
