//! Snapshots between Stoa and the real etcd, both ways, with etcd's own tools in between: the same
//! data, revisions, leases and hashes on both sides.
//!
//! With `STOA_SNAPSHOT_KEYS=1000000` both ways are gone with so many keys, and times and memory are
//! printed; without it that case is skipped.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tests::client::{Client, pb, run};
use tests::history::replay;
use tests::node;
use tests::peer::{self, Tool};
use tests::skip::{self, skip};
use tests::target::{Kind, Target};

const LIMIT: Duration = Duration::from_secs(30);

/// The version of etcd whose tools read and restore what Stoa writes.
const TOOLS: &str = "3.5";

fn start(kind: Kind) -> Target {
    Target::start(kind, &[]).unwrap().unwrap()
}

fn tool(name: &str, all: Vec<Tool>) -> Option<Tool> {
    let found = all.into_iter().find(|tool| tool.version.starts_with(TOOLS));
    if found.is_none() {
        skip(&format!("no {name} {TOOLS} found"));
    }
    found
}

/// etcdctl, etcdutl and etcd 3.5.
fn tools() -> Option<[PathBuf; 3]> {
    let ctl = tool("etcdctl", peer::etcdctls())?;
    let utl = tool("etcdutl", peer::etcdutls())?;
    let etcd = tool("etcd", peer::etcds())?;
    Some([ctl.path, utl.path, etcd.path])
}

fn output(program: &Path, args: &[&str]) -> Output {
    Command::new(program)
        .env("ETCDCTL_API", "3")
        .args(args)
        .output()
        .unwrap()
}

fn text(out: &Output) -> String {
    let (text, errors) = (&out.stdout, &out.stderr);
    String::from_utf8_lossy(text).into_owned() + &String::from_utf8_lossy(errors)
}

/// What a command that succeeds prints to standard output.
fn ok(program: &Path, args: &[&str]) -> String {
    let out = output(program, args);
    assert!(out.status.success(), "{args:?}: {}", text(&out));
    String::from_utf8(out.stdout).unwrap()
}

fn stoa(args: &[&str]) -> String {
    ok(&node::stoa().unwrap(), args)
}

/// What `stoa` says when it refuses, and its exit code.
fn refused(args: &[&str]) -> (i32, String) {
    let out = output(&node::stoa().unwrap(), args);
    assert!(!out.status.success(), "{args:?}: {}", text(&out));
    (out.status.code().unwrap(), text(&out))
}

fn save(target: &Target, etcdctl: &Path, name: &str) -> PathBuf {
    let file = target.home().join(name);
    let place = file.to_str().unwrap();
    let endpoint = target.endpoint();
    ok(
        etcdctl,
        &["--endpoints", &endpoint, "snapshot", "save", place],
    );
    file
}

/// A stopped server on the snapshot that `etcdutl` or `stoa` restored.
fn restored(kind: Kind, program: &Path, file: &Path, more: &[&str]) -> Target {
    let target = Target::prepare(kind, &[]).unwrap().unwrap();
    restore_into(&target, program, file, more);
    target
}

fn restore_into(target: &Target, program: &Path, file: &Path, more: &[&str]) -> String {
    let command = target.command();
    let args: Vec<&str> = command
        .get_args()
        .map(|arg| arg.to_str().unwrap())
        .collect();
    let of = |name: &str| args[args.iter().position(|arg| *arg == name).unwrap() + 1];
    let mut line = vec!["snapshot", "restore", file.to_str().unwrap()];
    for name in [
        "--name",
        "--data-dir",
        "--initial-cluster",
        "--initial-advertise-peer-urls",
    ] {
        line.extend([name, of(name)]);
    }
    line.extend(more);
    ok(program, &line)
}

