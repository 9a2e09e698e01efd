//! Core 0's work for the whole node: leases, compaction, alarms, the state of group 0. Requests
//! come from all cores; changes go through group 0's log before they count.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::join_all;
use openraft::type_config::TypeConfigExt;

use crate::env::Env;
use crate::error::Error;
use crate::format::effects::Meta;
use crate::group::types::Types;
use crate::ids::{LeaseId, ShardId};
use crate::lease::Renewal;
use crate::shard::core::Core;
use crate::shard::counts;
use crate::shard::dump::Kept;
use crate::shard::keeper::{ALARM_CORRUPT, ALARM_NO_SPACE, Keeper, THIS_MEMBER};
use crate::shard::message::{Answer, Ask, GroupStatus, Keep, Responder, Span};

/// Expired leases revoked in one round, and how often: etcd revokes 500 every 500 ms.
const EXPIRE_MAX: usize = 500;
const EXPIRE_EVERY: Duration = Duration::from_millis(500);

impl<E: Env> Core<E> {
    pub(super) fn keeper(&self) -> Result<&RefCell<Keeper>, Error> {
        self.desk.keeper.as_ref().ok_or(Error::NoLeader)
    }

    pub(super) async fn do_keep(self: &Rc<Self>, keep: Keep) -> Result<Answer, Error> {
        match keep {
            Keep::Grant { id, ttl_s } => self.do_grant(id, ttl_s).await,
            Keep::Renew(id) => self.do_renew(id).await,
            Keep::Remaining(id) => self.do_remaining(id),
            Keep::List => {
                let ids = self.keeper()?.borrow().leases.list();
                Ok(Answer::Leases(ids.into_iter().map(|id| id.0).collect()))
            }
            Keep::Compact { revision, physical } => self.do_compact(revision, physical).await,
            Keep::Alarm { member, kind, on } => self.do_alarm(member, kind, on).await,
            Keep::Alarms => {
                let alarms = self.keeper()?.borrow().alarms.iter().copied().collect();
                Ok(Answer::Alarms(alarms))
            }
            Keep::Status => Ok(Answer::Status(self.group_status())),
            Keep::Kept => self.kept(),
            Keep::Checkpoint => self.checkpoint_now().await.map(|()| Answer::Done),
        }
    }

    /// Logs a change without a revision and waits until it is committed.
    async fn log(&self, meta: Meta) -> Result<(), Error> {
        self.admit(0)?;
        let (done, committed) = oneshot::channel();
        self.propose_meta(self.desk.order.settled(), meta, Some(done));
        committed.await.map_err(|_| Error::LeaderChanged)
    }

    async fn do_grant(&self, id: i64, ttl_s: i64) -> Result<Answer, Error> {
        if self.desk.order.no_space() {
            return Err(Error::NoSpace);
        }
        let (id, ttl_s) = {
            let mut keeper = self.keeper()?.borrow_mut();
            let id = if id == 0 {
                keeper.leases.pick_id(&*self.desk.entropy).0
            } else {
                id
            };
            let ttl_s = keeper.leases.check_grant(LeaseId(id), ttl_s)?;
            if !keeper.granting.insert(id) {
                return Err(Error::LeaseExists);
            }
            (id, ttl_s)
        };
        let logged = self.log(Meta::Grant { id, ttl_s }).await;
        if let Ok(keeper) = self.keeper() {
            keeper.borrow_mut().granting.remove(&id);
        }
        logged?;
        counts::add(&self.desk.counts.leases_granted, 1);
        self.show_leases(&[id]).await?;
        let revision = self.desk.order.settled();
        Ok(Answer::Lease {
            revision,
            id,
            ttl_s,
            granted_s: ttl_s,
        })
    }

    /// Lets puts on all cores name these leases.
    pub(super) async fn show_leases(&self, leases: &[i64]) -> Result<(), Error> {
        let ask = || Ask::LeasesVisible(leases.into());
        let cores = self.desk.all_cores().map(|core| self.ask_core(core, ask()));
        join_all(cores)
            .await
            .into_iter()
            .try_for_each(|answer| answer.map(drop))
    }

