//! The tasks behind a core's watchers: asking all shards for their events, reading history for
//! watchers that lie behind, timed progress notices.

use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use openraft::type_config::TypeConfigExt;

use crate::env::Env;
use crate::error::Error;
use crate::event::Event;
use crate::group::types::Types;
use crate::keys::KeyRange;
use crate::shard::core::{Core, unexpected};
use crate::shard::message::{Answer, Ask, History};
use crate::shard::order::Interest;
use crate::shard::route::shard_of;
use crate::shard::turn::yield_now;
use crate::watch::{CatchUp, Job};

/// How often timed progress notices are looked after.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

impl<E: Env> Core<E> {
    /// Makes all shards send their events here, with former states if `previous`. When this
    /// returns, every event after the hub's delivered revision comes, or comes from history.
    pub(super) async fn want_events(&self, previous: bool) -> Result<(), Error> {
        let wanted = if previous {
            Interest::Previous
        } else {
            Interest::Events
        };
        if self.desk.interest() >= wanted && self.desk.watching.is_open() {
            return Ok(());
        }
        self.desk
            .order
            .set_interest(self.desk.core, wanted.max(self.desk.interest()));
        // A core that answers has seen the wish: what it evaluates from now on is sent here.
        let cores = self
            .desk
            .all_cores()
            .map(|core| self.ask_core(core, Ask::Interest));
        join_all(cores)
            .await
            .into_iter()
            .try_for_each(|answer| answer.map(drop))?;
        if !self.desk.watching.is_open() {
            // What was evaluated before has a revision up to here, and may not have been sent.
            let seen = self.desk.order.last();
            self.desk.settled(seen).await?;
        }
        if !self.desk.watching.is_open() {
            let compacted = self.desk.order.compacted();
            self.desk
                .watching
                .open(self.desk.order.settled(), compacted);
            self.desk.settle();
        }
        Ok(())
    }

    /// The task that reads history for watchers that lie behind. Deliveries never wait for it.
    pub async fn catch_up(self: Rc<Self>) {
        loop {
            match self.desk.watching.next_catch_up().await {
                CatchUp::Read(job) => self.read_history(job).await,
                CatchUp::Again | CatchUp::Idle => {}
            }
            yield_now::<E>().await;
        }
    }

    async fn read_history(&self, job: Job) {
        let id = job.id;
        match self.history(&job).await {
            Ok((events, through)) => {
                self.desk
                    .watching
                    .with(|hub| hub.caught(id, events, through));
            }
            Err(error @ (Error::Damaged(_) | Error::Storage(_))) => {
                tracing::error!(%error, "the history of a watcher cannot be read");
                let reason = error.to_string();
                self.desk.watching.with(|hub| hub.broken(id, &reason));
            }
            Err(error) => {
                tracing::debug!(%error, "history for a watcher could not be read");
                self.desk.watching.with(|hub| hub.failed(id));
                if self.desk.stopped().is_some() {
                    // Nothing will change any more.
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    async fn history(&self, job: &Job) -> Result<(Vec<Event>, i64), Error> {
        let wanted = History {
            range: job.range.clone(),
            from: job.from,
            through: job.through,
            no_put: job.filters.no_put,
            no_delete: job.filters.no_delete,
            previous: job.prev_kv,
            events_max: job.events_max,
            bytes_max: job.bytes_max,
        };
        let answers = match &job.range {
            KeyRange::One(key) => {
                let shard = shard_of(key, self.desk.shards);
                vec![self.ask(shard, Ask::History(wanted)).await]
            }
            _ => {
                let ask = || Ask::History(wanted.clone());
                join_all(self.all_shards().map(|shard| self.ask(shard, ask()))).await
            }
        };
        let mut events = Vec::new();
        let mut through = job.through;
        for answer in answers {
            match answer? {
                Answer::History(mut found, to) => {
                    events.append(&mut found);
                    through = through.min(to);
                }
                other => return Err(unexpected(&other)),
            }
        }
        events.retain(|event| event.revision.main <= through);
        events.sort_by_key(|event| event.revision);
        Ok((events, through))
    }

    /// The task that sends timed progress notices.
    pub async fn notify_progress(self: Rc<Self>) {
        loop {
            Types::<E>::sleep(PROGRESS_EVERY).await;
            if self.desk.stopped().is_some() {
                return;
            }
            let now = self.desk.clock.now_ns();
            self.desk.watching.with(|hub| hub.progress_tick(now));
            if self.desk.watching.close_if_idle() {
                self.desk.order.set_interest(self.desk.core, Interest::None);
            }
        }
    }
}