/// The first part of every history: values of all sizes, deletes, keys that come again, leases,
/// transactions over several keys, a compaction in the middle.
async fn write(client: &Client) {
    // Not negative: etcd itself forgets such leases when it starts again.
    for (id, ttl) in [(77, 5000), (78, 9000)] {
        client
            .lease_grant(&pb::LeaseGrantRequest { id, ttl })
            .await
            .unwrap();
    }
    for n in 0..300u32 {
        put(client, n % 90, n, if n % 5 == 0 { 77 } else { 0 }).await;
        if n % 7 == 0 {
            delete(client, &format!("k{:03}", (n + 3) % 90)).await;
        }
        if n == 200 {
            compact(client, 150).await;
        }
    }
    let ops = (0..20).map(|n| pb::RequestOp {
        request: Some(pb::request_op::Request::RequestPut(pb::PutRequest {
            key: format!("txn{n}").into(),
            value: "many at once".into(),
            lease: 78,
            ..Default::default()
        })),
    });
    let txn = pb::TxnRequest {
        success: ops.collect(),
        ..Default::default()
    };
    client.txn(&txn).await.unwrap();
    for (key, len) in [("page", 4096), ("large", 300_000), ("empty", 0)] {
        let value = vec![b'v'; len];
        client.put_pair(key.to_owned(), value).await.unwrap();
    }
    delete(client, "k007").await;
}

async fn put(client: &Client, key: u32, n: u32, lease: i64) {
    let put = pb::PutRequest {
        key: format!("k{key:03}").into(),
        value: "v".repeat(n as usize * 7 % 900).into(),
        lease,
        ..Default::default()
    };
    client.put(&put).await.unwrap();
}

async fn delete(client: &Client, key: &str) {
    let delete = pb::DeleteRangeRequest {
        key: key.to_owned().into(),
        ..Default::default()
    };
    client.delete_range(&delete).await.unwrap();
}

async fn compact(client: &Client, revision: i64) {
    let compact = pb::CompactionRequest {
        revision,
        physical: true,
    };
    client.compact(&compact).await.unwrap();
}

/// A pair with its value's length and checksum, so that a failure can be read.
#[derive(Clone, Debug, PartialEq)]
struct Pair {
    key: bytes::Bytes,
    /// Create revision, mod revision, version, lease.
    numbers: [i64; 4],
    value: (usize, u32),
}

impl From<pb::KeyValue> for Pair {
    fn from(kv: pb::KeyValue) -> Self {
        Self {
            key: kv.key,
            numbers: [kv.create_revision, kv.mod_revision, kv.version, kv.lease],
            value: (kv.value.len(), crc32c::crc32c(&kv.value)),
        }
    }
}

fn pairs(kvs: Vec<pb::KeyValue>) -> Vec<Pair> {
    kvs.into_iter().map(Pair::from).collect()
}

/// Compares part by part.
#[track_caller]
fn same(found: &Sight, seen: &Sight) {
    assert_eq!(found.revision, seen.revision);
    assert_eq!(found.leases, seen.leases);
    let all = |sight: &Sight| [&sight.past[..], &[Ok(sight.kvs.clone())]].concat();
    for (place, (found, seen)) in all(found).into_iter().zip(all(seen)).enumerate() {
        match (found, seen) {
            (Ok(found), Ok(seen)) => {
                let differ = found.iter().zip(&seen).find(|(a, b)| a != b);
                assert_eq!((differ, found.len()), (None, seen.len()), "past {place}");
            }
            (found, seen) => assert_eq!(found.err(), seen.err(), "past {place}"),
        }
    }
    assert_eq!(found.hashes, seen.hashes);
}

/// What a client can tell of a store; equal where the stores are.
#[derive(Debug, PartialEq)]
struct Sight {
    revision: i64,
    kvs: Vec<Pair>,
    /// As they were at some revisions; an error where they are compacted.
    past: Vec<Result<Vec<Pair>, String>>,
    /// Each lease with its granted seconds and its keys.
    leases: Vec<(i64, i64, Vec<bytes::Bytes>)>,
    hashes: Vec<(u32, i64)>,
}

async fn all_at(client: &Client, revision: i64) -> Result<pb::RangeResponse, String> {
    let range = pb::RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        revision,
        ..Default::default()
    };
    client.range(&range).await.map_err(|status| status.message)
}

async fn hash(client: &Client, revision: i64) -> (u32, i64) {
    let hash = pb::HashKvRequest { revision };
    let hash = client.hash_kv(&hash).await.unwrap();
    (hash.hash, hash.compact_revision)
}

