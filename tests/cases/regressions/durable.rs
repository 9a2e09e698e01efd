//! What is acknowledged stays, is there once, and the revision never falls: kill -9 under load, in
//! a defragmentation, behind a compaction.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tests::client::{Client, Status, pb, run};
use tests::random::Random;
use tests::target::Target;

use super::{COMPACTED, compact, connect, defragment, delete, put, revision, start};

/// Clients that count, each in a key of its own.
const COUNTERS: usize = 8;
const ROUNDS: u64 = 4;

/// What each counter was acknowledged to be.
type Acknowledged = Rc<RefCell<[u64; COUNTERS]>>;

fn counter(n: usize) -> String {
    format!("counter/{n}")
}

/// Counts up by one, on the condition that the number is the one before.
fn count_up(n: usize, from: u64) -> pb::TxnRequest {
    let key = bytes::Bytes::from(counter(n));
    let target = if from == 0 {
        pb::compare::TargetUnion::Version(0)
    } else {
        pb::compare::TargetUnion::Value(from.to_string().into())
    };
    let compare = pb::Compare {
        result: pb::compare::CompareResult::Equal as i32,
        target: if from == 0 {
            pb::compare::CompareTarget::Version as i32
        } else {
            pb::compare::CompareTarget::Value as i32
        },
        key,
        target_union: Some(target),
        ..Default::default()
    };
    pb::TxnRequest {
        compare: vec![compare],
        success: vec![super::put_op(&counter(n), &(from + 1).to_string())],
        ..Default::default()
    }
}

async fn count(client: Client, told: Acknowledged, n: usize) -> Result<(), Status> {
    loop {
        let from = told.borrow()[n];
        let answer = client.txn(&count_up(n, from)).await?;
        assert!(answer.succeeded, "counter {n} is not at {from}");
        told.borrow_mut()[n] = from + 1;
    }
}

async fn defragment_always(client: Client) -> Result<(), Status> {
    loop {
        let request = pb::DefragmentRequest::default();
        client.defragment(&request).await?;
    }
}

/// Counts until the server is killed in the middle of it.
async fn load(target: &mut Target, told: &Acknowledged, defragmenting: bool, random: &mut Random) {
    let before = told.borrow().iter().sum::<u64>();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..COUNTERS {
        let client = connect(target).await;
        tasks.spawn_local(count(client, told.clone(), n));
    }
    if defragmenting {
        tasks.spawn_local(defragment_always(connect(target).await));
    }
    // The moment of the crash, not something waited for.
    tokio::time::sleep(Duration::from_millis(200 + random.below(500))).await;
    target.kill();
    while let Some(ended) = tasks.join_next().await {
        let error = ended.unwrap().unwrap_err();
        assert_eq!(error.code, 14, "before the crash: {error}");
    }
    let gained = told.borrow().iter().sum::<u64>() - before;
    assert!(gained > 0, "no load before the crash proves nothing");
}

/// Every counter stands at what was acknowledged, or one higher for the request without an answer,
/// and as many revisions as that have been given out: nothing is lost, nothing applied twice.
async fn check(target: &Target, told: &Acknowledged) {
    let client = connect(target).await;
    let all = client.get("counter/", "counter0").await.unwrap();
    let mut sum = 0;
    for n in 0..COUNTERS {
        let acknowledged = told.borrow()[n];
        let kv = all.kvs.iter().find(|kv| kv.key == counter(n).as_bytes());
        let value: u64 = kv.map_or(0, |kv| {
            let value = std::str::from_utf8(&kv.value).unwrap().parse().unwrap();
            assert_eq!(kv.version, i64::try_from(value).unwrap(), "applied twice");
            value
        });
        let possible = acknowledged..=acknowledged + 1;
        assert!(
            possible.contains(&value),
            "counter {n} was acknowledged at {acknowledged} and is {value}"
        );
        told.borrow_mut()[n] = value;
        sum += value;
    }
    let now = all.header.unwrap().revision;
    assert_eq!(now - 1, i64::try_from(sum).unwrap(), "one revision each");
}

