//! openraft's log of one group over a WAL lane shared with other groups. Entries are kept in
//! memory until they are applied and for a bounded while after; older ones are read back from
//! the lane by their place.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::rc::Rc;

use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, RaftLogReader};

use crate::env::Env;
use crate::group::codec;
use crate::group::types::{Entry, LogId, Types, Vote, log_id};
use crate::ids::GroupId;
use crate::wal::{FrameHead, Lane, Lsn, Place, WalError};

/// Bytes of entries one group keeps in memory after they were applied.
const CACHE_BYTES: usize = 4 << 20;

/// What recovery found of one group in all lanes.
#[derive(Debug, Default)]
pub struct GroupLog {
    /// The last vote.
    pub vote: Option<Vote>,
    /// Entries up to here are in a checkpoint.
    pub purged: Option<LogId>,
    /// The highest commit position that was noted.
    pub committed: Option<LogId>,
    /// Entries after it.
    pub entries: VecDeque<Entry>,
}

impl GroupLog {
    /// Takes in one frame of the group, in the order they were written. Returns whether it made
    /// sense.
    pub fn take(&mut self, head: &FrameHead, payload: bytes::Bytes) -> bool {
        let at = log_id(head.term, head.index);
        match head.kind {
            codec::VOTE => match codec::read_vote(head, &payload) {
                Some(vote) => self.vote = Some(vote),
                None => return false,
            },
            codec::TRUNCATED => self.truncate_after(head.index, head.term),
            codec::PURGED => self.purge(at),
            codec::COMMITTED => self.committed = self.committed.max(Some(at)),
            _ => match codec::read_entry(head, payload) {
                Some(entry) => return self.push(entry),
                None => return false,
            },
        }
        true
    }

    /// An entry replaces what stood at its index and after; it must join what is before.
    fn push(&mut self, entry: Entry) -> bool {
        let index = entry.log_id.index();
        if self.purged.is_some_and(|purged| index <= purged.index()) {
            return true;
        }
        while self
            .entries
            .back()
            .is_some_and(|last| last.log_id.index() >= index)
        {
            self.entries.pop_back();
        }
        let joins = self
            .entries
            .back()
            .is_none_or(|last| last.log_id.index() + 1 == index);
        self.entries.push_back(entry);
        joins
    }

    fn truncate_after(&mut self, index: u64, term: u64) {
        let all = index == 0 && term == 0;
        while self
            .entries
            .back()
            .is_some_and(|last| all || last.log_id.index() > index)
        {
            self.entries.pop_back();
        }
    }

    /// Entries up to `at` are in a checkpoint.
    pub fn purge(&mut self, at: LogId) {
        self.purged = self.purged.max(Some(at));
        while self
            .entries
            .front()
            .is_some_and(|first| first.log_id.index() <= at.index())
        {
            self.entries.pop_front();
        }
    }

    /// The first index there is, if it does not follow what was purged.
    pub fn gap(&self) -> Option<u64> {
        let first = self.entries.front()?.log_id.index();
        let after = self.purged.map_or(0, |purged| purged.index() + 1);
        (first > after).then_some(first)
    }
}

/// The log store of one group. Clones share it.
pub struct LogStore<E: Env> {
    group: GroupId,
    lane: Lane<E::Disk>,
    log: Rc<RefCell<Log>>,
}

impl<E: Env> Clone for LogStore<E> {
    fn clone(&self) -> Self {
        Self {
            group: self.group,
            lane: self.lane.clone(),
            log: self.log.clone(),
        }
    }
}

#[derive(Default)]
struct Log {
    vote: Option<Vote>,
    purged: Option<LogId>,
    committed: Option<LogId>,
    slots: VecDeque<Slot>,
    cached_bytes: usize,
    /// Slots before this one have been dropped from memory, counted from the purged index.
    evicted: usize,
}

struct Slot {
    log_id: LogId,
    entry: Option<Entry>,
    /// Where it is in the lane; `None` for recovered entries, which stay in memory.
    place: Option<(FrameHead, Place)>,
    lsn: Option<Lsn>,
    bytes: usize,
}

impl<E: Env> LogStore<E> {
    /// A store that goes on from what recovery found, writing to `lane`.
    pub fn new(group: GroupId, lane: Lane<E::Disk>, found: GroupLog) -> Self {
        let slot = |entry: Entry| Slot {
            log_id: entry.log_id,
            entry: Some(entry),
            place: None,
            lsn: None,
            bytes: 0,
        };
        let log = Log {
            vote: found.vote,
            purged: found.purged,
            committed: found.committed,
            slots: found.entries.into_iter().map(slot).collect(),
            cached_bytes: 0,
            evicted: 0,
        };
        Self {
            group,
            lane,
            log: Rc::new(RefCell::new(log)),
        }
    }

    /// Writes down vote, purge and commit position anew, so that older frames are needed no
    /// more.
    ///
    /// # Errors
    /// The lane has failed or is full.
    pub fn restate(&self) -> Result<(), WalError> {
        let log = self.log.borrow();
        if let Some(vote) = &log.vote {
            let (head, payload) = codec::vote_frame(self.group, vote);
            self.lane.append(head, &[&payload], None)?;
        }
        if log.purged.is_some() {
            self.note(codec::PURGED, log.purged)?;
        }
        if log.committed.is_some() {
            self.note(codec::COMMITTED, log.committed)?;
        }
        Ok(())
    }

