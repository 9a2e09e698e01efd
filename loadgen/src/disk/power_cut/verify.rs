//! Checks that every promised record is there.

use std::fs::File;
use std::io;
use std::path::Path;

use super::record::{self, Medium, RECORD_BYTES, RunId, SLOTS};

/// Promised records that are not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Their numbers, in order.
    pub numbers: Vec<u64>,
    /// How many were looked at: older ones were written over by later ones.
    pub checked: u64,
    /// The last record found, promised or not; 0 if there is none.
    pub last: u64,
}

impl Lost {
    /// The file itself is gone.
    #[must_use]
    pub fn everything(promised: u64) -> Lost {
        let first = first_checked(promised);
        Lost {
            numbers: (first..=promised).collect(),
            checked: promised + 1 - first,
            last: 0,
        }
    }

    /// What it means.
    #[must_use]
    pub fn in_words(&self, run: RunId, promised: u64) -> String {
        let (Some(first), Some(last)) = (self.numbers.first(), self.numbers.last()) else {
            return format!(
                "run {run}: all of the last {} records up to the promised {promised} are there \
                 (the disk has them up to {})",
                self.checked, self.last
            );
        };
        format!(
            "run {run}: LOST: {} of {} promised records are not there, from {first} to {last}, \
             though each was synced before it was promised: the disk, or what lies before it, \
             lies about syncs, and no log may be on it",
            self.numbers.len(),
            self.checked
        )
    }
}

/// The oldest record that must still be there: the one under way at the cut may have damaged the
/// one before.
fn first_checked(promised: u64) -> u64 {
    (promised + 2).saturating_sub(SLOTS).max(1)
}

/// Looks for every record of `run` up to `promised`.
///
/// # Errors
/// When the medium cannot be read; what is missing or damaged is lost and no error.
pub fn check(medium: &mut impl Medium, run: RunId, promised: u64) -> io::Result<Lost> {
    let mut lost = Lost {
        numbers: Vec::new(),
        checked: 0,
        last: 0,
    };
    for number in first_checked(promised)..=promised {
        lost.checked += 1;
        match is_there(medium, run, number)? {
            true => lost.last = number,
            false => lost.numbers.push(number),
        }
    }
    // One more may have been durable without its promise being heard.
    if lost.last == promised && is_there(medium, run, promised + 1)? {
        lost.last += 1;
    }
    Ok(lost)
}

fn is_there(medium: &mut impl Medium, run: RunId, number: u64) -> io::Result<bool> {
    let mut bytes = vec![0; RECORD_BYTES];
    match medium.read(record::offset(number), &mut bytes) {
        Ok(()) => Ok(record::parse(&bytes) == Some((run, number))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The run of the first whole record in the file, if there is one.
pub(super) fn run_of(path: &Path) -> Option<RunId> {
    let mut file = File::open(path).ok()?;
    let mut bytes = vec![0; RECORD_BYTES];
    (0..SLOTS).find_map(|slot| {
        file.read(slot * RECORD_BYTES as u64, &mut bytes).ok()?;
        record::parse(&bytes).map(|(run, _)| run)
    })
}
