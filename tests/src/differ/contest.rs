//! Asks several servers the same steps and compares what they say. The first one is the measure.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use futures::future::join_all;

use super::known::{self, Case, Row};
use super::outcome::Outcome;
use super::peers::Entrant;
use super::queues::Queues;
use super::session::Session;
use super::step::{Call, Step, WATCH};
use crate::client::pb;
use crate::target::Target;

/// Responses to watches that may be under way before they are read: etcd keeps 128 for a stream
/// and then merges, so that what is told is no longer determined.
const UNTOLD_MAX: usize = 64;

/// Differences after which a run ends.
const DIFFERENCES_MAX: usize = 5;

/// What earlier answers told: lets revisions be chosen near the interesting ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// Newest revision.
    pub revision: i64,
    /// Revision of the last compaction.
    pub compacted: i64,
}

/// A watch that all servers have.
#[derive(Clone, Debug)]
pub struct Watched {
    /// How it was created.
    pub create: pb::WatchCreateRequest,
    /// The compaction then.
    pub compacted: i64,
    /// How its events are put into responses depends on chance: it is from the past, and a watch
    /// from the future beside it hides when it has caught up.
    pub loose: bool,
}

/// Several servers under the same story.
pub struct Contest {
    targets: Vec<Target>,
    /// The servers' sides; the first is the measure.
    pub sessions: Vec<Session>,
    /// What answers told so far.
    pub known: Known,
    /// Differences that a row of the table explains, by its name.
    pub explained: BTreeMap<&'static str, usize>,
    /// Differences that nothing explains.
    pub differences: Vec<String>,
    /// Whether an answer is missing: what follows is not comparable.
    pub lost: bool,
    /// Requests that were refused.
    pub refused: usize,
    /// How often the first server said what a run must have met to prove much: refusals by their
    /// text, and what does not come by itself.
    pub seen: BTreeMap<String, usize>,
    /// Watches that live.
    pub watched: BTreeMap<(usize, i64), Watched>,
    /// Who waits for a lock or an election, and who follows one.
    pub(super) queues: Queues,
    pub(super) untold: usize,
    pub(super) number: usize,
    /// What the first server said to the present step, for golden scripts.
    pub said: Vec<String>,
}

impl Contest {
    /// Starts the servers. `Ok(None)`, with a note on why, when one is not on this machine.
    ///
    /// # Errors
    /// When a server does not start or cannot be reached.
    pub async fn start(entrants: &[Entrant]) -> io::Result<Option<Contest>> {
        let settles_ties = entrants.iter().any(Entrant::is_etcd);
        let (mut targets, mut sessions) = (Vec::new(), Vec::new());
        for entrant in entrants {
            let Some(target) = entrant.start()? else {
                return Ok(None);
            };
            let party = entrant.party(target.addr());
            sessions.push(Session::open(party, settles_ties).await?);
            targets.push(target);
        }
        Ok(Some(Contest {
            targets,
            sessions,
            known: Known {
                revision: 1,
                compacted: 0,
            },
            explained: BTreeMap::new(),
            differences: Vec::new(),
            lost: false,
            refused: 0,
            seen: BTreeMap::new(),
            watched: BTreeMap::new(),
            queues: Queues::default(),
            untold: 0,
            number: 0,
            said: Vec::new(),
        }))
    }

