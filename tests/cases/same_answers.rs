//! The same random requests to several servers in step: every answer and every watched event has
//! to be the same, whether the keys lie on one shard, two or five, and the same as real etcd's.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "same_answers/known.rs"]
mod known;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::future::join_all;
use pb::request_op::Request;
use tests::answers::{Answer, Session, Watcher};
use tests::client::{pb, run};
use tests::script::{Known, Script, Step};
use tests::skip::number;
use tests::target::{Kind, Target};

/// Where etcd 3.5.1 is known to answer otherwise than 3.7, which Stoa follows.
///
/// | difference | since | how it is met |
/// |---|---|---|
/// | a watch from exactly the compact revision lacks a tombstone there | 3.5.16 | not asked |
/// | a negative start revision is not refused | 3.6.6 | not asked |
/// | equals of a sort come in any order (Go's sort is not stable) | always | `ties` |
/// | an unknown sort target in a transaction makes the server panic | 3.5.x | not asked |
/// | a put that keeps what its transaction deleted makes the server panic | always | not asked |
/// | a transaction's reads are checked after its puts, not each in its place | 3.6.0 | `known` |
/// | a put's key is looked for before its lease inside a transaction | 3.7.0 | `known` |
const KNOWN: &[fn(&Step, &Answer, &Answer) -> bool] = &[known::is_order_of_checks];

/// Most watches that live at a time.
const WATCHERS_MAX: usize = 40;

struct Contest {
    sessions: Vec<Session>,
    known: Known,
    /// Whether the first is an old etcd.
    old_peer: bool,
    /// Differences that [`KNOWN`] explains.
    excused: usize,
    /// Whether an answer is missing.
    lost: bool,
    differences: Vec<String>,
}

impl Contest {
    /// Asks everybody, compares with the first.
    async fn ask(&mut self, number: usize, step: &Step) -> Answer {
        let answers = join_all(self.sessions.iter_mut().map(|s| s.ask(step))).await;
        let first = answers[0].clone();
        for (session, answer) in self.sessions.iter().zip(&answers).skip(1) {
            if *answer == first && !first.is_missing() {
                continue;
            }
            // What follows a request of unknown outcome is not comparable.
            self.lost |= answer.is_missing() || first.is_missing();
            if self.old_peer && KNOWN.iter().any(|k| k(step, answer, &first)) {
                self.excused += 1;
            } else {
                self.differences.push(format!(
                    "step {number}: {step:?}\n  {}: {}\n  {}: {}",
                    self.sessions[0].name, first.text, session.name, answer.text
                ));
            }
        }
        if let Some(revision) = first.revision {
            self.known.revision = self.known.revision.max(revision);
        }
        first
    }

    /// Touches every watched range and waits until all watchers know, so that what a watcher was
    /// told can be compared and a compaction finds nobody behind.
    async fn settle(&mut self, number: usize) {
        let watchers: Vec<_> = living(&self.sessions[0])
            .map(|(at, w)| (at, w.create.clone()))
            .collect();
        let first_key = |create: &pb::WatchCreateRequest| match create.key.is_empty() {
            true => Bytes::from_static(&[0]),
            false => create.key.clone(),
        };
        let keys: BTreeSet<Bytes> = watchers.iter().map(|(_, w)| first_key(w)).collect();
        let put = self.ask(number, &each(&keys, put)).await.revision;
        let delete = self.ask(number, &each(&keys, delete)).await.revision;
        let (Some(put), Some(delete)) = (put, delete) else {
            // A server that died has told so by its answers.
            self.differences
                .push(format!("step {number}: the watches cannot be touched"));
            return;
        };
        let mut wanted = BTreeMap::new();
        for (at, create) in watchers {
            let deletes = !create.filters.contains(&1);
            let revision = if deletes { delete } else { put };
            if create.start_revision <= revision {
                wanted.insert(at, revision);
            }
        }
        join_all(self.sessions.iter_mut().map(|s| s.settle(&wanted))).await;
        self.compare_events(number, &wanted);
    }

