//! Checking what must always hold between the parts of an index. Called by tests and the
//! simulator, at any moment between two calls.

use super::Index;
use crate::ids::Revision;
use crate::mvcc::Value;
use crate::mvcc::lives::turns;

impl Index {
    /// Says what is wrong with the index, walking all of it.
    ///
    /// # Errors
    /// The first broken invariant, in words.
    pub fn check(&self) -> Result<(), String> {
        self.tree.check(&self.slab)?;
        let counts = self.tree.counts();
        if counts.keys != self.slab.len() as u64 {
            return Err(format!(
                "{} keys in the tree, {} entries",
                counts.keys,
                self.slab.len()
            ));
        }
        self.check_entries()?;
        self.check_history()?;
        self.check_lives()?;
        if self
            .staging
            .changes
            .iter()
            .any(|change| change.revision() > self.newest)
        {
            return Err("a staged change above the newest revision".into());
        }
        Ok(())
    }

    fn check_entries(&self) -> Result<(), String> {
        let mut versions = 0;
        let mut staged = 0;
        let mut key_bytes = 0;
        let mut wrong = None;
        self.seek(None, |key, all| {
            key_bytes += key.len() as u64;
            versions += all.len() as u64;
            if all.is_empty() || !all.is_sorted_by(|a, b| a.revision < b.revision) {
                wrong = Some(format!("versions of {} do not rise", key.escape_ascii()));
            }
            for version in all {
                if let Value::Staged(bytes) = &version.value {
                    staged += bytes.len() as u64;
                    if !self.is_listed_as_staged(version.revision) {
                        wrong = Some(format!("{:?} is not listed as staged", version.revision));
                    }
                }
                if version.revision.main >= self.compacted && !self.is_listed(version.revision) {
                    wrong = Some(format!("{:?} is not in the history", version.revision));
                }
            }
            std::ops::ControlFlow::Continue(())
        });
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let books = [
            ("versions", versions, self.versions),
            ("staged bytes", staged, self.staging.bytes),
            ("key bytes", key_bytes, self.key_bytes),
        ];
        match books.iter().find(|(_, found, noted)| found != noted) {
            Some((what, found, noted)) => Err(format!("{found} {what}, {noted} noted")),
            None => Ok(()),
        }
    }

    /// Births and deaths are those that the versions tell of.
    fn check_lives(&self) -> Result<(), String> {
        let (mut born, mut died) = (Vec::new(), Vec::new());
        self.seek(None, |_, all| {
            for (revision, is_birth) in turns(all) {
                if revision.main > self.compacted {
                    let list = if is_birth { &mut born } else { &mut died };
                    list.push(revision);
                }
            }
            std::ops::ControlFlow::Continue(())
        });
        let born_noted = self.lives.born_above(self.compacted);
        let died_noted = self.lives.died_above(self.compacted);
        let noted = [
            (
                "births",
                &mut born,
                born_noted.map(|c| c.revision()).collect::<Vec<_>>(),
            ),
            (
                "deaths",
                &mut died,
                died_noted.map(|c| c.revision()).collect(),
            ),
        ];
        for (what, found, noted) in noted {
            found.sort_unstable();
            if *found != noted {
                return Err(format!("{what} are {found:?}, {noted:?} noted"));
            }
        }
        Ok(())
    }

    fn check_history(&self) -> Result<(), String> {
        let mut last = Revision::default();
        for change in self.history.iter_from(0) {
            if change.revision() <= last {
                return Err(format!("the history falls at {:?}", change.revision()));
            }
            last = change.revision();
            let found = self.slab[change.id].version_of(change.revision());
            if found.is_none() && change.main > self.compacted {
                return Err(format!(
                    "the history names {:?}, which is gone",
                    change.revision()
                ));
            }
            if self.is_swept() && change.main < self.compacted {
                return Err(format!("{:?} was not swept", change.revision()));
            }
        }
        if last > self.newest {
            return Err("a change above the newest revision".into());
        }
        Ok(())
    }

    fn is_listed(&self, revision: Revision) -> bool {
        let found = self.history.get(self.history.seek(revision));
        found.is_some_and(|change| change.revision() == revision)
    }

    fn is_listed_as_staged(&self, revision: Revision) -> bool {
        self.staging
            .changes
            .binary_search_by_key(&revision, |c| c.revision())
            .is_ok()
    }
}
