//! kill -9 under load, restart, again and again, on a real disk: nothing acknowledged or shown to
//! a watcher is lost, no transaction is half there, revisions have no gap, and a watch from an old
//! revision tells everything once.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tests::client::{Client, Status, create, pb, run};
use tests::history::{History, all_keys, replay};
use tests::peer;
use tests::random::Random;
use tests::skip::{number, on_ci, skip};
use tests::target::{Kind, Target};

const WRITERS: u64 = 8;
const TXN_KEYS: u64 = 6;
const LIMIT: Duration = Duration::from_secs(30);

/// What the server has acknowledged, over all rounds.
#[derive(Default)]
struct Acknowledged {
    /// Revision and what it wrote.
    writes: BTreeMap<i64, Vec<(Bytes, Bytes)>>,
    /// Leases granted and not asked to go.
    leases: Vec<i64>,
    /// Leases whose revoke was acknowledged.
    revoked: Vec<i64>,
    /// Highest compaction acknowledged, and the highest asked for.
    compacted: i64,
    compaction_asked: i64,
    /// Highest revision in any answer.
    revision: i64,
    /// What the live watcher of this round saw.
    seen: History,
    counter: u64,
    /// The server has been killed.
    killed: bool,
}

type Shared = Rc<RefCell<Acknowledged>>;

fn next(shared: &Shared) -> u64 {
    let mut shared = shared.borrow_mut();
    shared.counter += 1;
    shared.counter
}

fn revision(header: Option<pb::ResponseHeader>) -> i64 {
    header.map_or(0, |h| h.revision)
}

/// Notes an acknowledged write.
fn note(shared: &Shared, revision: i64, pairs: Vec<(Bytes, Bytes)>) {
    let mut shared = shared.borrow_mut();
    shared.revision = shared.revision.max(revision);
    let twice = shared.writes.insert(revision, pairs);
    assert!(twice.is_none(), "revision {revision} was given out twice");
}

async fn putter(client: Client, shared: Shared, writer: u64) -> Result<(), Status> {
    loop {
        let value = Bytes::from(format!("{}", next(&shared)));
        let key = Bytes::from(format!("put/{writer}/{}", next(&shared) % 50));
        let put = pb::PutRequest {
            key: key.clone(),
            value: value.clone(),
            ..Default::default()
        };
        let answer = client.put(&put).await?;
        note(&shared, revision(answer.header), vec![(key, value)]);
    }
}

/// Every transaction writes one number to keys that lie on many shards.
async fn transactor(client: Client, shared: Shared, writer: u64) -> Result<(), Status> {
    loop {
        let value = Bytes::from(format!("{}", next(&shared)));
        let pairs: Vec<(Bytes, Bytes)> = (0..TXN_KEYS)
            .map(|n| (Bytes::from(format!("txn/{writer}/{n}")), value.clone()))
            .collect();
        let success = pairs
            .iter()
            .map(|(key, value)| {
                let (key, value) = (key.clone(), value.clone());
                let put = pb::PutRequest {
                    key,
                    value,
                    ..Default::default()
                };
                pb::RequestOp {
                    request: Some(pb::request_op::Request::RequestPut(put)),
                }
            })
            .collect();
        let answer = client
            .txn(&pb::TxnRequest {
                success,
                ..Default::default()
            })
            .await?;
        note(&shared, revision(answer.header), pairs);
    }
}

/// Grants leases, hangs a key on each, and revokes every third.
async fn lessor(client: Client, shared: Shared) -> Result<(), Status> {
    loop {
        let id = i64::try_from(next(&shared)).unwrap();
        client
            .lease_grant(&pb::LeaseGrantRequest { ttl: 3600, id })
            .await?;
        shared.borrow_mut().leases.push(id);
        let (key, value) = (
            Bytes::from(format!("lease/{id}")),
            Bytes::from_static(b"held"),
        );
        let put = pb::PutRequest {
            key: key.clone(),
            value: value.clone(),
            lease: id,
            ..Default::default()
        };
        let answer = client.put(&put).await?;
        note(&shared, revision(answer.header), vec![(key, value)]);
        if id % 3 == 0 {
            // Once asked for, it may be gone with or without an answer.
            shared.borrow_mut().leases.retain(|l| *l != id);
            client.lease_revoke(&pb::LeaseRevokeRequest { id }).await?;
            shared.borrow_mut().revoked.push(id);
        }
    }
}

