//! What is measured in the time given: little but the essential in a few seconds, everything in a
//! minute. Each case gets its share; what is left out is said.

use std::time::Duration;

use super::case::{Case, Pattern};

/// From here on the essential cases are joined by sizes, depths and parallel logs.
const MORE: Duration = Duration::from_secs(20);
/// From here on every size is measured at every depth, and everything beside a checkpoint too.
const FULL: Duration = Duration::from_secs(45);
/// The share of the time that is measured in; the rest prepares files.
const MEASURED: f64 = 0.85;
/// Shortest time for one case: below it a slow disk is not measured but guessed.
const SHORTEST: Duration = Duration::from_millis(100);

/// The sync patterns that every size and depth is measured with.
const SYNCS: [Pattern; 4] = [
    Pattern::OverwriteFdatasync,
    Pattern::DirectDsync,
    Pattern::AppendFdatasync,
    Pattern::LinkedFsync,
];
const BLOCKS: [usize; 4] = [512, 4096, 16 << 10, 128 << 10];
const DEPTHS: [usize; 4] = [1, 2, 4, 8];

/// Clients that wait at once where commits are grouped.
pub const GROUPED: usize = 64;

/// The cases in their order, and what there was no time for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The cases, the essential ones first.
    pub cases: Vec<Case>,
    /// How many of them the verdict rests on: they come first and are always measured.
    pub essential: usize,
    /// Lines for people.
    pub left_out: Vec<String>,
    /// Time for one unit of weight.
    unit: Duration,
}

impl Plan {
    /// For so much time, and up to so many parallel logs.
    #[must_use]
    pub fn new(time: Duration, logs: usize) -> Plan {
        let mut cases = essential();
        let essential = cases.len();
        let mut left_out = Vec::new();
        if time >= MORE {
            cases.extend(more(logs));
        } else {
            left_out.push(format!(
                "block sizes but 4 KiB, parallel logs, reads and most depths (give {}s or more)",
                MORE.as_secs()
            ));
        }
        if time >= FULL {
            cases.extend(full());
            // All of it again beside a checkpoint: last, since no class rests on it.
            let quiet = cases.clone().into_iter();
            cases.extend(quiet.map(|case| case.weight(1).with_background()));
        } else {
            left_out.push(format!(
                "every size at every depth, and most beside a checkpoint (give {}s or more)",
                FULL.as_secs()
            ));
        }
        let mut distinct: Vec<Case> = Vec::new();
        for case in cases {
            if !distinct.iter().any(|known| known.is_same(&case)) {
                distinct.push(case);
            }
        }
        let weights: u32 = distinct.iter().map(|case| case.weight).sum();
        Plan {
            cases: distinct,
            essential,
            left_out,
            unit: time.mul_f64(MEASURED) / weights.max(1),
        }
    }

    /// How long a case is measured.
    #[must_use]
    pub fn time(&self, case: &Case) -> Duration {
        (self.unit * case.weight).max(SHORTEST)
    }
}

/// What the verdict, the profile and the findings rest on.
fn essential() -> Vec<Case> {
    let one = Case::new;
    let mut cases = vec![
        one(Pattern::OverwriteFdatasync).weight(6),
        one(Pattern::DirectDsync).weight(6),
        one(Pattern::Etcd).weight(6),
        one(Pattern::Etcd).depth(GROUPED).weight(4),
        one(Pattern::Wal).weight(6),
        one(Pattern::Wal).depth(GROUPED).weight(4),
        one(Pattern::WalWriteSync).weight(3),
        one(Pattern::AppendFdatasync).weight(4),
        one(Pattern::LinkedFsync).weight(3),
        one(Pattern::BufferedUnsynced).weight(1),
        one(Pattern::SequentialWrite).weight(2),
        one(Pattern::SequentialWrite)
            .block(128 << 10)
            .depth(8)
            .weight(2),
        one(Pattern::OverwriteFdatasync).depth(4).weight(3),
        one(Pattern::DirectDsync).depth(4).weight(3),
        one(Pattern::DirectDsync).logs(2).weight(2),
    ];
    let beside = [Pattern::Etcd, Pattern::Wal].map(|pattern| one(pattern).weight(8));
    cases.extend(beside.map(Case::with_background));
    cases
}

fn more(logs: usize) -> Vec<Case> {
    let one = Case::new;
    let mut cases = Vec::new();
    for pattern in SYNCS {
        cases.extend(DEPTHS.map(|depth| one(pattern).depth(depth).weight(2)));
        cases.extend(BLOCKS.map(|block| one(pattern).block(block).weight(2)));
        cases.push(one(pattern).weight(3).with_background());
    }
    cases.push(one(Pattern::OverwriteFdatasyncUring).weight(2));
    cases.push(one(Pattern::DirectDsyncPwrite).weight(2));
    for pattern in SYNCS {
        cases.extend((2..=logs).map(|logs| one(pattern).logs(logs)));
    }
    for clients in [8, 512] {
        cases.push(one(Pattern::Wal).depth(clients).weight(2));
    }
    cases.push(one(Pattern::Wal).depth(GROUPED).logs(2).weight(2));
    cases.push(one(Pattern::WalWriteSync).depth(GROUPED).weight(2));
    cases.push(one(Pattern::Wal).depth(GROUPED).weight(3).with_background());
    cases.push(
        one(Pattern::Etcd)
            .depth(GROUPED)
            .weight(3)
            .with_background(),
    );
    for pattern in [Pattern::RandomRead, Pattern::RandomWrite] {
        cases.extend([1, 8].map(|depth| one(pattern).depth(depth)));
    }
    let large = one(Pattern::SequentialRead).block(128 << 10);
    cases.extend([1, 8].map(|depth| large.depth(depth)));
    cases
}

fn full() -> Vec<Case> {
    let mut cases = Vec::new();
    for pattern in SYNCS {
        for block in BLOCKS {
            cases.extend(DEPTHS.map(|depth| Case::new(pattern).block(block).depth(depth)));
        }
    }
    cases
}

#[cfg(test)]
mod tests;
