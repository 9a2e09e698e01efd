//! Rolling updates: pods replaced one after the other, each in the steps that its controllers and
//! its kubelet take.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::model::{PODS_PER_APP, Resource, Verb};
use super::object::{Place, pod_key};
use super::write::Write;

/// Apps that are looked at before a replacement is left out as none is free.
const TRIES: usize = 64;

/// From the creation of a pod to: it is bound, initialised, running, ready; the old one is marked,
/// its containers ended, it is gone. In milliseconds; a pod starts well within the 5 s objective.
const BOUND: u64 = 50;
const INITIALISED: u64 = 500;
const RUNNING: u64 = 1500;
const READY: u64 = 2000;
const MARKED: u64 = 2100;
const ENDED: u64 = 3000;
const GONE: u64 = 3200;

/// Which pods come next: several apps are being rolled out at a time, pod by pod.
#[derive(Default)]
pub struct Rollouts {
    /// App and next place in it.
    active: RefCell<Vec<(usize, usize)>>,
    turn: std::cell::Cell<usize>,
}

impl Rollouts {
    /// The next place whose pod is replaced, of the first `apps` apps, `at_once` of them active.
    pub fn next(
        &self,
        cluster: &Cluster,
        apps: usize,
        at_once: usize,
    ) -> Option<(usize, Rc<Place>)> {
        let places = cluster.places.borrow();
        for _ in 0..TRIES {
            let active = &mut *self.active.borrow_mut();
            while active.len() < at_once.max(1) {
                active.push((draw(cluster, apps), 0));
            }
            let turn = self.turn.replace(self.turn.get().wrapping_add(1)) % active.len();
            let (app, next) = &mut active[turn];
            if *next == PODS_PER_APP || *app >= apps {
                (*app, *next) = (draw(cluster, apps), 0);
            }
            let number = *app * PODS_PER_APP + *next;
            *next += 1;
            let free = places.get(number).filter(|place| !place.is_busy.get());
            if let Some(place) = free {
                place.is_busy.set(true);
                return Some((number, place.clone()));
            }
        }
        None
    }
}

fn draw(cluster: &Cluster, apps: usize) -> usize {
    let chance = cluster.values.borrow_mut().chance();
    ((chance * apps as f64) as usize).min(apps.saturating_sub(1))
}

/// One pod of a replacement.
struct Pod<'a> {
    cluster: &'a Cluster,
    place: usize,
    generation: u32,
    revision: i64,
}

impl Pod<'_> {
    /// Writes it; what the step before held up is due when that was done.
    async fn write(&mut self, verb: Verb, due: Instant) {
        let resource = Resource::Pods;
        let write = Write {
            verb,
            resource,
            key: pod_key(self.place, self.generation),
            value: match verb {
                Verb::Delete => bytes::Bytes::new(),
                _ => self.cluster.value(resource),
            },
            revision: self.revision,
            lease: 0,
            due,
        };
        let app = self.place / PODS_PER_APP;
        if let Some(revision) = self.cluster.write(app, write).await {
            self.revision = revision;
        }
    }

    /// The kubelet writes its status, having read it.
    async fn status(&mut self, due: Instant) {
        let key = pod_key(self.place, self.generation);
        self.cluster.look(self.place, Resource::Pods, &key).await;
        self.write(Verb::Update, due.max(Instant::now())).await;
    }
}

/// Waits until a step is due; gives when that is.
async fn step(began: Instant, after: u64) -> Instant {
    let due = began + Duration::from_millis(after);
    tokio::time::sleep_until(due.into()).await;
    // The step before may have taken longer.
    due.max(Instant::now() - Duration::from_millis(2))
}

/// Replaces the pod in a place.
pub async fn replace(cluster: Rc<Cluster>, number: usize, place: Rc<Place>, due: Instant) {
    let cluster = &*cluster;
    let app = number / PODS_PER_APP;
    let mut old = Pod {
        cluster,
        place: number,
        generation: place.generation.get(),
        revision: place.revision.get(),
    };
    let mut new = Pod {
        cluster,
        place: number,
        generation: place.generation.get() + 1,
        revision: 0,
    };
    new.write(Verb::Create, due).await;
    cluster.touch(Resource::ReplicaSets, app).await;
    cluster.touch(Resource::Deployments, app).await;
    new.write(Verb::Update, step(due, BOUND).await).await;
    cluster.tell(number).await;
    new.status(step(due, INITIALISED).await).await;
    cluster.tell(number).await;
    new.status(step(due, RUNNING).await).await;
    cluster.tell(number).await;
    cluster.tell(number).await;
    new.status(step(due, READY).await).await;
    for resource in [
        Resource::Slices,
        Resource::ReplicaSets,
        Resource::Deployments,
    ] {
        cluster.touch(resource, app).await;
    }
    old.write(Verb::Update, step(due, MARKED).await).await;
    cluster.tell(number).await;
    old.status(step(due, ENDED).await).await;
    cluster.touch(Resource::Slices, app).await;
    old.write(Verb::Delete, step(due, GONE).await).await;
    place.generation.set(new.generation);
    place.revision.set(new.revision);
    place.is_busy.set(false);
}
