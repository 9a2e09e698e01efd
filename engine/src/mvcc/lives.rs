//! When keys of one shard came to be and ceased to be, in revision order. Counting in the past
//! reads it: most changes replace a value and change no count, and need not be looked at there.

use super::Version;
use super::history::{Change, History};
use crate::ids::Revision;

/// The births and deaths that compaction has not passed.
#[derive(Debug, Default)]
pub(super) struct Lives {
    born: History,
    died: History,
}

impl Lives {
    /// Of changes in any order.
    pub fn of(mut born: Vec<Change>, mut died: Vec<Change>) -> Self {
        let mut lives = Self::default();
        for (list, changes) in [(&mut lives.born, &mut born), (&mut lives.died, &mut died)] {
            changes.sort_unstable();
            changes.iter().for_each(|change| list.push(*change));
        }
        lives
    }

    /// Notes a change that began a key's life, or ended it; newer than all others.
    pub fn note(&mut self, change: Change, is_birth: bool) {
        match is_birth {
            true => self.born.push(change),
            false => self.died.push(change),
        }
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        self.born.memory_bytes() + self.died.memory_bytes()
    }

    /// Births and deaths above revision `rev`.
    pub fn len_above(&self, rev: i64) -> usize {
        let above = |list: &History| list.len() - list.seek(first_above(rev));
        above(&self.born) + above(&self.died)
    }

    /// Births above revision `rev`.
    pub fn born_above(&self, rev: i64) -> impl Iterator<Item = &Change> {
        self.born.iter_from(self.born.seek(first_above(rev)))
    }

    /// Deaths above revision `rev`.
    pub fn died_above(&self, rev: i64) -> impl Iterator<Item = &Change> {
        self.died.iter_from(self.died.seek(first_above(rev)))
    }

    /// Forgets what is above revision `rev`.
    pub fn drop_above(&mut self, rev: i64) {
        for list in [&mut self.born, &mut self.died] {
            while list.back().is_some_and(|change| change.main > rev) {
                list.pop_back();
            }
        }
    }

    /// Forgets what is not above revision `rev`: nobody counts below it any more.
    pub fn drop_through(&mut self, rev: i64) {
        for list in [&mut self.born, &mut self.died] {
            while list.front().is_some_and(|change| change.main <= rev) {
                list.pop_front();
            }
        }
    }
}

/// Which of a key's versions, oldest first, began a life (true) or ended one.
pub(super) fn turns(versions: &[Version]) -> impl Iterator<Item = (Revision, bool)> {
    let mut alive = false;
    versions.iter().filter_map(move |version| {
        let was_alive = std::mem::replace(&mut alive, !version.is_delete());
        (alive != was_alive).then_some((version.revision, alive))
    })
}

fn first_above(rev: i64) -> Revision {
    Revision::new(rev.saturating_add(1), 0)
}
