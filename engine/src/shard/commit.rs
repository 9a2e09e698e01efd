//! What a shard does with a batch that its group committed: replay gathers it, a leading shard
//! shows what it staged with it. Called by the group's state machine.

use bytes::Bytes;

use crate::env::Env;
use crate::error::Error;
use crate::format::effects::{BatchReader, Record};
use crate::group::types::LogId;
use crate::shard::message::Staged;
use crate::shard::shard_state::Shard;

impl<E: Env> Shard<E> {
    /// A batch is committed: shows what was staged with it.
    ///
    /// # Errors
    /// The batch is broken, or not what this shard staged.
    pub fn committed(&self, log_id: LogId, batch: Bytes) -> Result<(), Error> {
        let broken =
            |what: String| Error::Storage(format!("group {} entry {log_id}: {what}", self.id));
        let mut reader = BatchReader::new(batch).map_err(|e| broken(e.to_string()))?;
        let mut last = None;
        if let Some(replay) = self.replay.borrow_mut().as_mut() {
            let epoch = reader.epoch();
            while let Some(record) = reader.next_record().map_err(|e| broken(e.to_string()))? {
                last = revision_of(&record).or(last);
                replay.take(epoch, record);
            }
            self.upkeep.logged(log_id, last);
            return Ok(());
        }
        if reader.epoch() != self.epoch.get() {
            return Err(broken(format!(
                "of epoch {} in {}",
                reader.epoch(),
                self.epoch.get()
            )));
        }
        self.show(reader.records(), log_id);
        Ok(())
    }

    fn show(&self, records: u32, log_id: LogId) {
        let mut events = Vec::new();
        let mut revisions = Vec::with_capacity(records as usize);
        for _ in 0..records {
            let staged = self.head.borrow_mut().next_committed();
            match staged {
                Some(Staged::Part {
                    revision,
                    events: mut shown,
                }) => {
                    events.append(&mut shown);
                    revisions.push(revision.main);
                }
                Some(Staged::Meta { meta, done }) => self.desk.keep_committed(meta, done),
                None => {}
            }
        }
        self.upkeep.logged(log_id, revisions.last().copied());
        // Events are on their way before their revision can settle, so whoever sees it settled
        // finds them in its inbox.
        self.desk.send_events(events);
        let mut moved = false;
        for revision in revisions {
            moved |= self.desk.order.part_committed(revision);
        }
        if moved {
            self.desk.settle();
            self.desk.tell_others();
        }
        self.note_staged();
    }
}

fn revision_of(record: &Record) -> Option<i64> {
    match record {
        Record::Changes { revision, .. } => Some(*revision),
        Record::Meta { .. } | Record::Fence { .. } => None,
    }
}
