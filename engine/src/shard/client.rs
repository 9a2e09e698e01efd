//! Requests of a core's clients beside keys: leases, compaction, alarms, hashes, watches.

use std::rc::Rc;

use bytes::Bytes;
use futures::future::join_all;

use crate::env::Env;
use crate::error::Error;
use crate::mvcc::hash::HashFold;
use crate::shard::check;
use crate::shard::core::{Core, unexpected};
use crate::shard::counts;
use crate::shard::message::{Answer, Ask, Keep, Span};
use crate::shard::turn::{self, yield_now};
use crate::watch::{CreateRequest, Hub, Response, StreamId};

/// Responses taken from a watch stream at a time.
const WATCH_DRAIN_MAX: usize = 128;

/// Hash records folded between two yields.
const HASH_FOLD: usize = 4096;

/// A lease, as the requests about one answer it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// The store's revision.
    pub revision: i64,
    /// Its id.
    pub id: i64,
    /// Time to live granted, renewed to, or left, seconds; 0 (renewal) or -1 (question) if there
    /// is no such lease.
    pub ttl_s: i64,
    /// Time to live at the grant, seconds.
    pub granted_s: i64,
    /// Keys attached, where asked for.
    pub keys: Vec<Bytes>,
}

/// A hash of the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashKv {
    /// The store's revision.
    pub revision: i64,
    /// etcd's CRC-32C.
    pub hash: u32,
    /// The compaction revision it was taken at.
    pub compact_revision: i64,
    /// The revision hashed.
    pub hash_revision: i64,
}

fn lease_of(answer: Answer) -> Result<Lease, Error> {
    match answer {
        Answer::Lease {
            revision,
            id,
            ttl_s,
            granted_s,
        } => Ok(Lease {
            revision,
            id,
            ttl_s,
            granted_s,
            keys: Vec::new(),
        }),
        other => Err(unexpected(&other)),
    }
}

impl<E: Env> Core<E> {
    /// Grants a lease; id 0 to have one picked.
    ///
    /// # Errors
    /// The time to live is too large, the id exists, or space is out.
    pub async fn lease_grant(&self, id: i64, ttl_s: i64) -> Result<Lease, Error> {
        self.check_quota(check::LEASE_COST_BYTES).await?;
        self.check_whole()?;
        lease_of(self.keep(Keep::Grant { id, ttl_s }).await?)
    }

    /// Revokes a lease and deletes its keys in one revision. Answers with the revision.
    ///
    /// # Errors
    /// There is no such lease.
    pub async fn lease_revoke(&self, id: i64) -> Result<i64, Error> {
        self.check_whole()?;
        let span = Ask::Span(Box::new(Span::Revoke(id)));
        match self.ask_core(crate::ids::CoreId(0), span).await? {
            Answer::Revision(revision) => Ok(revision),
            other => Err(unexpected(&other)),
        }
    }

    /// Renews a lease; the time to live is 0 if there is none.
    ///
    /// # Errors
    /// This node does not lead.
    pub async fn lease_keep_alive(&self, id: i64) -> Result<Lease, Error> {
        lease_of(self.keep(Keep::Renew(id)).await?)
    }

    /// Time left of a lease, with its keys if `keys`; the time is -1 if there is none.
    ///
    /// # Errors
    /// This node does not lead.
    pub async fn lease_time_to_live(&self, id: i64, keys: bool) -> Result<Lease, Error> {
        let mut lease = lease_of(self.keep(Keep::Remaining(id)).await?)?;
        if keys && lease.ttl_s >= 0 {
            let all = self
                .all_shards()
                .map(|shard| self.ask(shard, Ask::LeaseKeys(id)));
            for answer in join_all(all).await {
                match answer? {
                    Answer::Keys(keys) => lease.keys.extend(keys),
                    other => return Err(unexpected(&other)),
                }
            }
            lease.keys.sort();
        }
        Ok(lease)
    }

    /// The store's revision, and all leases.
    ///
    /// # Errors
    /// This node does not lead.
    pub async fn leases(&self) -> Result<(i64, Vec<i64>), Error> {
        match self.keep(Keep::List).await? {
            Answer::Leases(ids) => Ok((self.revision(), ids)),
            other => Err(unexpected(&other)),
        }
    }

    /// Compacts the history below `revision`; with `physical` resolves when that is swept.
    /// Answers with the store's revision.
    ///
    /// # Errors
    /// It is compacted already, or not written yet.
    pub async fn compact(&self, revision: i64, physical: bool) -> Result<i64, Error> {
        self.check_whole()?;
        match self.keep(Keep::Compact { revision, physical }).await? {
            Answer::Revision(revision) => Ok(revision),
            other => Err(unexpected(&other)),
        }
    }

