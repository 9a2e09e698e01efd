//! The measured phase: everything is due by the clock, whether what came before is done or not.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{AbortHandle, spawn_local};

use super::apiserver::Clockwork;
use super::cluster::Cluster;
use super::line::CALL_LIMIT;
use super::model::{LEASE_JITTER, LEASE_SECONDS, Resource, STATUS_SECONDS};
use super::rollout::{Rollouts, replace};
use crate::progress::{Progress, Stop};
use crate::server_process::Watcher;

/// The longest sleep, so that an end asked for is heard.
const NAP: Duration = Duration::from_millis(100);

/// Replacements a second that one app makes while it is rolled out: four pods at a time (a quarter
/// of its pods, as Kubernetes allows unless told otherwise), each done in about four seconds.
const APP_RATE: f64 = 1.0;

/// How long what goes on at the end of a phase is waited for.
pub const PATIENCE: Duration = CALL_LIMIT.saturating_mul(2);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Lease(usize),
    Status(usize),
    Replacement,
    Restart(usize),
    Second,
}

/// How a phase is driven.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Nodes that are alive.
    pub nodes: usize,
    /// How long.
    pub duration: Duration,
    /// How often an apiserver restarts; zero: never.
    pub restart: Duration,
    /// How long a list may take.
    pub list: Duration,
    /// What apiservers do by the clock.
    pub clockwork: Clockwork,
}

/// What goes on, so that the end can wait for it.
struct Going(Rc<Cell<usize>>);

impl Going {
    fn new(count: &Rc<Cell<usize>>) -> Going {
        count.set(count.get() + 1);
        Going(count.clone())
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

struct Phase<'a> {
    cluster: &'a Rc<Cluster>,
    plan: Plan,
    queue: BinaryHeap<Reverse<(Instant, Due)>>,
    rollouts: Rollouts,
    going: Rc<Cell<usize>>,
    /// Replacements a second, and apps in which they are.
    replacements: f64,
    apps: usize,
}

/// Drives a phase; gives how long it took in seconds, without the time to let it end.
pub async fn drive(
    cluster: &Rc<Cluster>,
    plan: Plan,
    watcher: &Watcher,
    stop: Stop,
    progress: &Progress,
) -> f64 {
    let model = cluster.model(plan.nodes);
    let began = Instant::now();
    let mut phase = Phase {
        cluster,
        plan,
        queue: BinaryHeap::new(),
        rollouts: Rollouts::default(),
        going: Rc::default(),
        replacements: model.replacements(),
        apps: model.apps(),
    };
    phase.begin(began);
    cluster.record.measure(true);
    let clocks: Vec<AbortHandle> = cluster
        .apiservers
        .iter()
        .flat_map(|apiserver| apiserver.tick(plan.clockwork))
        .collect();
    // What was due before the end is done, also by a program that was late.
    while !stop.is_set() && phase.turn(began, watcher, progress).await {}
    let seconds = began.elapsed().min(plan.duration).as_secs_f64();
    clocks.iter().for_each(AbortHandle::abort);
    let ended = Instant::now();
    while phase.going.get() > 0 && ended.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    cluster.settled(PATIENCE.max(plan.list), stop).await;
    for apiserver in &cluster.apiservers {
        apiserver.note_unfinished(plan.list);
    }
    cluster.record.measure(false);
    seconds
}

impl Phase<'_> {
    fn chance(&self) -> f64 {
        self.cluster.values.borrow_mut().chance()
    }