    /// The first frame of the lane that still holds an entry of this group; `None` while entries
    /// of an earlier opening are there, which are in segments this lane does not know.
    pub fn oldest_needed(&self) -> Option<Lsn> {
        let log = self.log.borrow();
        log.slots
            .front()
            .map_or(Some(self.lane.next()), |slot| slot.lsn)
    }

    /// Notes how far the log is committed; lost in a crash without harm.
    fn note(&self, kind: u8, at: Option<LogId>) -> Result<(), WalError> {
        self.lane
            .append(codec::head(self.group, kind, at), &[], None)
            .map(|_| ())
    }

    /// The lane written to.
    pub fn lane(&self) -> &Lane<E::Disk> {
        &self.lane
    }

    /// Entries up to `index` are applied: all but the last of them leave memory.
    pub fn applied(&self, index: u64) {
        let mut log = self.log.borrow_mut();
        while log.cached_bytes > CACHE_BYTES {
            let at = log.evicted;
            let Some(slot) = log.slots.get_mut(at) else {
                return;
            };
            if slot.log_id.index() > index || slot.place.is_none() {
                return;
            }
            let bytes = slot.bytes;
            slot.entry = None;
            log.cached_bytes -= bytes;
            log.evicted += 1;
        }
    }

    async fn entry(&self, index: u64) -> Result<Option<Entry>, io::Error> {
        let (head, place) = {
            let log = self.log.borrow();
            let Some(slot) = log.slot(index) else {
                return Ok(None);
            };
            match (&slot.entry, slot.place) {
                (Some(entry), _) => return Ok(Some(entry.clone())),
                (None, Some(place)) => place,
                (None, None) => return Ok(None),
            }
        };
        let payload = self.lane.read(place).await.map_err(io::Error::other)?;
        let broken = || io::Error::other(format!("entry {index} of group {}", self.group));
        codec::read_entry(&head, payload)
            .map(Some)
            .ok_or_else(broken)
    }
}

impl Log {
    fn slot(&self, index: u64) -> Option<&Slot> {
        let first = self.slots.front()?.log_id.index();
        self.slots.get(index.checked_sub(first)? as usize)
    }
}

impl<E: Env> RaftLogReader<Types<E>> for LogStore<E> {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index + 1,
            Bound::Unbounded => 0,
        };
        let mut entries = Vec::new();
        let mut index = start;
        while range.contains(&index) {
            match self.entry(index).await? {
                Some(entry) => entries.push(entry),
                None => break,
            }
            index += 1;
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.log.borrow().vote)
    }
}

impl<E: Env> RaftLogStorage<Types<E>> for LogStore<E> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types<E>>, io::Error> {
        let log = self.log.borrow();
        let last_log_id = log.slots.back().map(|slot| slot.log_id).or(log.purged);
        Ok(LogState {
            last_purged_log_id: log.purged,
            last_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (head, payload) = codec::vote_frame(self.group, vote);
        self.lane
            .append(head, &[&payload], None)
            .map_err(io::Error::other)?;
        self.lane.flush().await.map_err(io::Error::other)?;
        self.log.borrow_mut().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        // Kept for the next restatement; commits are found again by the next election.
        self.log.borrow_mut().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.log.borrow().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types<E>>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry>,
    {
        let mut log = self.log.borrow_mut();
        let mut callback = Some(callback);
        let mut entries = entries.into_iter().peekable();
        while let Some(entry) = entries.next() {
            let (head, payload) = codec::entry_frame(self.group, &entry);
            let done = if entries.peek().is_none() {
                callback.take()
            } else {
                None
            };
            let done = done.map(|callback| -> crate::wal::Done {
                Box::new(move |result: Result<(), WalError>| {
                    callback.io_completed(result.map_err(io::Error::other));
                })
            });
            let bytes = payload.len() + 64;
            let appended = self.lane.append(head, &[&payload], done);
            let (lsn, place) = appended.map_err(io::Error::other)?;
            log.cached_bytes += bytes;
            log.slots.push_back(Slot {
                log_id: entry.log_id,
                entry: Some(entry),
                place: Some((head, place)),
                lsn: Some(lsn),
                bytes,
            });
        }
        if let Some(callback) = callback {
            callback.io_completed(Ok(()));
        }
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        self.note(codec::TRUNCATED, last)
            .map_err(io::Error::other)?;
        let mut log = self.log.borrow_mut();
        let keep = |slot: &Slot| last.is_some_and(|last| slot.log_id.index() <= last.index());
        while log.slots.back().is_some_and(|slot| !keep(slot)) {
            log.slots.pop_back();
        }
        log.evicted = log.evicted.min(log.slots.len());
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.note(codec::PURGED, Some(upto))
            .map_err(io::Error::other)?;
        let mut log = self.log.borrow_mut();
        log.purged = log.purged.max(Some(upto));
        while log
            .slots
            .front()
            .is_some_and(|slot| slot.log_id.index() <= upto.index())
        {
            if let Some(slot) = log.slots.pop_front() {
                match slot.entry {
                    Some(_) => log.cached_bytes -= slot.bytes,
                    None => log.evicted -= 1,
                }
            }
        }
        Ok(())
    }
}
