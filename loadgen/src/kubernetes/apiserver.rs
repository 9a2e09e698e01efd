//! One kube-apiserver: its connections and caches, the lease of its events, and what it does by the
//! clock: compaction, counts, its probe of the server's size, reads that have to be consistent.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use proto::etcdserverpb as pb;
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, spawn_local};

use super::api;
use super::cache::Cache;
use super::line::Line;
use super::model::{EVENT_LEASE_OBJECTS, EVENT_LEASE_SECONDS, EVENT_TTL, Resource};
use super::record::{Kind, Record};
use crate::client::{Options, Status};

/// How often the server's size is asked for.
const STATUS_EVERY: Duration = Duration::from_secs(30);

/// How often it does what it does by the clock; zero: never.
#[derive(Clone, Copy, Debug)]
pub struct Clockwork {
    /// Compaction of the revision of one such span ago.
    pub compact: Duration,
    /// Counts of each resource.
    pub count: Duration,
    /// Consistent reads, of one resource after the other.
    pub read: Duration,
}

/// The lease that new events are given.
#[derive(Default)]
struct EventLease {
    id: i64,
    objects: usize,
    since: Option<Instant>,
}

/// What the caches of an apiserver did before its restarts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Past {
    /// Events that did not follow from what was there.
    pub gaps: u64,
    /// Watches that went on.
    pub resumes: u64,
    /// Events taken in.
    pub events: u64,
    /// Lists made.
    pub lists: u64,
}

/// A kube-apiserver.
pub struct Apiserver {
    lines: Vec<Rc<Line>>,
    caches: RefCell<Vec<Rc<Cache>>>,
    tasks: RefCell<Vec<AbortHandle>>,
    /// Whether its caches are ready, so that clients come to it.
    pub is_up: Cell<bool>,
    event_lease: Mutex<EventLease>,
    past: Cell<Past>,
    is_streaming: bool,
    /// Whether notices of progress that are asked for can be trusted.
    pub has_progress: Cell<bool>,
    /// Compactions that it won.
    pub compactions: Cell<u64>,
    record: Rc<Record>,
}

impl Apiserver {
    /// The `number`th one.
    pub fn new(
        options: &Options,
        number: usize,
        is_streaming: bool,
        record: &Rc<Record>,
    ) -> Rc<Apiserver> {
        // All lines of an apiserver go to one server.
        let line = |_| Rc::new(Line::new(options, number));
        Rc::new(Apiserver {
            lines: Resource::ALL.iter().map(line).collect(),
            caches: RefCell::default(),
            tasks: RefCell::default(),
            is_up: Cell::default(),
            event_lease: Mutex::default(),
            past: Cell::default(),
            is_streaming,
            has_progress: Cell::default(),
            compactions: Cell::default(),
            record: record.clone(),
        })
    }

    /// The connection of a resource.
    pub fn line(&self, resource: Resource) -> &Rc<Line> {
        &self.lines[resource as usize]
    }

    /// The cache of a resource, once started.
    pub fn cache(&self, resource: Resource) -> Option<Rc<Cache>> {
        self.caches.borrow().get(resource as usize).cloned()
    }

    /// Starts its caches, all at once; done when all are filled.
    pub async fn start(&self) {
        let due = Instant::now();
        let mut caches = Vec::new();
        for resource in Resource::ALL {
            let cache = Cache::new(resource, self.is_streaming);
            let line = self.line(resource).clone();
            let task = spawn_local(cache.clone().run(line, self.record.clone(), due));
            self.tasks.borrow_mut().push(task.abort_handle());
            caches.push(cache);
        }
        self.caches.replace(caches.clone());
        for cache in &caches {
            cache.listed().await;
        }
        self.is_up.set(true);
    }

    /// Ends at once, as a process does: its connections break.
    pub fn stop(&self) {
        self.is_up.set(false);
        for task in self.tasks.take() {
            task.abort();
        }
        self.past.set(self.totals());
        self.caches.take();
        self.lines.iter().for_each(|line| line.close());
    }

    /// Whether none of its caches is being listed.
    pub fn is_settled(&self) -> bool {
        !self.caches.borrow().iter().any(|cache| cache.is_listing())
    }

    /// Notes of its caches' lists on their way what [`Cache::note_unfinished`] says.
    pub fn note_unfinished(&self, limit: Duration) {
        for cache in &*self.caches.borrow() {
            cache.note_unfinished(&self.record, limit);
        }
    }

    /// What all its caches did.
    pub fn totals(&self) -> Past {
        let mut sum = self.past.get();
        for cache in &*self.caches.borrow() {
            sum.gaps += cache.gaps.get();
            sum.resumes += cache.resumes.get();
            sum.events += cache.events.get();
            sum.lists += cache.lists.get();
        }
        sum
    }