    /// Ends watches once there are many: each one makes every comparison dearer.
    async fn thin_out(&mut self, number: usize) {
        if living(&self.sessions[0]).count() < WATCHERS_MAX {
            return;
        }
        self.settle(number).await;
        let all: Vec<_> = living(&self.sessions[0]).map(|(at, _)| at).collect();
        for (stream, id) in all.into_iter().step_by(2) {
            self.ask(number, &Step::Cancel(stream, id)).await;
        }
    }

    /// A watch from before the compaction is cancelled soon after its creation: waits for that.
    async fn await_cancel(&mut self, start_revision: i64) {
        if start_revision == 0 || start_revision >= self.known.compacted {
            return;
        }
        let settled = self.sessions.iter_mut().map(async |session| {
            let wanted = session.created.map(|at| (at, i64::MAX));
            session.settle(&wanted.into_iter().collect()).await;
        });
        join_all(settled).await;
    }

    /// Compares what watchers were told up to the revision that all of them know of; some servers
    /// may have told more already.
    fn compare_events(&mut self, number: usize, wanted: &BTreeMap<(usize, i64), i64>) {
        let known = |at: &(usize, i64)| match wanted.get(at) {
            Some(revision) => *revision,
            None if at.1 < -1 => i64::MAX,
            None => 0,
        };
        let (first, others) = self.sessions.split_first().unwrap();
        for other in others {
            for (at, watcher) in &first.watchers {
                let limit = known(at);
                let told = |w: &Watcher| {
                    w.events
                        .iter()
                        .filter(|e| e.0 <= limit)
                        .cloned()
                        .collect::<Vec<_>>()
                };
                let ours = told(watcher);
                let theirs = other.watchers.get(at).map(told).unwrap_or_default();
                if theirs == ours {
                    continue;
                }
                let same = theirs.iter().zip(&ours).take_while(|(a, b)| a == b).count();
                self.differences.push(format!(
                    "step {number}: watch {at:?} {:?} from event {same} on\n  {}: {:?}\n  {}: {:?}",
                    watcher.create,
                    first.name,
                    ours.get(same),
                    other.name,
                    theirs.get(same)
                ));
            }
        }
        for session in &mut self.sessions {
            let name = session.name.clone();
            self.differences
                .extend(session.faults.drain(..).map(|f| format!("{name}: {f}")));
            // Compared: need not be kept.
            for (at, watcher) in &mut session.watchers {
                let limit = known(at);
                watcher.events.retain(|e| e.0 > limit);
            }
            session
                .watchers
                .retain(|at, watcher| at.1 >= -1 || !watcher.events.is_empty());
        }
    }

    /// Every revision that is still there, read whole.
    async fn read_history(&mut self, number: usize) {
        for revision in self.known.compacted.max(1)..=self.known.revision {
            let range = pb::RangeRequest {
                key: Bytes::from_static(&[0]),
                range_end: Bytes::from_static(&[0]),
                revision,
                ..Default::default()
            };
            self.ask(number, &Step::Range(range)).await;
        }
        let mut hashes = Vec::new();
        for session in &self.sessions {
            hashes.push((session.name.clone(), session.hash().await));
        }
        if hashes.iter().any(|(_, h)| *h != hashes[0].1) {
            self.differences
                .push(format!("hashes of the history: {hashes:?}"));
        }
    }
}

