//! A data directory outlives the way it was served: an orderly stop, another number of cores, a
//! log on another disk, a torn tail.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use tests::client::{Client, pb, run};
use tests::damage;
use tests::history::replay;
use tests::random::Random;
use tests::target::{Kind, Target};

/// How long an orderly stop may take with clients connected, seconds: well below the time after
/// which a service manager kills.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A profile with which each core writes a log, and one with which all write the same.
const A_LOG_A_CORE: &str = "nvme-plp";
const ONE_LOG: &str = "sata-ssd";

fn start(shards: u16, extra: &[&str]) -> Target {
    Target::start(Kind::Stoa(shards), extra).unwrap().unwrap()
}

/// Puts `keys` keys and one transaction over all shards; returns the last revision.
async fn write(target: &Target, round: u32, keys: u32) -> i64 {
    let client = Client::connect(target.addr()).await.unwrap();
    for n in 0..keys {
        let value = format!("{round}-{n}");
        client
            .put_pair(format!("{round}/{n}"), value)
            .await
            .unwrap();
    }
    let put = |n: u32| pb::RequestOp {
        request: Some(pb::request_op::Request::RequestPut(pb::PutRequest {
            key: format!("txn/{n}").into(),
            value: format!("{round}").into(),
            ..Default::default()
        })),
    };
    let txn = pb::TxnRequest {
        success: (0..8).map(put).collect(),
        ..Default::default()
    };
    client.txn(&txn).await.unwrap().header.unwrap().revision
}

/// Everything that rounds `0..rounds` wrote is there, and a watch tells it once from revision 2.
async fn check(target: &Target, rounds: u32, keys: u32, last: i64) {
    let client = Client::connect(target.addr()).await.unwrap();
    for round in 0..rounds {
        let (from, to) = (format!("{round}/"), format!("{round}0"));
        let all = client.get(from, to).await.unwrap();
        assert_eq!(all.count, i64::from(keys), "keys of round {round}");
        for kv in &all.kvs {
            let key = std::str::from_utf8(&kv.key).unwrap();
            assert_eq!(kv.value, key.replace('/', "-"));
        }
    }
    let txn = client.get("txn/", "txn0").await.unwrap();
    let newest = (rounds - 1).to_string();
    assert!(txn.kvs.len() == 8 && txn.kvs.iter().all(|kv| kv.value == newest.as_bytes()));
    assert_eq!(
        txn.header.unwrap().revision,
        last,
        "nothing more, nothing less"
    );
    let history = replay(&client, 2, last, Duration::from_secs(30))
        .await
        .unwrap();
    history.dense(2, last).unwrap();
}

async fn checkpoint(target: &Target) {
    let client = Client::connect(target.addr()).await.unwrap();
    client.defragment(&pb::DefragmentRequest {}).await.unwrap();
}

#[test]
fn a_stop_is_quick_clean_and_loses_nothing() {
    let mut target = start(2, &[]);
    let last = run(write(&target, 0, 50));
    // Clients that stay and do not answer: a watch, and a connection that says nothing.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let held = runtime.block_on(async {
        let client = Client::connect(target.addr()).await.unwrap();
        let (mut requests, mut responses) = client.watch().await.unwrap();
        let all = tests::history::all_keys(0);
        requests.send(&tests::client::create(all)).unwrap();
        assert!(responses.next().await.unwrap().unwrap().created);
        (client, requests, responses)
    });
    let _silent = std::net::TcpStream::connect(target.addr()).unwrap();
    let began = Instant::now();
    let status = target.stop().unwrap().unwrap();
    assert_eq!(status.code(), Some(0), "an orderly stop is a success");
    let took = began.elapsed();
    assert!(took < STOP_LIMIT, "it took {took:?}");
    drop(held);
    // On the same port, at once.
    let addr = target.addr();
    target.restart().unwrap();
    assert_eq!(target.addr(), addr, "the port is free again");
    run(check(&target, 1, 50, last));
}

