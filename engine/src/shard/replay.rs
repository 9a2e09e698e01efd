//! What recovery reads back from the logs, and the settled prefix of it by rule 7 of the design:
//! revision r + 1 is present when all its parts, of one epoch not older than r's, are there;
//! anything else found at r + 1 is void, and what lies past the first hole never happened.

use std::collections::BTreeMap;

use crate::format::effects::{Change, Meta, Record};

/// What one shard's log holds after the checkpoint.
#[derive(Debug, Default)]
pub struct Replay {
    /// The checkpoint's revision: effects at or below it are skipped.
    floor: i64,
    /// Parts by revision, epoch and number.
    parts: BTreeMap<(i64, u64, u32), Found>,
    /// Changes without a revision, in log order.
    metas: Vec<(u64, i64, Meta)>,
}

#[derive(Debug)]
struct Found {
    parts: u32,
    changes: Vec<Change>,
}

/// A part that was found, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Its revision.
    pub revision: i64,
    /// The epoch it was written in.
    pub epoch: u64,
    /// Its number.
    pub part: u32,
    /// Parts in all.
    pub parts: u32,
}

/// The prefix that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// Its end.
    pub settled: i64,
    /// The epoch of its last revision.
    pub epoch: u64,
    /// The epoch of each revision after the checkpoint, as runs: the first revision of a run and
    /// its epoch, ascending.
    pub runs: Vec<(i64, u64)>,
}

impl Prefix {
    /// The epoch of a revision in the prefix.
    fn epoch_of(&self, revision: i64) -> Option<u64> {
        let after = self.runs.partition_point(|(first, _)| *first <= revision);
        after.checked_sub(1).map(|run| self.runs[run].1)
    }
}

impl Replay {
    /// A replay after a checkpoint of revision `floor`.
    pub fn new(floor: i64) -> Self {
        Self {
            floor,
            ..Self::default()
        }
    }

    /// Takes in a committed record.
    pub fn take(&mut self, epoch: u64, record: Record) {
        match record {
            Record::Changes {
                revision,
                part,
                parts,
                changes,
            } if revision > self.floor => {
                self.parts
                    .insert((revision, epoch, part), Found { parts, changes });
            }
            Record::Meta { after, meta } => self.metas.push((epoch, after, meta)),
            Record::Changes { .. } | Record::Fence { .. } => {}
        }
    }

    /// What was found, ascending.
    pub fn seen(&self) -> Vec<Seen> {
        let seen = |(key, found): (&(i64, u64, u32), &Found)| Seen {
            revision: key.0,
            epoch: key.1,
            part: key.2,
            parts: found.parts,
        };
        self.parts.iter().map(seen).collect()
    }

    /// The changes without a revision that exist, in log order: those whose `after` is settled,
    /// and was not given to another write by a later principal.
    pub fn take_metas(&mut self, prefix: &Prefix) -> Vec<Meta> {
        let exists = |(epoch, after, meta): (u64, i64, Meta)| {
            let same = prefix.epoch_of(after).is_none_or(|at| at <= epoch);
            (after <= prefix.settled && same).then_some(meta)
        };
        std::mem::take(&mut self.metas)
            .into_iter()
            .filter_map(exists)
            .collect()
    }

    /// The changes that exist, by revision and part, to be staged in this order.
    pub fn into_changes(self, prefix: &Prefix) -> impl Iterator<Item = (i64, Vec<Change>)> {
        let prefix = prefix.clone();
        self.parts
            .into_iter()
            .filter_map(move |((revision, epoch, _), found)| {
                (revision <= prefix.settled && prefix.epoch_of(revision) == Some(epoch))
                    .then_some((revision, found.changes))
            })
    }
}

/// Finds the settled prefix in what all shards saw, after a checkpoint of revision `floor` and
/// epoch `epoch`.
pub fn settle(seen: impl IntoIterator<Item = Seen>, floor: i64, epoch: u64) -> Prefix {
    let mut whole: BTreeMap<i64, BTreeMap<u64, (u32, u32)>> = BTreeMap::new();
    for part in seen {
        let epochs = whole.entry(part.revision).or_default();
        let (_, count) = epochs.entry(part.epoch).or_insert((part.parts, 0));
        *count += 1;
    }
    let mut prefix = Prefix {
        settled: floor,
        epoch,
        runs: Vec::new(),
    };
    while let Some(epochs) = whole.get(&(prefix.settled + 1)) {
        let present = epochs
            .iter()
            .find(|(at, (parts, count))| **at >= prefix.epoch && parts == count)
            .map(|(at, _)| *at);
        let Some(at) = present else { break };
        prefix.settled += 1;
        if prefix.runs.last().is_none_or(|(_, last)| *last != at) {
            prefix.runs.push((prefix.settled, at));
        }
        prefix.epoch = at;
    }
    prefix
}

#[cfg(test)]
mod tests;