    /// Whether there is no use in going on.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.lost || self.differences.len() >= DIFFERENCES_MAX
    }

    /// One step, asked of everybody and compared.
    pub async fn step(&mut self, step: &Step) -> Outcome {
        self.number += 1;
        self.said.clear();
        let before = self.known.revision;
        let outcome = self.take(step).await;
        self.refused += usize::from(outcome.refusal().is_some());
        if let (Step::Call(Call::Compact(compact)), Outcome::Message(..)) = (step, &outcome) {
            self.known.compacted = compact.revision;
            self.await_sweep(compact.revision).await;
        }
        if self.lost {
            return outcome;
        }
        if self.known.revision > before {
            self.untold += self.watched.len();
            self.follow_queues().await;
        }
        if self.untold > UNTOLD_MAX {
            self.settle().await;
        }
        outcome
    }

    /// Waits until what a compaction took is really gone: where nothing is alive, etcd hashes also
    /// what is only about to go. Asking for the same again is refused, but not before that.
    async fn await_sweep(&mut self, revision: i64) {
        let again = Call::Compact(pb::CompactionRequest {
            revision,
            physical: true,
        });
        let answers = join_all(self.sessions.iter().map(|s| s.call(&again))).await;
        let said = self.said.len();
        self.compare(&Step::Call(again), answers);
        self.said.truncate(said);
    }

    async fn take(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Call(Call::Campaign(_) | Call::Lock(_)) => self.queue(step).await,
            Step::Call(call) => {
                let filled = self.place(call).await;
                let call = filled.as_ref().unwrap_or(call);
                if let Call::Compact(_) = call {
                    if self.queues.is_waited() {
                        // A wait looks on from a revision that may go.
                        return self.skip();
                    }
                    self.unobserve();
                    self.settle().await;
                }
                let answers = join_all(self.sessions.iter().map(|s| s.call(call))).await;
                self.compare(step, answers)
            }
            Step::KeepAlive(id) => {
                let answers = join_all(self.sessions.iter_mut().map(|s| s.renew(*id))).await;
                self.compare(step, answers)
            }
            Step::Watch(stream, create) => self.watch(step, *stream, create).await,
            Step::Cancel(stream, id) => {
                self.settle().await;
                let sessions = self.sessions.iter_mut();
                let answers = join_all(sessions.map(|s| s.cancel(*stream, *id))).await;
                self.watched.remove(&(*stream, *id));
                self.compare(step, answers)
            }
            Step::Progress(stream) => self.progress(step, *stream).await,
            Step::Settle => {
                self.settle().await;
                Outcome::word("settled")
            }
            Step::Pad(revision) => self.pad(*revision).await,
            Step::Observe(name) => self.observe(step, name).await,
            Step::Unobserve => {
                self.unobserve();
                Outcome::word("nobody follows")
            }
            Step::Restart { kill } => self.restart(*kill).await,
        }
    }

    pub(super) fn saw(&mut self, what: &str) {
        *self.seen.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn skip(&mut self) -> Outcome {
        self.said.push("skipped".into());
        Outcome::word("skipped")
    }

    /// Compares answers, of which there is one for each session. Gives the first.
    pub(super) fn compare(&mut self, step: &Step, answers: Vec<Outcome>) -> Outcome {
        let first = answers[0].clone();
        for (at, answer) in answers.iter().enumerate().skip(1) {
            if *answer == first && !first.is_missing() {
                continue;
            }
            self.lost |= answer.is_missing() || first.is_missing();
            let (version, swapped) = self.etcd_beside(at);
            let (mut ours, mut theirs) = (&first, answer);
            if swapped {
                (ours, theirs) = (theirs, ours);
            }
            let row = known::explain(version, &Case::Answer { step, ours, theirs });
            self.judge(row, || {
                let (a, b) = (first.to_string(), answer.to_string());
                (step.to_string(), at, a, b)
            });
        }
        if let Some(revision) = first.revision() {
            self.known.revision = self.known.revision.max(revision);
        }
        match &first {
            Outcome::Refused(status) => self.saw(&status.to_string()),
            Outcome::Message(WATCH, bytes) => self.saw_watch(bytes),
            _ => {}
        }
        self.said.push(first.to_string());
        first
    }

    /// The version of the one etcd among the first and this, and whether it is the first.
    pub(super) fn etcd_beside(&self, at: usize) -> (Option<&str>, bool) {
        let etcd = |at: usize| self.sessions[at].party.etcd.as_deref();
        match (etcd(0), etcd(at)) {
            (Some(version), None) => (Some(version), true),
            (None, Some(version)) => (Some(version), false),
            _ => (None, false),
        }
    }

    /// Counts an explained difference, or keeps an unexplained one.
    pub(super) fn judge(
        &mut self,
        row: Option<&'static Row>,
        told: impl FnOnce() -> (String, usize, String, String),
    ) {
        if let Some(row) = row {
            *self.explained.entry(row.what).or_default() += 1;
            return;
        }
        let (step, at, ours, theirs) = told();
        let (a, b) = (&self.sessions[0].party.name, &self.sessions[at].party.name);
        let place = ours
            .bytes()
            .zip(theirs.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        // Long answers are shown from a little before the place where they part.
        let shown = |text: &str| {
            let from = if text.len() > 2000 {
                place.saturating_sub(200)
            } else {
                0
            };
            let text: String = text.chars().skip(from).take(1500).collect();
            if from > 0 {
                format!("... {text}")
            } else {
                text
            }
        };
        self.differences.push(format!(
            "step {}: {:.3000}\n  {a}: {}\n  {b}: {}",
            self.number,
            step,
            shown(&ours),
            shown(&theirs)
        ));
    }

    async fn pad(&mut self, revision: i64) -> Outcome {
        let step = Step::Call(Call::Put(pb::PutRequest {
            key: Bytes::from_static(b"\xfe/pad"),
            ..Default::default()
        }));
        let Step::Call(call) = &step else {
            return self.skip();
        };
        while self.known.revision < revision && !self.is_over() {
            let answers = join_all(self.sessions.iter().map(|s| s.call(call))).await;
            self.compare(&step, answers);
            self.untold += self.watched.len();
            // That takes a revision itself.
            if self.untold > UNTOLD_MAX && self.known.revision < revision {
                self.settle().await;
            }
        }
        self.said.clear();
        self.said.push(format!("at {}", self.known.revision));
        Outcome::word("padded")
    }

    async fn restart(&mut self, kill: bool) -> Outcome {
        if self.queues.is_waited() {
            return self.skip();
        }
        self.unobserve();
        self.settle().await;
        self.watched.clear();
        let ends = std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for target in &mut self.targets {
                threads.push(scope.spawn(move || -> io::Result<()> {
                    if kill {
                        target.kill();
                    } else {
                        target.stop()?;
                    }
                    target.restart()
                }));
            }
            let ends = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            ends.collect::<Vec<_>>()
        });
        for (at, end) in ends.into_iter().enumerate() {
            let mut result = end.unwrap_or_else(|_| Err(io::Error::other("panicked")));
            if result.is_ok() {
                result = self.sessions[at].reopen().await;
            }
            if let Err(e) = result {
                let name = &self.sessions[at].party.name;
                self.differences
                    .push(format!("step {}: restart of {name}: {e}", self.number));
                self.lost = true;
            }
        }
        self.saw("a restart");
        self.said.push("restarted".into());
        Outcome::word("restarted")
    }
}
