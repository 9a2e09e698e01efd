//! A small Kubernetes cluster: controllers that fight over pods, kubelets that renew their leases,
//! events, two apiservers' compactors and watch caches, all at once. What the caches were told is
//! held against what was acknowledged; with restarts, all go on where they were.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use tests::client::{Status, run};
use tests::random::Random;
use tests::target::{Kind, Target};

use super::LIMIT;
use super::api::{Api, Outcome, PAGE, outcome};
use super::cache::WatchCache;

const PODS: &str = "/registry/pods/";
const LEASES: &str = "/registry/leases/";
const EVENTS: &str = "/registry/events/";

const CONTROLLERS: u64 = 6;
const KUBELETS: u64 = 10;
/// Objects before the work begins: more than two pages.
const OBJECTS: usize = 1100;
/// Revisions that a compaction leaves, so that no cache has to begin anew but after a restart.
const KEPT: i64 = 400;

/// What all know of each other.
#[derive(Default)]
struct World {
    /// Acknowledged writes of each revision.
    acknowledged: RefCell<BTreeMap<i64, (Bytes, Option<Bytes>)>>,
    /// The work is done when all have found this.
    over: Cell<bool>,
    /// The server is stopped, or about to be.
    down: Cell<bool>,
    addr: Cell<Option<SocketAddr>>,
    compactions: Cell<usize>,
    reads: Cell<usize>,
}

type Shared = Rc<World>;

impl World {
    fn note(&self, revision: i64, key: &str, value: Option<&str>) {
        let of = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let change = (of(key), value.map(of));
        let twice = self.acknowledged.borrow_mut().insert(revision, change);
        assert!(twice.is_none(), "revision {revision} was given out twice");
    }

    /// The last revision at which something with this prefix was written.
    fn last(&self, prefix: &str) -> i64 {
        let acknowledged = self.acknowledged.borrow();
        let mut of = acknowledged.iter().rev();
        let found = of.find(|(_, (key, _))| key.starts_with(prefix.as_bytes()));
        found.map_or(0, |(at, _)| *at)
    }

