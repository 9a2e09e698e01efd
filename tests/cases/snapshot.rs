//! Snapshots between Stoa and the real etcd, both ways, with etcd's own tools in between: the same
//! data, revisions, leases and hashes on both sides. (With a million keys, and with gigabytes:
//! `cargo run --release -p tests --bin snapshot_bars`.)
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "snapshot/sight.rs"]
mod sight;
#[path = "snapshot/terminal.rs"]
mod terminal;
#[path = "snapshot/writes.rs"]
mod writes;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sight::{same, sight};
use tests::client::{Client, pb, run};
use tests::history::replay;
use tests::node;
use tests::peer;
use tests::skip::skip;
use tests::snapshots::{command, restore_command, said, save_command, text, tools};
use tests::target::{Kind, Target};
use writes::{compact, write};

const LIMIT: Duration = Duration::from_secs(30);

fn start(kind: Kind) -> Target {
    Target::start(kind, &[]).unwrap().unwrap()
}

/// What a command that succeeds prints to standard output.
fn ok(program: &Path, args: &[&str]) -> String {
    said(command(program, args)).unwrap()
}

fn stoa(args: &[&str]) -> String {
    ok(&node::stoa().unwrap(), args)
}

/// What `stoa` says when it refuses, and its exit code.
fn refused(args: &[&str]) -> (i32, String) {
    let out = command(&node::stoa().unwrap(), args).output().unwrap();
    assert!(!out.status.success(), "{args:?}: {}", text(&out));
    (out.status.code().unwrap(), text(&out))
}

fn save(target: &Target, etcdctl: &Path, name: &str) -> PathBuf {
    let file = target.home().join(name);
    said(save_command(target, etcdctl, &file)).unwrap();
    file
}

/// A stopped server on the snapshot that `etcdutl` or `stoa` restored.
fn restored(kind: Kind, program: &Path, file: &Path, more: &[&str]) -> Target {
    let target = Target::prepare(kind, &[]).unwrap().unwrap();
    said(restore_command(&target, program, file, more)).unwrap();
    target
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

/// Whoever restores by hand sees how far it is; a program that does reads nothing of that.
#[test]
fn a_terminal_sees_how_far_a_restore_is() {
    let Some(etcdctl) = peer::etcdctls().into_iter().next() else {
        return skip("no etcdctl found");
    };
    let first = start(Kind::Stoa(2));
    run(async {
        let client = Client::connect(first.addr()).await.unwrap();
        write(&client).await;
        for n in 0..40 {
            client
                .put_pair(format!("big{n}"), vec![b'v'; 100_000])
                .await
                .unwrap();
        }
    });
    let file = save(&first, &etcdctl.path, "stoa.db");
    let program = node::stoa().unwrap();
    let prepare = || Target::prepare(Kind::Stoa(2), &[]).unwrap().unwrap();
    let (second, third) = (prepare(), prepare());
    let line = restore_command(&second, &program, &file, &["--shards", "2"]);
    let (status, screen) = terminal::shown(line);
    assert!(status.success(), "{screen}");
    for step in ["checking", "restoring"] {
        let bars = screen.split('\r').filter(|line| line.contains(step));
        let bars: Vec<_> = bars.collect();
        let has_bar = bars
            .iter()
            .all(|bar| bar.contains("[") && bar.contains("B/s"));
        assert!(!bars.is_empty() && has_bar, "{step}: {screen:?}");
    }
    let mut line = restore_command(&third, &program, &file, &["--shards", "2"]);
    let out = line.output().unwrap();
    assert!(
        out.status.success() && out.stderr.is_empty(),
        "{}",
        text(&out)
    );
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