async fn sight(target: &Target, past: &[i64], hashes: &[i64]) -> Sight {
    let client = Client::connect(target.addr()).await.unwrap();
    let now = all_at(&client, 0).await.unwrap();
    let mut leases = Vec::new();
    let listed = client
        .lease_leases(&pb::LeaseLeasesRequest {})
        .await
        .unwrap();
    for lease in listed.leases {
        let ask = pb::LeaseTimeToLiveRequest {
            id: lease.id,
            keys: true,
        };
        let found = client.lease_time_to_live(&ask).await.unwrap();
        assert!(found.ttl > found.granted_ttl / 2, "its time began anew");
        let mut keys = found.keys;
        keys.sort();
        leases.push((lease.id, found.granted_ttl, keys));
    }
    leases.sort();
    let mut at = Vec::new();
    for revision in past {
        at.push(
            all_at(&client, *revision)
                .await
                .map(|found| pairs(found.kvs)),
        );
    }
    let mut hashed = Vec::new();
    for revision in hashes {
        hashed.push(hash(&client, *revision).await);
    }
    Sight {
        revision: now.header.unwrap().revision,
        kvs: pairs(now.kvs),
        past: at,
        leases,
        hashes: hashed,
    }
}

/// Writes go on after a restore, from the revision after the last.
async fn check_it_lives(target: &Target, last: i64) {
    let client = Client::connect(target.addr()).await.unwrap();
    let put = client
        .put_pair("after".to_owned(), "x".to_owned())
        .await
        .unwrap();
    assert_eq!(put.header.unwrap().revision, last + 1);
}

#[test]
fn etcd_serves_what_stoa_wrote() {
    let Some([etcdctl, etcdutl, etcd]) = tools() else {
        return;
    };
    let mut ours = start(Kind::Stoa(3));
    run(async { write(&Client::connect(ours.addr()).await.unwrap()).await });
    let (past, hashes) = ([100, 150, 151, 260, 300], [0, 200, 300]);
    let seen = run(sight(&ours, &past, &hashes));
    let file = save(&ours, &etcdctl, "stoa.db");
    let place = file.to_str().unwrap();
    for form in ["simple", "json", "table"] {
        let args = ["snapshot", "status", place, "-w", form];
        assert_eq!(stoa(&args), ok(&etcdutl, &args), "{form}");
    }
    let mut theirs = restored(Kind::EtcdAt(etcd), &etcdutl, &file, &[]);
    theirs.restart().unwrap();
    same(&run(sight(&theirs, &past, &hashes)), &seen);
    run(check_it_lives(&theirs, seen.revision));
    // Enough deletes that etcd has to merge pages that it did not make.
    let client = ["--endpoints", &theirs.endpoint(), "del", "", "--from-key"].map(str::to_owned);
    let client: Vec<&str> = client.iter().map(String::as_str).collect();
    ok(&etcdctl, &client);
    run(async {
        let client = Client::connect(theirs.addr()).await.unwrap();
        compact(&client, seen.revision + 2).await;
        client.defragment(&pb::DefragmentRequest {}).await.unwrap();
    });
    ours.stop().unwrap();
}

#[test]
fn stoa_serves_what_etcd_wrote() {
    let peers = peer::etcds();
    let (Some(etcdctl), false) = (peer::etcdctls().into_iter().next(), peers.is_empty()) else {
        return skip("no etcd and etcdctl found");
    };
    for peer in peers {
        let theirs = start(Kind::EtcdAt(peer.path));
        run(async { write(&Client::connect(theirs.addr()).await.unwrap()).await });
        let (past, hashes) = ([100, 150, 151, 260, 300], [0, 300]);
        let seen = run(sight(&theirs, &past, &hashes));
        let file = save(&theirs, &etcdctl.path, "etcd.db");
        let program = node::stoa().unwrap();
        let mut ours = restored(Kind::Stoa(4), &program, &file, &["--shards", "4"]);
        ours.restart().unwrap();
        eprintln!("etcd {}", peer.version);
        same(&run(sight(&ours, &past, &hashes)), &seen);
        run(check_it_lives(&ours, seen.revision));
        // The restore made the last checkpoint; what came after is in the log behind it.
        ours.restart().unwrap();
        let after = run(sight(&ours, &past, &[]));
        assert_eq!((after.revision, after.past), (seen.revision + 1, seen.past));
    }
}

