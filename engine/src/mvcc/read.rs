//! Ranges of one shard as runs of encoded entries, and the merging of several shards' runs. The
//! shard reads a run, the core that asked merges them, and the bytes go to the socket as
//! `RangeResponse.kvs` without being looked at again.
//!
//! Values that are not in memory are named, loaded by the caller, and the reader goes on where it
//! stopped: at a revision nothing that it has read can change.

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::{Index, Key, PageId, PageSlot, Value, Version};
use crate::error::Error;
use crate::format::kv_wire::KvFields;
use crate::keys::KeyRange;

mod merge;

pub use merge::merge;

/// Pages that are looked for ahead of the first one that is missing.
const PAGES_AHEAD: usize = 64;

/// Keys that are looked at in search of them.
const KEYS_AHEAD: usize = 4096;

/// Entries after which the size of the whole run is guessed.
const SAMPLE: usize = 16;

/// Entries that are found before the first of them is written. Their values lie anywhere in
/// memory: touched together, their cache misses overlap.
const TOGETHER: usize = 16;

/// Bytes of a line of memory.
const LINE_BYTES: usize = 64;

/// Entries in key order, each encoded as field 2 of etcd's `RangeResponse`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The entries, one after the other.
    pub bytes: Vec<u8>,
    /// Where each entry ends.
    pub ends: Vec<usize>,
    /// Whether the limit left keys out.
    pub more: bool,
}

impl Run {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Entry `place`, with its tag and length.
    pub fn entry(&self, place: usize) -> Option<&[u8]> {
        let start = match place.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start..*self.ends.get(place)?)
    }

    /// The entries, read.
    pub fn fields(&self) -> impl Iterator<Item = KvFields<'_>> {
        let entries = (0..self.len()).filter_map(|place| self.entry(place));
        entries.filter_map(KvFields::read_entry)
    }

    /// Appends entries of another run.
    fn push_all(&mut self, other: &Run, from: usize, to: usize) {
        let start = from.checked_sub(1).map_or(0, |before| other.ends[before]);
        let Some(&end) = other.ends[..to].last() else {
            return;
        };
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes[start..end]);
        let ends = other.ends[from..to].iter();
        self.ends.extend(ends.map(|end| end - start + shift));
    }
}

/// What of a range is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// The revision to read at, not below the compaction revision.
    pub rev: i64,
    /// Most entries, 0 for all.
    pub limit: usize,
    /// Without values.
    pub keys_only: bool,
    /// Entries that are left out.
    pub filter: Filter,
}

/// Bounds on revisions, inclusive; 0 stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Lowest mod revision.
    pub min_mod: i64,
    /// Highest mod revision.
    pub max_mod: i64,
    /// Lowest create revision.
    pub min_create: i64,
    /// Highest create revision.
    pub max_create: i64,
}

impl Filter {
    fn admits(&self, version: &Version) -> bool {
        let within = |value: i64, min: i64, max: i64| {
            (min == 0 || value >= min) && (max == 0 || value <= max)
        };
        within(version.revision.main, self.min_mod, self.max_mod)
            && within(version.create_revision, self.min_create, self.max_create)
    }
}

/// How a step of bounded work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All is done.
    Done,
    /// There is more to do.
    More,
    /// Pages are missing: load them, keep them, and step again.
    Missing,
}

/// Reads one range of one shard in bounded steps.
///
/// The index may change between steps: what is alive at a revision stays so.
#[derive(Debug)]
pub struct Reader {
    range: KeyRange,
    ask: Ask,
    run: Run,
    /// Where to go on, if not at the range's start.
    at: Option<Key>,
}

impl Reader {
    /// For `range`, as `ask` says.
    pub fn new(range: KeyRange, ask: Ask) -> Self {
        Self {
            range,
            ask,
            run: Run::default(),
            at: None,
        }
    }