fn counted_once(shards: u16, defragmenting: bool) {
    let mut target = start(shards, &[]);
    let told = Acknowledged::default();
    let mut random = Random(u64::from(shards));
    for _ in 0..ROUNDS {
        let load = load(&mut target, &told, defragmenting, &mut random);
        run(tokio::task::LocalSet::new().run_until(load));
        target.restart().unwrap();
        run(check(&target, &told));
    }
}

/// etcd 13766. 3.5.0 to 3.5.2 saved how far the log had been applied apart from what it had
/// changed. A crash between the two left entries out or applied them again: members held
/// different data at different revisions, and nobody noticed. Here a counter that is raised on a
/// condition stands where its last acknowledgement says, at one revision for each step.
#[test]
fn issue_13766_a_crash_under_load_neither_loses_nor_repeats() {
    counted_once(3, false);
}

/// etcd 14685. A defragmentation committed the data without the place in the log that it stood
/// for; a crash in it let the last entries be applied twice, and the revision ran ahead of that
/// of the other members. Here nothing is there twice, wherever in it the crash falls.
#[test]
fn issue_14685_a_crash_in_a_defragmentation_repeats_nothing() {
    counted_once(2, true);
}

/// etcd 14370. A cluster of one member answered a write before its log had it: a crash lost what
/// the client had been told is there. Here the server is killed in the moment in which the answer
/// arrives. (Where the power goes as well, `sim.rs` crashes at every operation of the disk.)
#[test]
fn issue_14370_the_only_member_answers_when_the_write_is_durable() {
    let mut target = start(2, &[]);
    for round in 0..12 {
        let (key, value) = (format!("k{round}"), format!("{round}"));
        let told = run(async {
            let client = connect(&target).await;
            put(&client, &key, &value).await
        });
        target.kill();
        target.restart().unwrap();
        run(async {
            let client = connect(&target).await;
            let found = client.get(key, "").await.unwrap();
            assert_eq!(found.kvs.len(), 1, "the write that was acknowledged");
            assert_eq!(found.kvs[0].value, value);
            assert_eq!(found.kvs[0].mod_revision, told);
            assert_eq!(found.header.unwrap().revision, told);
        });
    }
}

/// etcd 17780. Where the newest revision is a delete, compacting at it removes the last record
/// there is; a crash before the compaction was noted as done made the revision fall back to that
/// of the newest record left, and revisions were given out twice. Here the next write gets the
/// next revision, however the crash falls, and the compaction stays.
#[test]
fn issue_17780_a_crash_behind_a_compaction_does_not_lower_the_revision() {
    for shards in [1, 3] {
        let mut target = start(shards, &[]);
        let mut last = 1;
        for round in 0..6 {
            let deleted = run(async {
                let client = connect(&target).await;
                let key = format!("k{round}");
                assert_eq!(put(&client, &key, "v").await, last + 1);
                let deleted = delete(&client, &key).await;
                // Waiting for the sweep, not waiting, and with the pages rewritten.
                compact(&client, deleted, round % 3 != 0).await;
                if round % 3 == 2 {
                    defragment(&client).await;
                }
                deleted
            });
            target.kill();
            target.restart().unwrap();
            last = run(async {
                let client = connect(&target).await;
                assert_eq!(revision(&client).await, deleted, "after round {round}");
                let old = pb::RangeRequest {
                    key: "k".into(),
                    revision: deleted - 1,
                    ..Default::default()
                };
                let refused = client.range(&old).await.unwrap_err();
                assert_eq!((refused.code, refused.message.as_str()), (11, COMPACTED));
                put(&client, "next", "v").await
            });
            assert_eq!(last, deleted + 1, "no revision is given out twice");
        }
    }
}