    /// The first of everything, spread over its interval.
    fn begin(&mut self, now: Instant) {
        for node in 0..self.plan.nodes {
            for (due, seconds) in [
                (Due::Lease(node), LEASE_SECONDS * (1.0 + LEASE_JITTER / 2.0)),
                (Due::Status(node), STATUS_SECONDS),
            ] {
                let wait = Duration::from_secs_f64(self.chance() * seconds);
                self.queue.push(Reverse((now + wait, due)));
            }
        }
        if self.replacements > 0.0 && self.apps > 0 {
            self.queue.push(Reverse((now, Due::Replacement)));
        }
        if !self.plan.restart.is_zero() {
            self.queue
                .push(Reverse((now + self.plan.restart, Due::Restart(0))));
        }
        self.queue
            .push(Reverse((now + Duration::from_secs(1), Due::Second)));
    }

    /// Does what is due, and sleeps until something is. False when all that is due before the end
    /// was done.
    async fn turn(&mut self, began: Instant, watcher: &Watcher, progress: &Progress) -> bool {
        let (now, end) = (Instant::now(), began + self.plan.duration);
        while let Some(&Reverse((at, due))) = self.queue.peek() {
            if at > now.min(end) {
                break;
            }
            self.queue.pop();
            if let Due::Second = due {
                self.cluster.record.tick();
                watcher.look();
                progress.set(began.elapsed().as_secs());
            }
            let (wait, next) = self.act(at, due);
            self.queue.push(Reverse((at + wait, next)));
        }
        if now >= end {
            return false;
        }
        let next = self
            .queue
            .peek()
            .map_or(end, |Reverse((at, _))| *at)
            .min(end);
        let wait = next.saturating_duration_since(Instant::now());
        tokio::time::sleep(wait.min(NAP)).await;
        true
    }

    /// Begins what is due; gives when it is due again and what then.
    fn act(&mut self, at: Instant, due: Due) -> (Duration, Due) {
        let seconds = match due {
            Due::Lease(node) => {
                self.renew(Resource::Leases, node, at);
                LEASE_SECONDS * (1.0 + LEASE_JITTER * self.chance())
            }
            Due::Status(node) => {
                self.renew(Resource::Nodes, node, at);
                STATUS_SECONDS
            }
            Due::Replacement => {
                self.replace(at);
                // Independent of each other: gaps are exponential.
                -(1.0 - self.chance()).ln() / self.replacements
            }
            Due::Restart(number) => {
                self.restart(number);
                let next = (number + 1) % self.cluster.apiservers.len();
                return (self.plan.restart, Due::Restart(next));
            }
            Due::Second => 1.0,
        };
        (Duration::from_secs_f64(seconds), due)
    }

    fn renew(&self, resource: Resource, node: usize, due: Instant) {
        let objects = match resource {
            Resource::Leases => &self.cluster.leases,
            _ => &self.cluster.nodes,
        };
        let Some(object) = objects.borrow().get(node).cloned() else {
            return;
        };
        if object.is_busy.replace(true) {
            // One more may wait; a kubelet does not pile them up.
            let record = &self.cluster.record;
            match object.waiting.get() {
                Some(_) => record.bump(&record.missed),
                None => object.waiting.set(Some(due)),
            }
            return;
        }
        let (cluster, going) = (self.cluster.clone(), Going::new(&self.going));
        spawn_local(async move {
            let _going = going;
            cluster.renew(resource, node, object, due).await;
        });
    }

    fn replace(&self, due: Instant) {
        let at_once = (self.replacements / APP_RATE).ceil() as usize;
        let next = self.rollouts.next(self.cluster, self.apps, at_once);
        let Some((number, place)) = next else {
            let record = &self.cluster.record;
            return record.bump(&record.missed);
        };
        let (cluster, going) = (self.cluster.clone(), Going::new(&self.going));
        spawn_local(async move {
            let _going = going;
            replace(cluster, number, place, due).await;
        });
    }

    fn restart(&self, number: usize) {
        let Some(apiserver) = self.cluster.apiservers.get(number) else {
            return;
        };
        // One that is still filling its caches is left to it.
        if !apiserver.is_up.get() {
            return;
        }
        apiserver.stop();
        let apiserver = apiserver.clone();
        spawn_local(async move { apiserver.start().await });
    }
}