    async fn do_renew(&self, id: i64) -> Result<Answer, Error> {
        let revision = self.desk.order.settled();
        self.prove_leadership().await?;
        let now = self.desk.clock.now_ns();
        loop {
            let renewal = self.keeper()?.borrow_mut().leases.renew(LeaseId(id), now);
            let ttl_s = match renewal {
                Renewal::Renewed(ttl_s) => {
                    counts::add(&self.desk.counts.leases_renewed, 1);
                    ttl_s
                }
                Renewal::NotFound => 0,
                Renewal::NotPrincipal => return Err(Error::NoLeader),
                // As in etcd: the answer waits until the expired lease is revoked.
                Renewal::Expired => {
                    Types::<E>::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            return Ok(Answer::Lease {
                revision,
                id,
                ttl_s,
                granted_s: ttl_s,
            });
        }
    }

    fn do_remaining(&self, id: i64) -> Result<Answer, Error> {
        let revision = self.desk.order.settled();
        let now = self.desk.clock.now_ns();
        let found = self.keeper()?.borrow().leases.remaining(LeaseId(id), now);
        let (ttl_s, granted_s) = found.map_or((-1, 0), |left| {
            (left.left_s.unwrap_or(left.granted_s), left.granted_s)
        });
        Ok(Answer::Lease {
            revision,
            id,
            ttl_s,
            granted_s,
        })
    }

    pub(super) fn lease_is_granted(&self, id: i64) -> bool {
        self.keeper()
            .is_ok_and(|keeper| keeper.borrow().leases.contains(LeaseId(id)))
    }

    async fn do_compact(&self, revision: i64, physical: bool) -> Result<Answer, Error> {
        let settled = self.desk.order.settled();
        if revision <= self.desk.order.compacted() {
            return Err(Error::Compacted);
        }
        if revision > settled {
            return Err(Error::FutureRevision);
        }
        self.log(Meta::Compact { revision }).await?;
        self.spread_compaction(revision, physical).await?;
        Ok(Answer::Revision(self.desk.order.settled()))
    }

    /// Makes a committed compaction count on all cores and shards.
    pub(super) async fn spread_compaction(&self, at: i64, physical: bool) -> Result<(), Error> {
        self.desk.order.set_compacted(at);
        let cores = self
            .desk
            .all_cores()
            .map(|core| self.ask_core(core, Ask::Compacted(at)));
        join_all(cores)
            .await
            .into_iter()
            .try_for_each(|answer| answer.map(drop))?;
        let ask = || Ask::Compact {
            revision: at,
            wait: physical,
        };
        let shards = self.all_shards().map(|shard| self.ask(shard, ask()));
        join_all(shards)
            .await
            .into_iter()
            .try_for_each(|answer| answer.map(drop))
    }

    /// Raises an alarm, or clears those that match; answers with what changed.
    async fn do_alarm(&self, member: u64, kind: u8, on: bool) -> Result<Answer, Error> {
        let changing: Vec<(u64, u8)> = {
            let keeper = self.keeper()?.borrow();
            if on && !matches!(kind, ALARM_NO_SPACE | ALARM_CORRUPT) {
                // There is nothing to raise, and the log has no word for it.
                Vec::new()
            } else if on {
                // A client's 0 is kept as it is, as in etcd.
                let own = member == THIS_MEMBER;
                vec![(if own { self.about.member } else { member }, kind)]
            } else {
                let matches = |(of, is): &&(u64, u8)| {
                    (member == 0 || *of == member) && (kind == 0 || *is == kind)
                };
                keeper.alarms.iter().filter(matches).copied().collect()
            }
        };
        for (member, kind) in &changing {
            let is_up = self.keeper()?.borrow().alarms.contains(&(*member, *kind));
            if is_up != on {
                self.log(Meta::Alarm {
                    member: *member,
                    kind: *kind,
                    on,
                })
                .await?;
            }
        }
        let keeper = self.keeper()?.borrow();
        self.desk.order.set_no_space(keeper.no_space());
        self.desk.order.set_corrupt(keeper.corrupt());
        Ok(Answer::Alarms(changing))
    }

    /// Revision, leases and alarms as they are in this turn.
    fn kept(&self) -> Result<Answer, Error> {
        let keeper = self.keeper()?.borrow();
        let now = self.desk.clock.now_ns();
        let granted = |id: LeaseId| Some((id.0, keeper.leases.remaining(id, now)?.granted_s));
        Ok(Answer::Kept(Box::new(Kept {
            revision: self.desk.order.settled(),
            leases: keeper
                .leases
                .list()
                .into_iter()
                .filter_map(granted)
                .collect(),
            alarms: keeper.alarms.iter().copied().collect(),
            group: self.group_status(),
        })))
    }

    fn group_status(&self) -> GroupStatus {
        let group = self
            .owned()
            .find(|shard| shard.id == ShardId(0))
            .and_then(|s| s.group());
        let (leader, term, committed, applied) = group.map_or((0, 0, 0, 0), |group| group.status());
        GroupStatus {
            leader,
            term,
            committed,
            applied,
        }
    }

    /// Core 0's task: revokes leases that have expired.
    pub async fn expire_leases(self: Rc<Self>) {
        loop {
            Types::<E>::sleep(EXPIRE_EVERY).await;
            if self.desk.stopped().is_some() {
                return;
            }
            let now = self.desk.clock.now_ns();
            let Ok(keeper) = self.keeper() else { return };
            let expired = keeper.borrow_mut().leases.expired(now, EXPIRE_MAX);
            counts::add(&self.desk.counts.leases_expired, expired.len() as u64);
            for lease in expired {
                let span = Box::new(Span::Revoke(lease.0));
                self.asked(Ask::Span(span), Responder::Nobody);
            }
        }
    }
}