#[test]
fn a_killed_server_starts_again_on_its_port_at_once() {
    let mut target = start(1, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let client = runtime.block_on(async {
        let client = Client::connect(target.addr()).await.unwrap();
        client.put_pair("a", "1").await.unwrap();
        client
    });
    let addr = target.addr();
    target.restart().unwrap();
    assert_eq!(
        target.addr(),
        addr,
        "connections of the killed one hold the port"
    );
    drop(client);
}

/// Each start begins a segment in each log; a node that crashes again and again, with little
/// written in between, must not fill the disk with them.
#[test]
fn a_server_that_is_killed_again_and_again_does_not_fill_the_disk() {
    const ROUNDS: u32 = 12;
    let profile = ["--tuning-profile", A_LOG_A_CORE];
    let mut target = start(2, &profile);
    let mut last = 0;
    for round in 0..ROUNDS {
        last = run(write(&target, round, 2));
        target.kill();
        target.restart().unwrap();
    }
    let begun = Instant::now();
    // Each of the two logs keeps eight for use.
    while segments(&target) > 16 {
        assert!(
            begun.elapsed() < STOP_LIMIT,
            "{} segments stay after {ROUNDS} starts",
            segments(&target)
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    run(check(&target, ROUNDS, 2, last));
}

#[test]
fn a_data_directory_opens_with_any_number_of_cores_and_logs() {
    let mut target = start(4, &["--cores", "4", "--tuning-profile", A_LOG_A_CORE]);
    let mut last = run(write(&target, 0, 100));
    let mut rounds = 1;
    // With a checkpoint between, and without.
    for (cores, profile, checkpoints) in [
        ("1", A_LOG_A_CORE, false),
        ("3", A_LOG_A_CORE, true),
        ("3", ONE_LOG, false),
        ("4", A_LOG_A_CORE, false),
        ("2", ONE_LOG, true),
        ("2", A_LOG_A_CORE, false),
        ("1", ONE_LOG, false),
    ] {
        target.kill();
        target.set_extra(&["--cores", cores, "--tuning-profile", profile]);
        target.restart().unwrap();
        run(async {
            check(&target, rounds, 100, last).await;
            last = write(&target, rounds, 100).await;
            if checkpoints {
                checkpoint(&target).await;
                last = write(&target, rounds, 100).await;
            }
        });
        rounds += 1;
    }
    target.restart().unwrap();
    run(check(&target, rounds, 100, last));
}

#[test]
fn the_log_lies_where_wal_dir_says() {
    let mut target = Target::prepare(Kind::Stoa(2), &[]).unwrap().unwrap();
    let wal = target.home().join("log");
    target.set_extra(&["--wal-dir", wal.to_str().unwrap()]);
    target.restart().unwrap();
    let last = run(write(&target, 0, 100));
    let segments = |dir: &Path| {
        let found = damage::files(dir, |name| name.ends_with(".seg"));
        found.unwrap_or_default().len()
    };
    assert!(segments(&wal) > 0, "no segment below {}", wal.display());
    assert_eq!(
        segments(&target.data_dir()),
        0,
        "the log is not in the data directory"
    );
    target.restart().unwrap();
    run(check(&target, 1, 100, last));
    target.kill();
    // Without its log the server must not begin a new one.
    target.set_extra(&[]);
    let (status, text) = target.refused().unwrap();
    assert_eq!(status.code(), Some(21), "{text}");
    assert!(text.contains("--wal-dir"), "{text}");
    target.set_extra(&["--wal-dir", wal.to_str().unwrap()]);
    target.restart().unwrap();
    run(check(&target, 1, 100, last));
}

/// Where the last begun segment of each lane ends: the place of the write a crash cut off.
fn tails(target: &Target) -> Vec<(std::path::PathBuf, u64)> {
    let all = damage::files(&target.data_dir(), |name| name.ends_with(".seg")).unwrap();
    all.into_iter()
        .map(|path| {
            let end = damage::written_end(&path).unwrap();
            (path, end.next_multiple_of(4096))
        })
        .filter(|(_, end)| *end > 4096)
        .collect()
}

/// Segment files of all logs, those ready for use with them.
fn segments(target: &Target) -> usize {
    let lanes = std::fs::read_dir(target.data_dir().join("wal")).unwrap();
    let files = |lane: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_dir(lane.unwrap().path()).unwrap().count()
    };
    lanes.map(files).sum()
}

#[test]
fn garbage_behind_the_tail_is_not_read_and_nothing_acknowledged_is_lost() {
    let mut target = start(3, &["--cores", "2", "--tuning-profile", A_LOG_A_CORE]);
    let mut random = Random(7);
    let mut last = run(write(&target, 0, 100));
    for round in 1..4 {
        target.kill();
        let tails = tails(&target);
        assert!(!tails.is_empty());
        for (path, end) in tails {
            let bytes = std::fs::read(&path).unwrap();
            match round {
                // A write that landed in part: noise from the next block on.
                1 => damage::garbage(&path, end, end + 20_000, &mut random).unwrap(),
                // What an earlier use of the file left: whole frames, of another place.
                2 => {
                    let from = bytes.len().min(8192);
                    let old = &bytes[4096..from.max(4096)];
                    std::os::unix::fs::FileExt::write_all_at(
                        &std::fs::OpenOptions::new().write(true).open(&path).unwrap(),
                        old,
                        end,
                    )
                    .unwrap();
                }
                // A long stretch, up to the end of a file that is nearly full.
                _ => {
                    let to = (end + (2 << 20)).min(bytes.len() as u64);
                    damage::garbage(&path, end, to, &mut random).unwrap();
                }
            }
        }
        target.restart().unwrap();
        run(async {
            check(&target, round, 100, last).await;
            last = write(&target, round, 100).await;
        });
    }
}

/// Segments that are used again hold frames of their earlier use behind the tail.
#[test]
fn recycled_segments_tell_nothing_old() {
    const PUTS: u32 = 360;
    let mut target = start(1, &["--cores", "1"]);
    let mut random = Random(9);
    let value = |round: u32, n: u32| format!("{round}/{n};").repeat(12_000);
    for round in 0..4 {
        run(async {
            let client = Client::connect(target.addr()).await.unwrap();
            for n in 0..PUTS {
                client
                    .put_pair(format!("{}", n % 40), value(round, n))
                    .await
                    .unwrap();
            }
            // The log is released, and its segments are used again.
            client.defragment(&pb::DefragmentRequest {}).await.unwrap();
            client.put_pair("last", round.to_string()).await.unwrap();
        });
        target.kill();
        if round % 2 == 1 {
            for (path, end) in tails(&target) {
                let len = std::fs::metadata(&path).unwrap().len();
                let to = (end + 20_000).min(len);
                damage::garbage(&path, end.min(to), to, &mut random).unwrap();
            }
        }
        target.restart().unwrap();
        run(async {
            let client = Client::connect(target.addr()).await.unwrap();
            let last = client.get("last", "").await.unwrap();
            assert_eq!(last.kvs[0].value, round.to_string());
            let written = i64::from((round + 1) * (PUTS + 1));
            assert_eq!(last.header.unwrap().revision, 1 + written);
            for n in 0..40 {
                let kv = &client.get(n.to_string(), "").await.unwrap().kvs[0];
                assert_eq!(
                    kv.value,
                    value(round, PUTS - 40 + n),
                    "{n} of round {round}"
                );
            }
        });
    }
    let all = damage::files(&target.data_dir(), |name| name.ends_with(".seg")).unwrap();
    let first = all[0].file_stem().unwrap().to_str().unwrap().parse::<u64>();
    assert!(first.unwrap() > 1, "no segment was released: {all:?}");
}

#[test]
fn a_directory_whose_making_was_cut_short_is_made_again() {
    let mut target = Target::prepare(Kind::Stoa(2), &[]).unwrap().unwrap();
    let data = target.data_dir();
    for dir in ["wal", "checkpoint", "pages/0"] {
        std::fs::create_dir_all(data.join(dir)).unwrap();
    }
    std::fs::write(data.join("SUPERBLOCK.new"), [1; 100]).unwrap();
    target.restart().unwrap();
    run(async {
        let last = write(&target, 0, 10).await;
        check(&target, 1, 10, last).await;
    });
}

#[test]
fn alarms_are_known_after_a_restart_and_one_of_no_kind_does_no_harm() {
    let mut target = Target::start(Kind::Stoa(2), &[]).unwrap().unwrap();
    let alarm = |action, alarm| pb::AlarmRequest {
        action,
        alarm,
        ..Default::default()
    };
    let put = pb::PutRequest {
        key: "a".into(),
        ..Default::default()
    };
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        for kind in [0, 9] {
            let raised = client.alarm(&alarm(1, kind)).await.unwrap();
            assert_eq!(raised.alarms, [], "kind {kind}");
        }
        client.alarm(&alarm(1, 2)).await.unwrap();
        assert!(client.put(&put).await.is_err(), "the data is corrupt");
    });
    target.restart().unwrap();
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        let up = client.alarm(&alarm(0, 0)).await.unwrap().alarms;
        assert_eq!(up.iter().map(|a| a.alarm).collect::<Vec<_>>(), [2]);
        let refused = client.put(&put).await.unwrap_err();
        assert!(format!("{refused:?}").contains("etcdserver: corrupt cluster"));
        client.alarm(&alarm(2, 2)).await.unwrap();
        client.put(&put).await.unwrap();
    });
}
