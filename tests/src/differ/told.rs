//! Watches in a contest: created everywhere, and what they are told read up to one point and
//! compared, response by response.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::future::join_all;

use super::contest::{Contest, Watched};
use super::known::{self, Case};
use super::outcome::Outcome;
use super::session::Session;
use super::step::{Step, WATCH};
use super::watches::Told;
use crate::client::pb;

impl Contest {
    pub(super) async fn watch(
        &mut self,
        step: &Step,
        stream: usize,
        create: &pb::WatchCreateRequest,
    ) -> Outcome {
        let past = (1..=self.known.revision).contains(&create.start_revision);
        if past {
            // Then all it is told first is the past, in the order of revisions.
            self.settle().await;
        }
        let loose = past && !self.tells_progress(stream);
        let answers = join_all(self.sessions.iter_mut().map(|s| s.watch(stream, create))).await;
        let outcome = self.compare(step, answers);
        let created: Option<pb::WatchResponse> = outcome.message(WATCH);
        let Some(created) = created.filter(|c| !c.canceled) else {
            return outcome;
        };
        let at = (stream, created.watch_id);
        let watched = Watched {
            create: create.clone(),
            compacted: self.known.compacted,
            loose,
        };
        self.watched.insert(at, watched);
        if past && !loose {
            let ends = create.start_revision < self.known.compacted;
            join_all(self.sessions.iter_mut().map(|s| s.caught_up(at, ends))).await;
        }
        outcome
    }

    /// Whether a server of now tells of progress on this stream: no watch on it is from the
    /// future.
    fn tells_progress(&self, stream: usize) -> bool {
        let revision = self.known.revision;
        let mut all = self.watched.iter().filter(|(at, _)| at.0 == stream);
        all.all(|(_, w)| w.create.start_revision <= revision)
    }

    pub(super) async fn progress(&mut self, step: &Step, stream: usize) -> Outcome {
        self.settle().await;
        let sessions = self.sessions.iter_mut();
        let answers = join_all(sessions.map(|s| s.progress(stream))).await;
        self.compare(step, answers)
    }

    /// Reads what all watches were told and compares that.
    pub(super) async fn settle(&mut self) {
        self.untold = 0;
        if self.watched.is_empty() {
            return;
        }
        let step = Step::Call(Session::settling_put());
        let Step::Call(call) = &step else { return };
        let answers = join_all(self.sessions.iter().map(|s| s.call(call))).await;
        let said = self.said.len();
        let outcome = self.compare(&step, answers);
        self.said.truncate(said);
        let Some(revision) = outcome.revision().filter(|_| !self.lost) else {
            return;
        };
        join_all(self.sessions.iter_mut().map(|s| s.settle(revision))).await;
        let streams: BTreeSet<usize> = self.watched.keys().map(|at| at.0).collect();
        let told: Vec<usize> = streams
            .into_iter()
            .filter(|stream| self.tells_progress(*stream))
            .collect();
        join_all(self.sessions.iter_mut().map(|s| s.all_up(&told))).await;
        self.compare_told();
    }

    fn compare_told(&mut self) {
        let sessions = self.sessions.iter_mut();
        let mut all: Vec<_> = sessions.map(|s| std::mem::take(&mut s.told)).collect();
        let keys: BTreeSet<_> = all.iter().flat_map(|told| told.keys().copied()).collect();
        for at in keys {
            let watched = self.watched.get(&at).cloned();
            let mut told: Vec<Vec<Told>> = all
                .iter_mut()
                .map(|told| told.remove(&at).unwrap_or_default())
                .collect();
            if watched.as_ref().is_some_and(|w| w.loose) {
                told.iter_mut().for_each(known::flatten);
            }
            for response in &told[0] {
                self.saw_watch(&response.bytes);
                let text = super::text::answer(WATCH, &response.bytes);
                self.said.push(format!("{}/{} {text}", at.0, at.1));
            }
            for (number, theirs) in told.iter().enumerate().skip(1) {
                if *theirs != told[0] {
                    self.part(at, watched.as_ref(), number, &told[0], theirs);
                }
            }
        }
        for session in &mut self.sessions {
            let name = session.party.name.clone();
            for fault in session.faults.drain(..) {
                let number = self.number;
                self.differences
                    .push(format!("step {number}: {name}: {fault}"));
            }
        }
        let lives = &self.sessions[0].watches;
        self.watched.retain(|at, _| lives.contains_key(at));
    }

    /// Two servers told a watch other things.
    fn part(
        &mut self,
        at: (usize, i64),
        watched: Option<&Watched>,
        number: usize,
        ours: &[Told],
        theirs: &[Told],
    ) {
        let (version, swapped) = self.etcd_beside(number);
        let row = watched.and_then(|watched| {
            let (ours, theirs) = if swapped {
                (theirs, ours)
            } else {
                (ours, theirs)
            };
            let case = Case::Told {
                watched,
                ours,
                theirs,
            };
            known::explain(version, &case)
        });
        let same = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
        let text = |told: &[Told]| match told.get(same) {
            Some(t) => super::text::answer(WATCH, &t.bytes),
            None => "nothing more".into(),
        };
        self.judge(row, || {
            let step = format!("what {at:?} {watched:?} is told, response {same}");
            (step, number, text(ours), text(theirs))
        });
    }

    /// Notes what a response to a watch shows.
    pub(super) fn saw_watch(&mut self, bytes: &Bytes) {
        let response = Told {
            bytes: bytes.clone(),
        }
        .response();
        if !response.cancel_reason.is_empty() {
            self.saw(&response.cancel_reason);
        }
        let kinds = [
            (response.fragment, "a fragment"),
            (
                response.compact_revision > 0,
                "a watch ended by a compaction",
            ),
            (response.canceled && !response.created, "a watch cancelled"),
            (
                response.watch_id == -1 && !response.created,
                "a progress notice",
            ),
            (response.events.len() > 1, "several events in a response"),
            (
                response.events.iter().any(|e| e.prev_kv.is_some()),
                "a former state",
            ),
        ];
        for (_, what) in kinds.iter().filter(|(is, _)| *is) {
            self.saw(what);
        }
    }
}