#[test]
fn another_number_of_shards_serves_the_same() {
    let Some(etcdctl) = peer::etcdctls().into_iter().next() else {
        return skip("no etcdctl found");
    };
    let first = start(Kind::Stoa(3));
    run(async { write(&Client::connect(first.addr()).await.unwrap()).await });
    let past = [100, 150, 151, 260, 300];
    let seen = run(sight(&first, &past, &[0, 200, 300]));
    let file = save(&first, &etcdctl.path, "stoa.db");
    let program = node::stoa().unwrap();
    for shards in [1, 8] {
        let more = ["--shards", &shards.to_string()];
        let mut second = restored(Kind::Stoa(shards), &program, &file, &more);
        second.restart().unwrap();
        same(&run(sight(&second, &past, &[0, 200, 300])), &seen);
        // A watch finds the whole history that is not compacted.
        run(async {
            let client = Client::connect(second.addr()).await.unwrap();
            let history = replay(&client, 150, seen.revision, LIMIT).await.unwrap();
            history.dense(150, seen.revision).unwrap();
        });
        run(check_it_lives(&second, seen.revision));
    }
}

#[test]
fn a_raised_revision_is_compacted_up_to_it() {
    let Some(etcdctl) = peer::etcdctls().into_iter().next() else {
        return skip("no etcdctl found");
    };
    let first = start(Kind::Stoa(2));
    run(async { write(&Client::connect(first.addr()).await.unwrap()).await });
    let seen = run(sight(&first, &[], &[]));
    let file = save(&first, &etcdctl.path, "stoa.db");
    let program = node::stoa().unwrap();
    let more = [
        "--bump-revision",
        "1000000",
        "--mark-compacted",
        "--shards",
        "2",
    ];
    let mut second = restored(Kind::Stoa(2), &program, &file, &more);
    second.restart().unwrap();
    let raised = seen.revision + 1_000_000;
    let after = run(sight(&second, &[raised - 1], &[0]));
    assert_eq!((after.revision, &after.kvs), (raised, &seen.kvs));
    assert_eq!(after.leases, seen.leases);
    assert!(after.past[0].as_ref().unwrap_err().contains("compacted"));
    assert_eq!(after.hashes[0].1, raised);
    run(check_it_lives(&second, raised));
    let place = file.to_str().unwrap();
    for flag in [&["--bump-revision", "5"][..], &["--mark-compacted"]] {
        let line = [&["snapshot", "restore", place, "--data-dir", "never"], flag].concat();
        let (code, said) = refused(&line);
        assert!(code == 10 && said.contains("together"), "{said}");
    }
}

#[test]
fn damaged_and_cut_files_are_refused() {
    let Some(etcdctl) = peer::etcdctls().into_iter().next() else {
        return skip("no etcdctl found");
    };
    let ours = start(Kind::Stoa(2));
    run(async { write(&Client::connect(ours.addr()).await.unwrap()).await });
    let file = save(&ours, &etcdctl.path, "whole.db");
    let whole = std::fs::read(&file).unwrap();
    let (bad, dir) = (ours.home().join("bad.db"), ours.home().join("made"));
    let (place, made) = (bad.to_str().unwrap(), dir.to_str().unwrap());
    let restore = ["snapshot", "restore", place, "--data-dir", made];
    let check = |bytes: &[u8], skip: bool, why: &str| {
        std::fs::write(&bad, bytes).unwrap();
        let more: &[&str] = if skip { &["--skip-hash-check"] } else { &[] };
        let (code, said) = refused(&[&restore, more].concat());
        assert!(code == 23 && said.contains(why), "{code}: {said}");
        assert!(!dir.exists(), "nothing is left of it");
    };
    let mut flipped = whole.clone();
    flipped[5 * 4096 + 100] ^= 1;
    check(&flipped, false, "its SHA-256 is another");
    let (code, said) = refused(&["snapshot", "status", place]);
    assert!(code == 23 && said.contains("SHA-256"), "{said}");
    check(&whole[..whole.len() - 32], false, "no hash");
    check(
        &whole[..whole.len() - 4096],
        false,
        "its SHA-256 is another",
    );
    check(&whole[..20_480], true, "it is cut");
    check(b"no database at all", true, "does not begin");
    check(b"", true, "does not begin");
    let mut torn = whole.clone();
    torn[3 * 4096..6 * 4096].fill(0);
    check(&torn, true, "page");
    // A database that was copied has no hash, and is taken if one says so.
    std::fs::write(&bad, &whole[..whole.len() - 32]).unwrap();
    stoa(&[&restore[..], &["--skip-hash-check"]].concat());
    assert!(dir.join("SUPERBLOCK").exists());
    let (code, said) = refused(&[&restore[..], &["--skip-hash-check"]].concat());
    assert!(code == 10 && said.contains("not empty"), "{said}");
}