    /// Raises or clears alarms (member 0: this one to raise, all to clear; kind 0: all); answers
    /// with those it is about.
    ///
    /// # Errors
    /// This node does not lead.
    pub async fn alarm_set(
        &self,
        kind: u8,
        member: u64,
        on: bool,
    ) -> Result<Vec<(u64, u8)>, Error> {
        match self.keep(Keep::Alarm { member, kind, on }).await? {
            Answer::Alarms(alarms) => Ok(alarms),
            other => Err(unexpected(&other)),
        }
    }

    /// Finishes the rewriting of pages early and gives the space back.
    ///
    /// # Errors
    /// The disk is full or failed.
    pub async fn defragment(&self) -> Result<(), Error> {
        let all = self
            .all_shards()
            .map(|shard| self.ask(shard, Ask::Defragment));
        join_all(all)
            .await
            .into_iter()
            .try_for_each(|answer| answer.map(drop))?;
        self.keep(Keep::Checkpoint).await.map(drop)
    }

    /// etcd's HashKV at `revision`, 0 for the present one; a negative one is before all records.
    ///
    /// # Errors
    /// The revision is compacted or in the future.
    pub async fn hash_kv(&self, revision: i64) -> Result<HashKv, Error> {
        let current = self.revision();
        if revision > current {
            return Err(Error::FutureRevision);
        }
        if revision > 0 && revision < self.desk.order.compacted() {
            return Err(Error::Compacted);
        }
        let hash_revision = if revision == 0 { current } else { revision };
        // Below zero there is nothing, and as in etcd that has a hash, too.
        let at = hash_revision.max(-1);
        let keeps = self
            .all_shards()
            .map(|shard| self.ask(shard, Ask::HashKeeps(at)));
        let mut keep_any = false;
        for answer in join_all(keeps).await {
            keep_any |= matches!(answer?, Answer::Flag(true));
        }
        let ask = || Ask::Hash { at, keep_any };
        let shares = self.all_shards().map(|shard| self.ask(shard, ask()));
        let mut records = Vec::new();
        let mut compacted = 0;
        for answer in join_all(shares).await {
            match answer? {
                Answer::Hash(share) => {
                    compacted = compacted.max(share.1);
                    records.push(share.0);
                }
                other => return Err(unexpected(&other)),
            }
        }
        let mut fold = HashFold::new(records);
        let hash = loop {
            match fold.step(HASH_FOLD) {
                Some(hash) => break hash,
                None => yield_now::<E>().await,
            }
        };
        let compact_revision = if compacted > 0 { compacted } else { -1 };
        Ok(HashKv {
            revision: current,
            hash,
            compact_revision,
            hash_revision,
        })
    }

    /// Starts a task on this core that goes on when the call that started it is given up: for work
    /// that has to be undone then.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        turn::spawn::<E>(task);
    }

    /// Opens a watch stream.
    pub fn watch_open(self: &Rc<Self>) -> WatchStream<E> {
        let random = self.desk.entropy.next_u64();
        let id = self.desk.watching.open_stream(random);
        WatchStream {
            core: self.clone(),
            id,
        }
    }
}

/// One client's watches. Dropped, it closes.
pub struct WatchStream<E: Env> {
    core: Rc<Core<E>>,
    id: StreamId,
}

impl<E: Env> WatchStream<E> {
    /// Adds a watcher; what comes of it comes through [`WatchStream::next`].
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn create(&self, request: &CreateRequest) -> Result<(), Error> {
        let _coming = self.core.desk.watching.coming();
        self.core.want_events(request.prev_kv).await?;
        let settled = self.core.revision();
        self.core.desk.watching.create(self.id, request, settled);
        Ok(())
    }

    /// Cancels a watcher.
    pub fn cancel(&self, watch_id: i64) {
        let settled = self.core.revision();
        self.core
            .desk
            .watching
            .with(|hub| hub.cancel(self.id, watch_id, settled));
    }

    /// Asks for a progress notice.
    pub fn progress(&self) {
        self.core
            .desk
            .watching
            .with(|hub: &mut Hub| hub.progress_request(self.id));
    }

    /// Waits for output.
    pub async fn next(&self) -> Vec<Response> {
        let desk = &self.core.desk;
        let responses = desk.watching.next(self.id, WATCH_DRAIN_MAX).await;
        let events = responses.iter().map(Response::event_count).sum::<usize>();
        counts::add(&desk.counts.events, events as u64);
        responses
    }
}

impl<E: Env> Drop for WatchStream<E> {
    fn drop(&mut self) {
        self.core.desk.watching.close_stream(self.id);
    }
}