    /// A connection, waited for while the server is down.
    async fn connect(&self) -> Api {
        let began = Instant::now();
        loop {
            match Api::connect(self.addr.get().unwrap()).await {
                Ok(api) if api.fresh(PODS).await.is_ok() => return api,
                _ => {
                    assert!(began.elapsed() < LIMIT, "the server does not come back");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// Passes a failure over that is of a restart.
    fn excuse(&self, error: Status) {
        let code = error.code;
        assert!(code == 14 && self.down.get(), "with the server up: {error}");
    }
}

/// Creates, updates and deletes pods which others change too.
async fn controller(world: Shared, number: u64) {
    let mut random = Random(number);
    let mut api = world.connect().await;
    let mut turn = 0;
    while !world.over.get() {
        turn += 1;
        let key = format!("/registry/pods/shared/p{}", random.below(12));
        let value = format!("{number}.{turn}");
        if let Err(error) = reconcile(&world, &api, &mut random, &key, &value).await {
            world.excuse(error);
            api = world.connect().await;
        }
    }
}

async fn reconcile(
    world: &World,
    api: &Api,
    random: &mut Random,
    key: &str,
    value: &str,
) -> Result<(), Status> {
    let found = api.get(key, 0).await?.kvs.into_iter().next();
    let Some(mut object) = found else {
        let answer = api.create(key, value, 0).await?;
        if let Outcome::Done(at) = outcome(answer) {
            world.note(at, key, Some(value));
        }
        return Ok(());
    };
    let deletes = random.one_in(4);
    // As the apiserver: a conflict is tried again with the object that the answer has.
    for _ in 0..5 {
        let seen = object.mod_revision;
        let answer = match deletes {
            true => api.delete(key, seen).await?,
            false => api.update(key, value, seen, 0).await?,
        };
        match outcome(answer) {
            Outcome::Done(at) => {
                assert!(at > seen);
                world.note(at, key, (!deletes).then_some(value));
                return Ok(());
            }
            Outcome::Conflict(Some(other)) => {
                assert!(other.mod_revision > seen, "no conflict: {other:?}");
                object = other;
            }
            Outcome::Conflict(None) => return Ok(()),
        }
    }
    Ok(())
}

/// Renews the lease object of its node, which is nobody else's: without a restart there is no
/// conflict, and each renewal is on the revision of the one before.
async fn kubelet(world: Shared, number: u64) {
    let key = format!("/registry/leases/kube-node-lease/n{number}");
    let mut api = world.connect().await;
    let (mut seen, mut turn) = (0, 0);
    while !world.over.get() {
        turn += 1;
        let value = format!("renewed {turn}");
        match api.update(&key, &value, seen, 0).await.map(outcome) {
            Ok(Outcome::Done(at)) => {
                world.note(at, &key, Some(&value));
                seen = at;
            }
            Ok(Outcome::Conflict(found)) => {
                // The renewal before had no answer, and had come through.
                let found = found.expect("nobody deletes it");
                assert_eq!(found.value, format!("renewed {}", turn - 1));
                assert!(found.mod_revision > seen);
                seen = found.mod_revision;
            }
            Err(error) => {
                world.excuse(error);
                api = world.connect().await;
            }
        }
    }
}

/// Writes events, many on one lease.
async fn recorder(world: Shared) {
    let mut api = world.connect().await;
    let (mut lease, mut events) = (0, 0);
    while !world.over.get() {
        if events % 50 == 0 {
            match api.lease(3660).await {
                Ok(answer) => {
                    assert_eq!(answer.ttl, 3660);
                    lease = answer.id;
                }
                Err(error) => {
                    world.excuse(error);
                    api = world.connect().await;
                    continue;
                }
            }
        }
        events += 1;
        let key = format!("/registry/events/default/e{events}");
        match api.create(&key, "happened", lease).await.map(outcome) {
            Ok(Outcome::Done(at)) => world.note(at, &key, Some("happened")),
            Ok(Outcome::Conflict(_)) => panic!("{key} is there already"),
            Err(error) => {
                world.excuse(error);
                api = world.connect().await;
            }
        }
    }
}

/// The compactor of one apiserver: whoever finds the key as it was compacts to what was the
/// present long enough ago, the other learns of it.
async fn compactor(world: Shared) {
    let mut api = world.connect().await;
    let mut version = 0;
    while !world.over.get() {
        // Five minutes, in a hurry.
        tokio::time::sleep(Duration::from_millis(40)).await;
        match compact_once(&world, &api, version).await {
            Ok(next) => version = next,
            Err(error) => {
                world.excuse(error);
                api = world.connect().await;
            }
        }
    }
}

async fn compact_once(world: &World, api: &Api, version: i64) -> Result<i64, Status> {
    let to = api.fresh(PODS).await? - KEPT;
    if to <= 1 {
        return Ok(version);
    }
    let answer = api.agree_on_compaction(version, to).await?;
    match outcome(answer) {
        Outcome::Done(at) => {
            let key = super::api::COMPACT_KEY;
            world.note(at, key, Some(&to.to_string()));
            match api.compact(to).await {
                Ok(_) => world.compactions.set(world.compactions.get() + 1),
                // The other one was quicker with a later one.
                Err(status) if status.code == 11 => {}
                Err(status) => return Err(status),
            }
            Ok(version + 1)
        }
        Outcome::Conflict(found) => Ok(found.map_or(0, |kv| kv.version)),
    }
}

/// Counts, every minute in a hurry: as many as a list of that moment has.
async fn counter(world: Shared) {
    let mut api = world.connect().await;
    while !world.over.get() {
        for prefix in [PODS, LEASES, EVENTS] {
            if let Err(error) = count_once(&api, prefix).await {
                world.excuse(error);
                api = world.connect().await;
            }
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

async fn count_once(api: &Api, prefix: &str) -> Result<(), Status> {
    let counted = api.count(prefix).await?;
    assert!(counted.kvs.is_empty() && !counted.more);
    let at = counted.header.unwrap().revision;
    match api.list(prefix, PAGE, at).await {
        Ok((kvs, _)) => assert_eq!(counted.count, kvs.len() as i64, "{prefix} at {at}"),
        Err(status) if status.code == 11 => {}
        Err(status) => return Err(status),
    }
    Ok(())
}

/// The watch cache of one apiserver for one resource type; it ends when it has all.
async fn cache(world: Shared, prefix: &'static str, end: Rc<Cell<i64>>) -> WatchCache {
    let mut api = world.connect().await;
    let has_progress = api.has_progress().await.unwrap();
    let mut cache = WatchCache::list(&api, prefix).await.unwrap();
    loop {
        match follow(&world, &mut cache, &api, has_progress, &end).await {
            Ok(true) => return cache,
            Ok(false) => {
                let mut anew = WatchCache::list(&api, prefix).await.unwrap();
                anew.relists = cache.relists + 1;
                cache = anew;
            }
            Err(error) => {
                world.excuse(error);
                api = world.connect().await;
            }
        }
    }
}

/// True when everything was told, false where it has to list again.
async fn follow(
    world: &World,
    cache: &mut WatchCache,
    api: &Api,
    has_progress: bool,
    end: &Cell<i64>,
) -> Result<bool, Status> {
    let mut feed = cache.watch(api).await?;
    let mut words = 0;
    loop {
        let is_over = end.get() > 0;
        if has_progress && (is_over || words % 25 == 24) {
            if !cache.consistent_read(api, &mut feed).await? {
                return Ok(false);
            }
            world.reads.set(world.reads.get() + 1);
        } else if !cache.take(&mut feed, Duration::from_millis(200)).await? {
            return Ok(false);
        }
        words += 1;
        if is_over && (!has_progress || cache.revision >= end.get()) {
            // Without progress: the last write to each type comes as an event.
            if cache.revision >= world.last(cache.prefix()) {
                cache.compare(api).await?;
                return Ok(true);
            }
        }
    }
}

async fn fill(target: &Target) {
    let api = Api::connect(target.addr()).await.unwrap();
    let numbers: Vec<usize> = (0..OBJECTS).collect();
    for some in numbers.chunks(100) {
        let creates = some.iter().map(async |n| {
            let key = format!("/registry/pods/quiet/p{n:05}");
            let answer = api.create(&key, "quiet", 0).await.unwrap();
            assert!(answer.succeeded);
        });
        join_all(creates).await;
    }
}

/// Works until this many writes are acknowledged; the server is killed and started again so many
/// times on the way. Gives back what each cache was told.
async fn work(world: &Shared, target: &mut Target, writes: usize, restarts: usize) -> Vec<Held> {
    let end = Rc::new(Cell::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for n in 0..CONTROLLERS {
        workers.spawn_local(controller(world.clone(), n));
    }
    for n in 0..KUBELETS {
        workers.spawn_local(kubelet(world.clone(), n));
    }
    workers.spawn_local(recorder(world.clone()));
    workers.spawn_local(counter(world.clone()));
    let mut caches = tokio::task::JoinSet::new();
    for _apiserver in 0..2 {
        workers.spawn_local(compactor(world.clone()));
        for prefix in [PODS, LEASES, EVENTS] {
            let cache = cache(world.clone(), prefix, end.clone());
            caches.spawn_local(async move { (prefix, cache.await) });
        }
    }
    for round in 0..=restarts {
        let goal = writes * (round + 1) / (restarts + 1);
        while world.acknowledged.borrow().len() < goal {
            // Nobody ends before all do, unless something is wrong.
            let ended = workers
                .try_join_next()
                .map(|ended| ended.map(|()| "a worker"));
            let ended = ended.or(caches.try_join_next().map(|e| e.map(|(prefix, _)| prefix)));
            assert!(ended.is_none(), "ended too early: {ended:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if round < restarts {
            world.down.set(true);
            target.kill();
            target.restart().unwrap();
            world.addr.set(Some(target.addr()));
            // Who has not noticed yet meets the new one with an old connection.
            let api = world.connect().await;
            api.health().await.unwrap();
        }
    }
    world.over.set(true);
    while let Some(ended) = workers.join_next().await {
        ended.unwrap();
    }
    let api = world.connect().await;
    end.set(api.fresh(PODS).await.unwrap());
    let mut held = Vec::new();
    while let Some(ended) = caches.join_next().await {
        held.push(ended.unwrap());
    }
    held
}

/// A resource type and the cache of it.
type Held = (&'static str, WatchCache);

/// What each cache was told is what was acknowledged; where there were restarts, also what was
/// asked for and had no answer.
fn check(world: &World, held: &[Held], restarts: usize) {
    let acknowledged = world.acknowledged.borrow();
    for (prefix, cache) in held {
        let is_mine = |key: &Bytes| key.starts_with(prefix.as_bytes());
        let Some((first, _)) = cache.told.first_key_value() else {
            panic!("the cache of {prefix} was told nothing");
        };
        for (at, (key, value)) in acknowledged
            .range(first..)
            .filter(|(_, (key, _))| is_mine(key))
        {
            let told = cache.told.get(at);
            assert_eq!(
                told,
                Some(&vec![(key.clone(), value.clone())]),
                "{prefix}: acknowledged at {at} and told"
            );
        }
        if restarts == 0 {
            let known = cache.told.keys().all(|at| acknowledged.contains_key(at));
            assert!(known, "{prefix}: told what nobody wrote");
            assert_eq!(cache.relists, 0);
        }
    }
}

fn cluster(kind: Kind, writes: usize, restarts: usize) {
    let Some(mut target) = Target::start(kind, &[]).unwrap() else {
        return;
    };
    let world = Shared::default();
    world.addr.set(Some(target.addr()));
    let held = run(tokio::task::LocalSet::new().run_until(async {
        fill(&target).await;
        work(&world, &mut target, writes, restarts).await
    }));
    check(&world, &held, restarts);
    let notices: usize = held.iter().map(|(_, cache)| cache.notices).sum();
    let relists: usize = held.iter().map(|(_, cache)| cache.relists).sum();
    eprintln!(
        "{} writes, {} compactions, {} consistent reads, {notices} notices, {relists} lists again",
        world.acknowledged.borrow().len(),
        world.compactions.get(),
        world.reads.get()
    );
    assert!(world.compactions.get() > 2, "hardly a compaction");
    if target.is_stoa() {
        assert!(world.reads.get() > 20, "hardly a consistent read");
        assert!(notices > 0, "no notice of progress was needed");
    }
}

#[test]
fn etcd_serves_a_cluster() {
    cluster(Kind::Etcd, 3000, 0);
}

#[test]
fn one_shard_serves_a_cluster() {
    cluster(Kind::Stoa(1), 3000, 0);
}

#[test]
fn four_shards_serve_a_cluster() {
    cluster(Kind::Stoa(4), 5000, 0);
}

#[test]
fn a_cluster_goes_on_after_crashes() {
    cluster(Kind::Stoa(3), 4000, 3);
}