    /// Reads up to `keys` further entries. `fetch` gives a value that is in a page in memory;
    /// pages it lacks are appended to `missing`, each once.
    ///
    /// # Errors
    /// `Compacted` where a compaction above the revision asked for has begun.
    pub fn step<B: AsRef<[u8]>>(
        &mut self,
        index: &Index,
        keys: usize,
        fetch: &mut impl FnMut(&PageSlot) -> Option<B>,
        missing: &mut Vec<PageId>,
    ) -> Result<Step, Error> {
        if self.ask.rev < index.compacted() {
            return Err(Error::Compacted);
        }
        let Self {
            range,
            ask,
            run,
            at,
        } = self;
        let mut left = keys;
        let mut end = Step::Done;
        let from = at.take();
        let start = from.as_deref().unwrap_or(range.start());
        let guess = |run: &mut Run, last| {
            let most = index.count_at_most(range);
            let most = most.min(ask.limit.wrapping_sub(1) as u64).saturating_add(1);
            reserve(run, last, most.min(keys as u64) as usize);
        };
        let mut found: SmallVec<[Found<'_, B>; TOGETHER]> = SmallVec::new();
        index.scan_from(range, start, ask.rev, |key, version| {
            if !ask.filter.admits(version) {
                return ControlFlow::Continue(());
            }
            if ask.limit != 0 && run.len() + found.len() == ask.limit {
                run.more = true;
                return ControlFlow::Break(());
            }
            if left == 0 {
                *at = Some(key.clone());
                end = Step::More;
                return ControlFlow::Break(());
            }
            left -= 1;
            let value = match &version.value {
                _ if ask.keys_only => Place::None,
                Value::Deleted => return ControlFlow::Continue(()),
                Value::Staged(value) => Place::Staged(value),
                Value::Sealed(slot) => match fetch(slot) {
                    Some(value) => Place::Page(value),
                    None => {
                        *at = Some(key.clone());
                        end = Step::Missing;
                        return ControlFlow::Break(());
                    }
                },
            };
            found.push(Found {
                key,
                version,
                value,
            });
            if found.len() == TOGETHER {
                write_all(run, &mut found, &guess);
            }
            ControlFlow::Continue(())
        });
        write_all(run, &mut found, &guess);
        if end == Step::Missing {
            self.look_ahead(index, fetch, missing);
        }
        Ok(end)
    }

    /// The run, after the last step.
    pub fn finish(self) -> Run {
        self.run
    }

    fn look_ahead<B>(
        &self,
        index: &Index,
        fetch: &mut impl FnMut(&PageSlot) -> Option<B>,
        missing: &mut Vec<PageId>,
    ) {
        let mut left = match self.ask.limit {
            0 => KEYS_AHEAD,
            limit => (limit - self.run.len()).min(KEYS_AHEAD),
        };
        let mut found = Vec::new();
        let start = self.at.as_deref().unwrap_or(self.range.start());
        index.scan_from(&self.range, start, self.ask.rev, |_, version| {
            if self.ask.filter.admits(version) {
                if let Value::Sealed(slot) = &version.value
                    && !found.contains(&slot.page)
                    && fetch(slot).is_none()
                {
                    found.push(slot.page);
                }
                left -= 1;
            }
            match left == 0 || found.len() == PAGES_AHEAD {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        found.retain(|page| !missing.contains(page));
        missing.append(&mut found);
    }
}

/// Reads a range at once; `None` where pages are missing, which are then in `missing`.
///
/// # Errors
/// `Compacted` where the revision asked for is below the compaction revision.
pub fn run<B: AsRef<[u8]>>(
    index: &Index,
    range: &KeyRange,
    ask: Ask,
    fetch: &mut impl FnMut(&PageSlot) -> Option<B>,
    missing: &mut Vec<PageId>,
) -> Result<Option<Run>, Error> {
    let mut reader = Reader::new(range.clone(), ask);
    let end = reader.step(index, usize::MAX, fetch, missing)?;
    Ok((end != Step::Missing).then(|| reader.finish()))
}

/// An entry that is found and not yet written.
struct Found<'a, B> {
    key: &'a Key,
    version: &'a Version,
    value: Place<'a, B>,
}

/// Where its value is.
enum Place<'a, B> {
    /// It is not wanted.
    None,
    Staged(&'a [u8]),
    Page(B),
}

impl<B: AsRef<[u8]>> Found<'_, B> {
    fn value(&self) -> &[u8] {
        match &self.value {
            Place::None => &[],
            Place::Staged(value) => value,
            Place::Page(value) => value.as_ref(),
        }
    }
}

/// Writes what was found, and once enough is written to tell has `guess` make room for the rest.
fn write_all<B: AsRef<[u8]>>(
    run: &mut Run,
    found: &mut SmallVec<[Found<'_, B>; TOGETHER]>,
    guess: &impl Fn(&mut Run, usize),
) {
    let touch = |touched: u8, found: &Found<'_, B>| {
        let lines = found.value().iter().step_by(LINE_BYTES);
        lines.fold(touched, |touched, byte| touched ^ byte)
    };
    std::hint::black_box(found.iter().fold(0, touch));
    let (before, mut last) = (run.len(), 0);
    for found in found.drain(..) {
        let entry = fields(found.key, found.version, found.value());
        last = entry.write_entry(&mut run.bytes);
        run.ends.push(run.bytes.len());
    }
    if before < SAMPLE && run.len() >= SAMPLE {
        guess(run, last);
    }
}

pub(super) fn fields<'a>(key: &'a [u8], version: &Version, value: &'a [u8]) -> KvFields<'a> {
    KvFields {
        key,
        create_revision: version.create_revision,
        mod_revision: version.revision.main,
        version: version.version,
        value,
        lease: version.lease,
    }
}

/// Makes room for a run of `entries` in all, judging by the first ones, so that the buffer does
/// not grow by doubling. Bounded, since one guess can be far off.
fn reserve(run: &mut Run, last: usize, entries: usize) {
    const GUESS_MAX: usize = 4 << 20;
    let mean = (run.bytes.len() / run.len().max(1)).max(last);
    let left = entries.saturating_sub(run.len());
    run.bytes
        .reserve((mean + 8).saturating_mul(left).min(GUESS_MAX));
    run.ends.reserve(left.min(GUESS_MAX / 8));
}

#[cfg(test)]
mod tests;