    /// Asks the server for its version.
    pub async fn probe(&self) -> Result<String, Status> {
        let line = self.line(Resource::Pods);
        let request = pb::StatusRequest {};
        let status = line
            .call(async |channel| channel.status(&request).await)
            .await?;
        self.has_progress.set(api::has_progress(&status.version));
        Ok(status.version)
    }

    /// The lease for an event: shared by up to a thousand in a minute, never kept alive.
    pub async fn event_lease(&self) -> Result<i64, Status> {
        let mut lease = self.event_lease.lock().await;
        let is_young = lease
            .since
            .is_some_and(|since| since.elapsed().as_secs() < EVENT_LEASE_SECONDS);
        if !is_young || lease.objects >= EVENT_LEASE_OBJECTS {
            let slack = i64::try_from(EVENT_LEASE_SECONDS).unwrap_or(0);
            let ttl = EVENT_TTL + slack;
            let request = pb::LeaseGrantRequest { ttl, id: 0 };
            let line = self.line(Resource::Events);
            let granted = line
                .call(async |channel| channel.grant(&request).await)
                .await?;
            *lease = EventLease {
                id: granted.id,
                objects: 0,
                since: Some(Instant::now()),
            };
        }
        lease.objects += 1;
        Ok(lease.id)
    }

    /// Does for ever what is done by the clock.
    pub fn tick(self: &Rc<Self>, clockwork: Clockwork) -> Vec<AbortHandle> {
        let mut tasks = Vec::new();
        let (me, every) = (self.clone(), clockwork.compact);
        if !every.is_zero() {
            tasks.push(spawn_local(async move { me.compact(every).await }).abort_handle());
        }
        let (me, every) = (self.clone(), clockwork.count);
        if !every.is_zero() {
            tasks.push(spawn_local(async move { me.count(every).await }).abort_handle());
        }
        let (me, every) = (self.clone(), clockwork.read);
        if !every.is_zero() {
            tasks.push(spawn_local(async move { me.read(every).await }).abort_handle());
        }
        let me = self.clone();
        tasks.push(spawn_local(async move { me.watch_size().await }).abort_handle());
        tasks
    }

    fn heed<T>(&self, result: Result<T, Status>) -> Option<T> {
        self.record.called();
        if let Err(status) = &result {
            self.record.failed(status);
        }
        result.ok()
    }

    async fn compact(&self, every: Duration) {
        let (mut version, mut before) = (0, 0);
        let mut clock = clock(every);
        let line = self.line(Resource::Leases);
        loop {
            clock.tick().await;
            let turn = api::turn(version, before);
            let answer = line.call(async |channel| channel.txn(&turn).await).await;
            let Some(answer) = self.heed(answer) else {
                continue;
            };
            let now = api::revision(answer.header.as_ref());
            if !answer.succeeded {
                version = api::present(answer).map_or(0, |kv| kv.version);
                before = now;
                continue;
            }
            version += 1;
            // The first turn only learns where the present is.
            if before > 0 {
                let request = pb::CompactionRequest {
                    revision: before,
                    physical: false,
                };
                let done = line
                    .call(async |channel| channel.compact(&request).await)
                    .await;
                if self.heed(done).is_some() {
                    self.record.bump(&self.compactions);
                }
            }
            before = now;
        }
    }

    async fn count(&self, every: Duration) {
        let mut clock = clock(every);
        loop {
            clock.tick().await;
            for resource in Resource::ALL {
                let due = Instant::now();
                let counted = api::count(self.line(resource), resource.prefix()).await;
                if self.heed(counted).is_some() {
                    self.record.took(Kind::Count, resource, due);
                }
            }
        }
    }

    async fn watch_size(&self) {
        let mut clock = clock(STATUS_EVERY);
        loop {
            clock.tick().await;
            let _ = self.heed(self.probe().await);
        }
    }

    /// Reads that have to be consistent: from the cache when it is as new as a read of the server,
    /// or where its notices cannot be trusted a page from the server itself.
    async fn read(&self, every: Duration) {
        let mut clock = clock(every);
        for resource in Resource::ALL.into_iter().cycle() {
            let due = clock.tick().await.into_std();
            let Some(cache) = self.cache(resource).filter(|_| self.is_up.get()) else {
                continue;
            };
            let (line, prefix) = (self.line(resource), resource.prefix());
            if !self.has_progress.get() {
                let page = api::page(line, prefix, prefix.into(), 0).await;
                if self.heed(page).is_some() {
                    self.record.took(Kind::Fresh, resource, due);
                }
                continue;
            }
            let Some(wanted) = self.heed(api::fresh(line, prefix).await) else {
                continue;
            };
            // A cache that is gone with its apiserver never gets there.
            let reached = tokio::time::timeout(super::line::CALL_LIMIT, cache.reaches(wanted));
            if reached.await.is_ok() {
                self.record.took(Kind::Fresh, resource, due);
            }
        }
    }
}

/// A clock whose first tick comes after one span.
fn clock(every: Duration) -> tokio::time::Interval {
    tokio::time::interval_at(tokio::time::Instant::now() + every, every)
}