async fn compactor(client: Client, shared: Shared) -> Result<(), Status> {
    loop {
        tokio::time::sleep(Duration::from_millis(150)).await;
        if shared.borrow().killed {
            return Ok(());
        }
        let to = shared.borrow().revision - 200;
        if to <= shared.borrow().compaction_asked {
            continue;
        }
        shared.borrow_mut().compaction_asked = to;
        client
            .compact(&pb::CompactionRequest {
                revision: to,
                physical: false,
            })
            .await?;
        shared.borrow_mut().compacted = to;
    }
}

/// Makes one checkpoint after the other, so that the crash meets one half made.
async fn checkpointer(client: Client) -> Result<(), Status> {
    loop {
        client.defragment(&pb::DefragmentRequest {}).await?;
    }
}

async fn watcher(client: Client, shared: Shared) -> Result<(), Status> {
    let (mut requests, mut responses) = client.watch().await?;
    requests.send(&create(all_keys(0)))?;
    while let Some(response) = responses.next().await? {
        shared
            .borrow_mut()
            .seen
            .add(&response)
            .expect("a watch promise holds under load");
    }
    Ok(())
}

/// Loads the server until it is killed in the middle.
async fn load(target: &mut Target, shared: &Shared, random: &mut Random, checkpoints: bool) {
    let addr = target.addr();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let client = Client::connect(addr).await.unwrap();
        tasks.spawn_local(putter(client.clone(), shared.clone(), writer));
        tasks.spawn_local(transactor(client, shared.clone(), writer));
    }
    let client = Client::connect(addr).await.unwrap();
    tasks.spawn_local(watcher(
        Client::connect(addr).await.unwrap(),
        shared.clone(),
    ));
    tasks.spawn_local(lessor(client.clone(), shared.clone()));
    if checkpoints {
        tasks.spawn_local(checkpointer(client.clone()));
    }
    tasks.spawn_local(compactor(client, shared.clone()));
    let before = shared.borrow().revision;
    shared.borrow_mut().killed = false;
    let time = Duration::from_millis(300 + random.below(900));
    tokio::time::sleep(time).await;
    target.kill();
    shared.borrow_mut().killed = true;
    while let Some(ended) = tasks.join_next().await {
        match ended.unwrap() {
            Err(status) if status.code == 14 => {}
            // The stream of a killed server may also just end.
            Ok(()) => {}
            Err(status) => panic!("a request failed before the crash: {status}"),
        }
    }
    let gained = shared.borrow().revision - before;
    assert!(gained > 0, "no load before the crash proves nothing");
}

async fn check(target: &Target, told: &Acknowledged) {
    let client = Client::connect(target.addr()).await.unwrap();
    let now = revision(client.get("none", "").await.unwrap().header);
    assert!(
        now >= told.revision,
        "revision {} was acknowledged, now is {now}",
        told.revision
    );
    assert!(
        now >= told.seen.last(),
        "a watcher was shown {}, now is {now}",
        told.seen.last()
    );

    // What was compacted stays so; where a compaction got no answer either is right.
    let from = told.compaction_asked.max(1) + 1;
    if told.compacted > 1 {
        let old = pb::RangeRequest {
            key: Bytes::from_static(b"none"),
            revision: told.compacted - 1,
            ..Default::default()
        };
        let error = client.range(&old).await.unwrap_err();
        assert_eq!(
            error.message,
            "etcdserver: mvcc: required revision has been compacted"
        );
    }
    let history = replay(&client, from, now, LIMIT).await.unwrap();
    history.dense(from, now).unwrap();
    history.continues(&told.seen, from).unwrap();
    for (revision, pairs) in told.writes.range(from..) {
        let changes = &history.revisions[revision];
        for (key, value) in pairs {
            let there = changes
                .iter()
                .any(|(k, v)| k == key && v.as_ref() == Some(value));
            assert!(
                there,
                "acknowledged at {revision}: {key:?} = {value:?}; is {changes:?}"
            );
        }
    }
    check_state(&client, &history, from).await;
    check_leases(&client, told).await;
}

