//! For how large a cluster a disk may carry the log: by what etcd's operators go by, and by what
//! Stoa needs. Every class is granted or refused on a number that was measured.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::case::{Case, Pattern};
use super::measure::Measurement;
use super::plan::GROUPED;
use super::results::Results;

/// The class of a disk: the largest cluster in the sizes of etcd's hardware guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// It may not carry a log.
    Unfit,
    /// Up to 100 clients and 200 requests a second; 50 nodes of Kubernetes.
    Small,
    /// Up to 500 clients and 1,000 requests a second; 250 nodes.
    Medium,
    /// Up to 1,500 clients and 10,000 requests a second; 1,000 nodes.
    Large,
    /// More than that; 3,000 nodes.
    Xlarge,
}

impl Class {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Class::Unfit => "unfit",
            Class::Small => "small",
            Class::Medium => "medium",
            Class::Large => "large",
            Class::Xlarge => "xlarge",
        }
    }

    /// Its name with the article before it.
    #[must_use]
    pub fn with_article(self) -> &'static str {
        match self {
            Class::Unfit => "an unfit",
            Class::Small => "a small",
            Class::Medium => "a medium",
            Class::Large => "a large",
            Class::Xlarge => "an xlarge",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A number that classes rest on.
#[derive(Clone, Debug, Serialize)]
pub struct Number {
    /// What was measured.
    pub what: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What came out.
    pub measured: f64,
    /// What it takes for small, medium, large and xlarge.
    pub needed: [f64; 4],
    /// Whether more is worse.
    pub is_limit: bool,
    /// The largest class that it allows.
    pub class: Class,
}

/// By one server's needs.
#[derive(Clone, Debug, Serialize)]
pub struct Judgement {
    /// The least class of all numbers.
    pub class: Class,
    /// The numbers that were measured.
    pub numbers: Vec<Number>,
    /// What was not measured, so that nothing is known of it.
    pub missing: Vec<&'static str>,
    /// Commits a second of a single client that waits for each.
    pub commits_alone: f64,
    /// Commits a second of many clients that share syncs.
    pub commits_grouped: f64,
}

/// A row of needs.
struct Need {
    what: &'static str,
    unit: &'static str,
    needed: [f64; 4],
    is_limit: bool,
    measured: Option<f64>,
}

impl Need {
    fn least(what: &'static str, unit: &'static str, needed: [f64; 4]) -> Need {
        Need {
            what,
            unit,
            needed,
            is_limit: false,
            measured: None,
        }
    }

    fn most(what: &'static str, unit: &'static str, needed: [f64; 4]) -> Need {
        let is_limit = true;
        Need {
            is_limit,
            ..Need::least(what, unit, needed)
        }
    }

    fn is(self, measured: Option<f64>) -> Need {
        Need { measured, ..self }
    }

    fn judged(self) -> Option<Number> {
        let measured = self.measured?;
        let classes = [Class::Small, Class::Medium, Class::Large, Class::Xlarge];
        let meets = |need: f64| match self.is_limit {
            true => measured <= need,
            false => measured >= need,
        };
        let met = self.needed.iter().take_while(|need| meets(**need)).count();
        let class = met
            .checked_sub(1)
            .map_or(Class::Unfit, |last| classes[last]);
        Some(Number {
            what: self.what,
            unit: self.unit,
            measured,
            needed: self.needed,
            is_limit: self.is_limit,
            class,
        })
    }
}

/// Judged by etcd's rules: 50 synced writes a second for any cluster and 500 for a busy one, 99 of
/// 100 syncs of the log within 10 ms, 99 of 100 within 25 ms while its database is written (its
/// bound for a commit of that), 10 or 100 MB/s for a member that catches up; and twice the requests
/// of the class, since no disk should be run at its limit.
///
/// `None` if too little was measured.
#[must_use]
pub fn by_etcd(results: &Results) -> Option<Judgement> {
    let alone = results.alone(Pattern::Etcd)?;
    let grouped = results.get(Case::new(Pattern::Etcd).depth(GROUPED));
    let beside = results.get(Case::new(Pattern::Etcd).with_background());
    let plain = results.alone(Pattern::OverwriteFdatasync);
    let stream = Case::new(Pattern::SequentialWrite)
        .block(128 << 10)
        .depth(8);
    let stream = results.get(stream);
    let needs = [
        Need::least(
            "synced writes, one at a time",
            "1/s",
            [50.0, 50.0, 500.0, 500.0],
        )
        .is(slower(plain, Some(alone)).map(Measurement::per_second)),
        Need::most("sync of the log, p99", "ms", [10.0; 4]).is(p99(Some(alone))),
        Need::most("sync beside a checkpoint, p99", "ms", [25.0; 4]).is(p99(beside)),
        Need::least("commits of 64 clients", "1/s", [400.0, 2e3, 2e4, 4e4])
            .is(grouped.map(Measurement::per_second)),
        Need::least("writes in order", "MB/s", [10.0, 10.0, 100.0, 100.0])
            .is(stream.map(megabytes)),
    ];
    judgement(needs, alone, grouped)
}

/// Judged by Stoa's: it shares syncs and does not wait for a database, so it needs fewer of them,
/// but what a client waits for is the tail.
///
/// `None` if too little was measured.
#[must_use]
pub fn by_stoa(results: &Results) -> Option<Judgement> {
    let alone = results.alone(Pattern::Wal)?;
    let grouped = results.get(Case::new(Pattern::Wal).depth(GROUPED));
    let beside = results.get(Case::new(Pattern::Wal).with_background());
    let needs = [
        Need::least("commits of one client", "1/s", [25.0, 50.0, 250.0, 500.0])
            .is(Some(alone.per_second())),
        Need::most("commit, p99", "ms", [50.0, 25.0, 10.0, 5.0]).is(p99(Some(alone))),
        Need::most(
            "commit beside a checkpoint, p99",
            "ms",
            [100.0, 50.0, 25.0, 10.0],
        )
        .is(p99(beside)),
        Need::least("commits of 64 clients", "1/s", [400.0, 2e3, 2e4, 4e4])
            .is(grouped.map(Measurement::per_second)),
    ];
    judgement(needs, alone, grouped)
}

fn judgement<const N: usize>(
    needs: [Need; N],
    alone: &Measurement,
    grouped: Option<&Measurement>,
) -> Option<Judgement> {
    let is_missing = |need: &&Need| need.measured.is_none();
    let missing = needs
        .iter()
        .filter(is_missing)
        .map(|need| need.what)
        .collect();
    let numbers: Vec<Number> = needs.into_iter().filter_map(Need::judged).collect();
    Some(Judgement {
        class: numbers.iter().map(|number| number.class).min()?,
        numbers,
        missing,
        commits_alone: alone.per_second(),
        commits_grouped: grouped.map_or(0.0, Measurement::per_second),
    })
}

fn slower<'a>(
    one: Option<&'a Measurement>,
    other: Option<&'a Measurement>,
) -> Option<&'a Measurement> {
    let both = one.into_iter().chain(other);
    both.min_by(|a, b| a.per_second().total_cmp(&b.per_second()))
}

fn p99(measured: Option<&Measurement>) -> Option<f64> {
    measured.map(|measured| milliseconds(measured.quantile(0.99)))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn megabytes(measured: &Measurement) -> f64 {
    measured.per_second() * measured.case.block_bytes as f64 / 1e6
}

#[cfg(test)]
mod tests;
