//! Elections and locks in a contest: a request may wait for others to go, so its answer belongs
//! to the step that lets it go on.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use proto::v3electionpb as el;

use super::contest::Contest;
use super::outcome::Outcome;
use super::session::{LIMIT, Session};
use super::step::{Call, Step};
use crate::client::pb;

/// Between two looks at whether a candidate has entered.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// Who waits, and who follows.
#[derive(Default)]
pub(super) struct Queues {
    waits: BTreeMap<usize, Wait>,
    /// Followed elections, and the leader's key and revision that was told last.
    followed: BTreeMap<Bytes, Option<(Bytes, i64)>>,
}

struct Wait {
    step: Step,
    name: Bytes,
    /// Revision at which it entered.
    entered: i64,
}

impl Queues {
    pub(super) fn is_waited(&self) -> bool {
        !self.waits.is_empty()
    }
}

/// The key of a candidate, as etcd's client library names it.
fn place(name: &[u8], lease: i64) -> Bytes {
    [name, format!("/{lease:x}").as_bytes()].concat().into()
}

/// The whole queue, oldest first.
fn queue(name: &[u8]) -> pb::RangeRequest {
    pb::RangeRequest {
        key: [name, b"/"].concat().into(),
        range_end: [name, b"0"].concat().into(),
        sort_order: pb::range_request::SortOrder::Ascend.into(),
        sort_target: pb::range_request::SortTarget::Create.into(),
        ..Default::default()
    }
}

impl Contest {
    async fn oldest(&self, name: &[u8]) -> Option<pb::KeyValue> {
        let all = self.sessions[0].look(&queue(name)).await;
        all.into_iter().next()
    }

    /// A call that names a place as "the revision that it has", with that revision.
    pub(super) async fn place(&self, call: &Call) -> Option<Call> {
        let mut call = call.clone();
        let leader = match &mut call {
            Call::Proclaim(q) => q.leader.as_mut(),
            Call::Resign(q) => q.leader.as_mut(),
            _ => None,
        }?;
        if leader.rev != -1 {
            return None;
        }
        let own = pb::RangeRequest {
            key: leader.key.clone(),
            ..Default::default()
        };
        let found = self.sessions[0].look(&own).await;
        leader.rev = found.first().map_or(0, |kv| kv.create_revision);
        Some(call)
    }

    /// A campaign or a lock: waits for the answer if it can come now, and else until the
    /// candidate stands in the queue everywhere.
    pub(super) async fn queue(&mut self, step: &Step) -> Outcome {
        let (call, name, lease) = match step {
            Step::Call(call @ Call::Campaign(q)) => (call, &q.name, q.lease),
            Step::Call(call @ Call::Lock(q)) => (call, &q.name, q.lease),
            _ => return Outcome::word("no queue"),
        };
        let mine = place(name, lease);
        let all = self.sessions[0].look(&queue(name)).await;
        if all.iter().skip(1).any(|kv| kv.key == mine) {
            // Nothing shows when such a second request has come to wait.
            return self.skip();
        }
        let number = self.number;
        for session in &mut self.sessions {
            session.begin(number, call);
        }
        let stand = self.sessions.iter().map(|s| entered(s, number, &mine));
        join_all(stand).await;
        let all = self.sessions[0].look(&queue(name)).await;
        let own = all.iter().position(|kv| kv.key == mine);
        let Some(entered) = own.filter(|at| *at > 0).map(|at| all[at].create_revision) else {
            let answers = join_all(self.sessions.iter_mut().map(|s| s.end(number))).await;
            return self.compare(step, answers);
        };
        self.known.revision = self.known.revision.max(entered);
        let wait = Wait {
            step: step.clone(),
            name: name.clone(),
            entered,
        };
        self.queues.waits.insert(number, wait);
        self.saw("a wait");
        self.said.push("waits".into());
        Outcome::word("waits")
    }

    /// Takes the answers of those who waited and need not any more, and what followers are told.
    pub(super) async fn follow_queues(&mut self) {
        let numbers: Vec<usize> = self.queues.waits.keys().copied().collect();
        for number in numbers {
            let Some(wait) = self.queues.waits.get(&number) else {
                continue;
            };
            let oldest = self.oldest(&wait.name).await;
            if oldest.is_some_and(|kv| kv.create_revision < wait.entered) {
                continue;
            }
            if let Some(wait) = self.queues.waits.remove(&number) {
                self.saw("a wait that ends");
                let answers = join_all(self.sessions.iter_mut().map(|s| s.end(number))).await;
                self.compare(&wait.step, answers);
            }
        }
        let names: Vec<Bytes> = self.queues.followed.keys().cloned().collect();
        for name in names {
            self.follow(&name).await;
        }
    }

    async fn follow(&mut self, name: &Bytes) {
        let leader = self.oldest(name).await.map(|kv| (kv.key, kv.mod_revision));
        let told = self.queues.followed.get(name).cloned().flatten();
        if leader.is_none() || leader == told {
            return;
        }
        self.queues.followed.insert(name.clone(), leader);
        self.saw("a leader observed");
        let answers = join_all(self.sessions.iter_mut().map(|s| s.observed(name))).await;
        let request = el::LeaderRequest { name: name.clone() };
        self.compare(&Step::Observe(request), answers);
    }

    pub(super) async fn observe(&mut self, step: &Step, name: &el::LeaderRequest) -> Outcome {
        let answers = join_all(self.sessions.iter_mut().map(|s| s.observe(name))).await;
        let outcome = self.compare(step, answers);
        if outcome.refusal().is_none() {
            self.queues.followed.insert(name.name.clone(), None);
            self.follow(&name.name).await;
        }
        outcome
    }

    pub(super) fn unobserve(&mut self) {
        self.queues.followed.clear();
        for session in &mut self.sessions {
            session.observers.clear();
        }
    }
}

/// Waits until a candidate stands in the queue, or was answered.
async fn entered(session: &Session, number: usize, key: &Bytes) {
    let end = tokio::time::Instant::now() + LIMIT;
    while !session.has_ended(number) && tokio::time::Instant::now() < end {
        let own = pb::RangeRequest {
            key: key.clone(),
            ..Default::default()
        };
        if !session.look(&own).await.is_empty() {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