/// Transactions are whole, and what a range reads is what the watch told last.
async fn check_state(client: &Client, history: &History, from: i64) {
    for writer in 0..WRITERS {
        let all = client
            .get(format!("txn/{writer}/"), format!("txn/{writer}0"))
            .await
            .unwrap();
        let whole = all
            .kvs
            .windows(2)
            .all(|w| w[0].value == w[1].value && w[0].mod_revision == w[1].mod_revision);
        assert!(
            whole && [0, TXN_KEYS as usize].contains(&all.kvs.len()),
            "half: {:?}",
            all.kvs
        );
    }
    let mut last = BTreeMap::new();
    for (revision, changes) in &history.revisions {
        for (key, value) in changes {
            last.insert(key.clone(), value.clone().map(|v| (*revision, v)));
        }
    }
    let state = client.get([0], [0]).await.unwrap();
    let state: BTreeMap<_, _> = state
        .kvs
        .into_iter()
        .map(|kv| (kv.key, (kv.mod_revision, kv.value)))
        .collect();
    for (key, told) in &last {
        assert_eq!(
            state.get(key),
            told.as_ref(),
            "{key:?}: range against watch"
        );
    }
    for (key, (revision, _)) in &state {
        assert!(
            *revision < from || last.contains_key(key),
            "{key:?} at {revision} was not told"
        );
    }
}

async fn check_leases(client: &Client, told: &Acknowledged) {
    let all = client
        .lease_leases(&pb::LeaseLeasesRequest {})
        .await
        .unwrap();
    let all: Vec<i64> = all.leases.iter().map(|l| l.id).collect();
    for id in &told.leases {
        assert!(all.contains(id), "lease {id} was granted and is gone");
    }
    for id in &told.revoked {
        assert!(!all.contains(id), "lease {id} was revoked and is back");
        let key = client.get(format!("lease/{id}"), "").await.unwrap();
        assert_eq!(
            key.count, 0,
            "lease {id} was revoked, its key is still there"
        );
    }
}

fn crash(kind: Kind) {
    crash_with(kind, &[], false);
}

fn crash_with(kind: Kind, extra: &[&str], checkpoints: bool) {
    let Some(mut target) = Target::start(kind, extra).unwrap() else {
        return;
    };
    let seed = number("STOA_CRASH_SEED", 1);
    let mut random = Random(seed);
    let shared = Shared::default();
    let rounds = number("STOA_CRASH_ROUNDS", if on_ci() { 30 } else { 5 });
    for round in 0..rounds {
        let load = load(&mut target, &shared, &mut random, checkpoints);
        run(tokio::task::LocalSet::new().run_until(load));
        target.restart().unwrap();
        run(check(&target, &shared.borrow()));
        let mut told = shared.borrow_mut();
        let now = told.revision;
        eprintln!(
            "round {round}: {} acknowledged, revision {now}",
            told.writes.len()
        );
        // What lies before the compaction cannot be asked for again.
        let keep = told.compaction_asked;
        told.writes = told.writes.split_off(&keep);
        told.seen = History::default();
    }
}

/// Not the newest: etcd 3.5.0 to 3.5.2 lose a granted lease in this very test now and then (their
/// consistent index was saved ahead of what it counted, etcd issue 13766).
#[test]
fn etcd_keeps_what_it_acknowledged() {
    match peer::system_etcd() {
        Some(etcd) => crash(Kind::EtcdAt(etcd.path)),
        None => skip("no etcd found (set STOA_PEER_ETCD)"),
    }
}

#[test]
fn one_shard_keeps_what_it_acknowledged() {
    crash(Kind::Stoa(1));
}

#[test]
fn three_shards_keep_what_they_acknowledged() {
    crash(Kind::Stoa(3));
}

/// The log is checkpointed and purged without a pause, and the crash falls into it.
#[test]
fn a_crash_in_a_checkpoint_loses_nothing() {
    crash_with(
        Kind::Stoa(3),
        &["--cores", "2", "--tuning-profile", "nvme-plp"],
        true,
    );
}

/// Fewer cores than the shards lie on, and more than there are CPUs.
#[test]
fn four_cores_keep_what_they_acknowledged() {
    crash_with(
        Kind::Stoa(4),
        &["--cores", "4", "--tuning-profile", "nvme-plp"],
        false,
    );
}