/// Users and roles are not there yet: what they protect must not become open to everybody.
#[test]
fn a_snapshot_with_users_on_is_refused() {
    let (Some(etcdctl), Some(etcd)) = (
        peer::etcdctls().into_iter().next(),
        peer::etcds().into_iter().next(),
    ) else {
        return skip("no etcd and etcdctl found");
    };
    let theirs = start(Kind::EtcdAt(etcd.path));
    let endpoint = theirs.endpoint();
    let ctl = |args: &[&str]| ok(&etcdctl.path, &[&["--endpoints", &endpoint], args].concat());
    ctl(&["user", "add", "root:pw"]);
    ctl(&["user", "grant-role", "root", "root"]);
    ctl(&["auth", "enable"]);
    let file = theirs.home().join("auth.db");
    let place = file.to_str().unwrap();
    ctl(&["--user", "root:pw", "snapshot", "save", place]);
    let made = theirs.home().join("made");
    let args = [
        "snapshot",
        "restore",
        place,
        "--data-dir",
        made.to_str().unwrap(),
    ];
    let (code, said) = refused(&args);
    assert!(code == 23 && said.contains("auth disable"), "{said}");
    assert!(!made.exists());
}

/// Each snapshot that is taken while writes and compactions go on is one settled revision.
#[test]
fn writes_and_compactions_go_on_meanwhile() {
    let Some(etcdctl) = peer::etcdctls().into_iter().next() else {
        return skip("no etcdctl found");
    };
    let ours = start(Kind::Stoa(3));
    let (addr, over) = (ours.addr(), Arc::new(AtomicBool::new(false)));
    let stop = over.clone();
    let writer = std::thread::spawn(move || {
        run(async {
            let client = Client::connect(addr).await.unwrap();
            let mut rounds = 0;
            while !stop.load(Ordering::SeqCst) {
                // Every revision leaves as many keys of each pair as the other one has.
                let puts = ["left", "right"].map(|side| pb::RequestOp {
                    request: Some(pb::request_op::Request::RequestPut(pb::PutRequest {
                        key: format!("{side}{}", rounds % 50).into(),
                        value: format!("{rounds}{}", "x".repeat(2000)).into(),
                        ..Default::default()
                    })),
                });
                let txn = pb::TxnRequest {
                    success: puts.to_vec(),
                    ..Default::default()
                };
                let done = client.txn(&txn).await.unwrap();
                let revision = done.header.unwrap().revision;
                if rounds % 100 == 99 {
                    let revision = revision - 20;
                    let physical = false;
                    let compact = pb::CompactionRequest { revision, physical };
                    client.compact(&compact).await.unwrap();
                }
                rounds += 1;
            }
            rounds
        })
    });
    let program = node::stoa().unwrap();
    let files: Vec<PathBuf> = (0..4)
        .map(|n| save(&ours, &etcdctl.path, &format!("{n}.db")))
        .collect();
    over.store(true, Ordering::SeqCst);
    let rounds: i64 = writer.join().unwrap();
    let mut last = 0;
    for file in files {
        let mut second = restored(Kind::Stoa(2), &program, &file, &["--shards", "2"]);
        second.restart().unwrap();
        let found = run(sight(&second, &[], &[0]));
        let hash_there = run(async {
            let client = Client::connect(ours.addr()).await.unwrap();
            let ask = pb::HashKvRequest {
                revision: found.revision,
            };
            client
                .hash_kv(&ask)
                .await
                .map(|hash| (hash.hash, hash.compact_revision))
        });
        // Where no compaction came between, the source itself says what it should be.
        if let Ok(there) = hash_there
            && there.1 == found.hashes[0].1
        {
            assert_eq!(there, found.hashes[0]);
        }
        assert!(found.revision >= last && found.revision <= rounds + 1);
        last = found.revision;
        let (left, right): (Vec<_>, Vec<_>) =
            found.kvs.iter().partition(|kv| kv.key.starts_with(b"left"));
        assert_eq!(left.len(), right.len());
        for (left, right) in left.iter().zip(&right) {
            assert_eq!(
                (left.value, left.numbers[1]),
                (right.value, right.numbers[1])
            );
        }
    }
    assert!(last > 1, "something was written");
    // The dumps are over, so what was compacted goes.
    run(async {
        let client = Client::connect(ours.addr()).await.unwrap();
        compact(&client, rounds).await;
    });
}

