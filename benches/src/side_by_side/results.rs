//! Samples of all rounds into medians, ratios and bars.

use std::collections::BTreeMap;

use serde::Serialize;

use super::disk::Disk;
use super::sample::{Figure, Sample};
use super::workload::{ALL, Bar, Workload};

/// The median of a figure over the rounds, and the rounds with the least and the most of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub lowest: f64,
    /// The most.
    pub highest: f64,
}

impl Spread {
    /// Of some numbers; none of none. What is no number is left out.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut all: Vec<f64> = numbers.into_iter().filter(|n| n.is_finite()).collect();
        all.sort_by(f64::total_cmp);
        let (lowest, highest) = (*all.first()?, *all.last()?);
        let middle = all.len() / 2;
        let median = if all.len() % 2 == 1 {
            all[middle]
        } else {
            f64::midpoint(all[middle - 1], all[middle])
        };
        Some(Spread {
            median,
            lowest,
            highest,
        })
    }
}

/// What one round gave: of each side (0 is Stoa), where it came so far.
pub type Round = [Option<Sample>; 2];

/// All samples of a run.
#[derive(Debug, Default)]
pub struct Results {
    rounds: BTreeMap<(Disk, usize), Vec<Round>>,
}

/// All rounds of one workload on one kind of disk.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// The kind of disk.
    pub disk: Disk,
    /// The workload.
    pub workload: &'static Workload,
    /// The rounds in their order.
    pub rounds: &'a [Round],
}

/// How a bar was met.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// The bar.
    pub bar: Bar,
    /// The ratios of the rounds.
    pub ratio: Option<Spread>,
    /// Whether their median passes; a ratio that could not be formed does not.
    pub is_reached: bool,
}

impl Results {
    /// Adds what one load gave on one side in a round, counted from 0.
    ///
    /// # Panics
    /// For a workload that is none of [`ALL`]: a mistake in the caller.
    pub fn add(&mut self, at: (Disk, &Workload), round: usize, side: usize, sample: Sample) {
        let (disk, workload) = at;
        let number = ALL.iter().position(|w| w.name == workload.name);
        let number = number.expect("only workloads of the list are measured");
        let rounds = self.rounds.entry((disk, number)).or_default();
        rounds.resize(rounds.len().max(round + 1), [None, None]);
        rounds[round][side] = Some(sample);
    }

    /// All that was measured on `disk`, in the order of the workloads.
    pub fn on(&self, disk: Disk) -> impl Iterator<Item = Measured<'_>> {
        let of_disk = self.rounds.iter().filter(move |((d, _), _)| *d == disk);
        of_disk.map(move |((_, number), rounds)| Measured {
            disk,
            workload: &ALL[*number],
            rounds,
        })
    }

    /// Whether nothing was measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }
}

impl Measured<'_> {
    /// A figure of one side over all its rounds.
    #[must_use]
    pub fn side(&self, side: usize, figure: Figure) -> Option<Spread> {
        let samples = self.rounds.iter().filter_map(|round| round[side].as_ref());
        Spread::of(samples.filter_map(|sample| figure.of(sample)))
    }

    /// Stoa's by etcd's, round by round: what a machine does to both in a round cancels out.
    #[must_use]
    pub fn ratio(&self, figure: Figure) -> Option<Spread> {
        let of = |sample: &Option<Sample>| figure.of(sample.as_ref()?);
        let ratio = |round: &Round| Some(of(&round[0])? / of(&round[1])?);
        Spread::of(self.rounds.iter().filter_map(ratio))
    }

    /// How the bars on this kind of disk were met.
    pub fn judged(&self) -> impl Iterator<Item = Judged> + '_ {
        self.workload.bars_on(self.disk).map(|bar| {
            let ratio = self.ratio(bar.1);
            let passes = |ratio: Spread| {
                if bar.1.is_more_better() {
                    ratio.median >= bar.2
                } else {
                    ratio.median <= bar.2
                }
            };
            Judged {
                bar,
                ratio,
                is_reached: ratio.is_some_and(passes),
            }
        })
    }
}

#[cfg(test)]
mod tests;