async fn contest(targets: &[(&str, &Target)], seed: u64, steps: usize, old_peer: bool) {
    let mut sessions = Vec::new();
    for (name, target) in targets {
        let mut session = Session::open(name, target.addr()).await.unwrap();
        session.settles_ties = old_peer;
        sessions.push(session);
    }
    let known = Known {
        revision: 1,
        compacted: 0,
    };
    let mut contest = Contest {
        sessions,
        known,
        old_peer,
        excused: 0,
        lost: false,
        differences: Vec::new(),
    };
    let mut script = Script::new(seed, old_peer);
    let mut refused = 0;
    for number in 0..steps {
        let step = script.next(contest.known);
        let quiet = match &step {
            Step::Compact(_) => true,
            Step::Cancel(at, id) => contest.sessions[0].watchers.contains_key(&(*at, *id)),
            _ => false,
        };
        if quiet {
            contest.settle(number).await;
        }
        let answer = contest.ask(number, &step).await;
        if let Step::Watch(_, create) = &step {
            contest.await_cancel(create.start_revision).await;
        }
        refused += usize::from(answer.text.starts_with("error"));
        if let (Step::Compact(compact), false) = (&step, answer.text.starts_with("error")) {
            contest.known.compacted = compact.revision;
        }
        contest.thin_out(number).await;
        if contest.lost || contest.differences.len() >= 5 {
            break;
        }
    }
    if !contest.lost {
        contest.settle(steps).await;
        contest.read_history(steps).await;
    }
    let differences = &contest.differences;
    assert!(
        differences.is_empty(),
        "seed {seed}: {} differences, the first:\n{}",
        differences.len(),
        differences
            .iter()
            .take(5)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    );
    eprintln!(
        "seed {seed}: {steps} steps to revision {}, {refused} refused, {} differences explained",
        contest.known.revision, contest.excused
    );
    assert_eq!(
        contest
            .sessions
            .iter()
            .filter(|s| s.watchers.is_empty())
            .count(),
        0
    );
    assert!(
        refused * 2 < steps,
        "the script mostly asks what is refused: it proves little"
    );
}

/// The watches that were not cancelled.
fn living(session: &Session) -> impl Iterator<Item = ((usize, i64), &Watcher)> {
    let all = session.watchers.iter().map(|(at, watcher)| (*at, watcher));
    all.filter(|((_, id), _)| *id >= 0)
}

/// One transaction with a request for each key.
fn each(keys: &BTreeSet<Bytes>, request: fn(Bytes) -> Request) -> Step {
    let op = |key: &Bytes| pb::RequestOp {
        request: Some(request(key.clone())),
    };
    Step::Txn(pb::TxnRequest {
        success: keys.iter().map(op).collect(),
        ..Default::default()
    })
}

fn put(key: Bytes) -> Request {
    Request::RequestPut(pb::PutRequest {
        key,
        value: Bytes::from_static(b"told"),
        ..Default::default()
    })
}

fn delete(key: Bytes) -> Request {
    Request::RequestDeleteRange(pb::DeleteRangeRequest {
        key,
        ..Default::default()
    })
}

fn steps() -> usize {
    number("STOA_SAME_STEPS", 8_000) as usize
}

fn seed() -> u64 {
    number("STOA_SAME_SEED", 1)
}

/// Two etcds: shows that the comparison itself holds before anything is blamed on Stoa.
#[test]
fn etcd_answers_as_etcd() {
    let Some(a) = Target::start(Kind::Etcd, &[]).unwrap() else {
        return;
    };
    let b = Target::start(Kind::Etcd, &[]).unwrap().unwrap();
    run(contest(
        &[("etcd a", &a), ("etcd b", &b)],
        seed(),
        steps(),
        true,
    ));
}

#[test]
fn one_two_and_five_shards_answer_alike() {
    let targets = [1, 2, 5].map(|n| Target::start(Kind::Stoa(n), &[]).unwrap().unwrap());
    let [one, two, five] = &targets;
    let targets = [("1 shard", one), ("2 shards", two), ("5 shards", five)];
    run(contest(&targets, seed(), steps(), false));
}

#[test]
fn stoa_answers_as_etcd() {
    let Some(etcd) = Target::start(Kind::Etcd, &[]).unwrap() else {
        return;
    };
    let targets = [1, 2, 5].map(|n| Target::start(Kind::Stoa(n), &[]).unwrap().unwrap());
    let [one, two, five] = &targets;
    let targets = [
        ("etcd", &etcd),
        ("1 shard", one),
        ("2 shards", two),
        ("5 shards", five),
    ];
    run(contest(&targets, seed(), steps(), true));
}