/// Both ways with many keys; prints times and memory.
#[test]
fn a_million_keys_go_both_ways() {
    let keys = skip::number("STOA_SNAPSHOT_KEYS", 0);
    if keys == 0 {
        eprintln!("skipped: takes minutes; set STOA_SNAPSHOT_KEYS=1000000");
        return;
    }
    let Some([etcdctl, etcdutl, etcd]) = tools() else {
        return;
    };
    let ours = start(Kind::Stoa(2));
    let began = Instant::now();
    run(load(&ours, keys));
    eprintln!("{keys} keys written in {:?}", began.elapsed());
    let mine = run(async { hash(&Client::connect(ours.addr()).await.unwrap(), 0).await });
    let before = ours.process().usage().unwrap();
    let began = Instant::now();
    let file = save(&ours, &etcdctl, "stoa.db");
    let after = ours.process().usage().unwrap();
    let bytes = std::fs::metadata(&file).unwrap().len();
    eprintln!(
        "saved {bytes} bytes in {:?}; the server's memory went from {} to {} MiB",
        began.elapsed(),
        before.rss_bytes >> 20,
        after.rss_bytes >> 20
    );
    let began = Instant::now();
    let mut theirs = restored(Kind::EtcdAt(etcd), &etcdutl, &file, &[]);
    eprintln!("etcdutl restored it in {:?}", began.elapsed());
    theirs.restart().unwrap();
    let hash_of = |target: &Target| {
        let addr = target.addr();
        run(async move {
            hash(
                &Client::connect(addr).await.unwrap().with_limit(10 * LIMIT),
                0,
            )
            .await
        })
    };
    assert_eq!(hash_of(&theirs), mine);
    let file = save(&theirs, &etcdctl, "etcd.db");
    let program = node::stoa().unwrap();
    let mut back = Target::prepare(Kind::Stoa(4), &[]).unwrap().unwrap();
    let began = Instant::now();
    let said = restore_into(&back, &program, &file, &["--shards", "4"]);
    eprintln!("restored in {:?}: {said}", began.elapsed());
    let children = children_peak_kib();
    eprintln!("the largest child took {} MiB", children >> 10);
    let began = Instant::now();
    back.restart().unwrap();
    eprintln!("started on it in {:?}", began.elapsed());
    assert_eq!(hash_of(&back), mine);
}

async fn load(target: &Target, keys: u64) {
    let client = Client::connect(target.addr()).await.unwrap();
    let clients = 64;
    let each = (0..clients).map(|worker| {
        let client = &client;
        async move {
            for n in (worker..keys).step_by(clients as usize) {
                let (key, value) = (format!("key-{n:09}"), "v".repeat(100 + n as usize % 300));
                client.put_pair(key, value).await.unwrap();
            }
        }
    });
    join_all(each).await;
}

/// The largest resident set of any child so far, KiB.
fn children_peak_kib() -> i64 {
    // SAFETY: getrusage fills the structure that it is given, which all zeros are a value of.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage.ru_maxrss
    }
}
