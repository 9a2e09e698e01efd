//! Watches at the edge of what is compacted.

use bytes::Bytes;
use tests::client::{Client, Windows, run};
use tests::history::all_keys;
use tests::page::page;
use tests::target::Target;

use super::{
    LIMIT, Stream, compact, connect, defragment, delete, delete_op, put, put_op, start, txn,
    watch_of,
};

/// What a watch of all keys from `start` tells up to `last`.
async fn told_from(client: &Client, start: i64, last: i64) -> Vec<String> {
    let mut stream = Stream::open(client).await;
    let id = stream.create(all_keys(start)).await;
    while stream.last(id) < last {
        let response = stream.next().await;
        assert!(!response.canceled, "{response:?}");
    }
    let of = |(key, value): &(Bytes, Option<Bytes>)| {
        let sign = if value.is_some() { '+' } else { '-' };
        format!("{sign}{}", String::from_utf8_lossy(key))
    };
    let revisions = &stream.told[&id].history.revisions;
    revisions
        .iter()
        .map(|(revision, changes)| {
            let changes: Vec<_> = changes.iter().map(of).collect();
            format!("{revision} {}", changes.join(" "))
        })
        .collect()
}

/// etcd 18089. Compacting at a revision that deleted keys swept the records of the deletes too,
/// though a watch may begin there: it missed them without a word. Here the deletes at the
/// compaction are told, right after it, with the pages rewritten, and after a crash.
#[test]
fn issue_18089_deletes_at_the_compaction_are_told() {
    let mut target = start(3, &[]);
    let (at, last) = run(async {
        let client = connect(&target).await;
        put(&client, "a", "1").await;
        put(&client, "b", "1").await;
        let ops = vec![delete_op("a"), put_op("c", "1"), delete_op("b")];
        let answer = client.txn(&txn(ops)).await.unwrap();
        let at = answer.header.unwrap().revision;
        let last = put(&client, "d", "1").await;
        compact(&client, at, true).await;
        (at, last)
    });
    let expected = ["4 -a +c -b", "5 +d"];
    let check = async |target: &Target| {
        let client = connect(target).await;
        assert_eq!(told_from(&client, at, last).await, expected);
        client
    };
    run(async {
        let client = check(&target).await;
        defragment(&client).await;
        check(&target).await;
    });
    target.kill();
    target.restart().unwrap();
    run(check(&target));
}

/// etcd 19179. A watch opened at the revision of a compaction that was under way lost the delete
/// there: whether it is told depended on which of the two came first. Here both are sent at once,
/// again and again, and the watch that begins at the compaction always gets its delete; the one
/// that begins before it gets everything or is ended.
#[test]
fn issue_19179_a_watch_that_meets_the_compaction_gets_its_delete() {
    let target = start(3, &[]);
    run(async {
        let client = connect(&target).await;
        let watching = connect(&target).await;
        for round in 0..60 {
            let key = format!("k{}", round % 5);
            put(&client, &key, "v").await;
            let deleted = delete(&client, &key).await;
            let mut stream = Stream::open(&watching).await;
            stream.ask(watch_of("k", deleted));
            stream.ask(watch_of("k", deleted - 1));
            let (_, ids) = tokio::join!(compact(&client, deleted, false), async {
                let mut ids = Vec::new();
                while ids.len() < 2 {
                    let response = stream.next().await;
                    if response.created {
                        ids.push(response.watch_id);
                    }
                }
                ids
            });
            let is_over = |stream: &Stream, id: i64| {
                stream.last(id) >= deleted || !stream.told[&id].ended.is_empty()
            };
            while !ids.iter().all(|id| is_over(&stream, *id)) {
                stream.next().await;
            }
            let at = &stream.told[&ids[0]];
            assert!(at.ended.is_empty(), "the compaction itself may be read");
            at.history.dense(deleted, deleted).unwrap();
            let before = &stream.told[&ids[1]];
            match before.ended.as_slice() {
                [] => before.history.dense(deleted - 1, deleted).unwrap(),
                ended => assert_eq!(ended, [deleted]),
            }
        }
    });
}

/// A sample of the metrics page, where the server has it.
fn sample(target: &Target, name: &str) -> f64 {
    let (_, text) = page(target.addr(), "/metrics").unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.rsplit(' ').next());
    value.unwrap().parse().unwrap()
}

const WATCHERS: usize = 1000;
const EVENTS: i64 = 100;

/// etcd 22294. With 512 or more watchers behind, one whose revision had been compacted was taken
/// out of a copy of their list only: it was told of its end again ten times a second and counted
/// as slow until its client left. Here each is told once, and none is left.
#[test]
fn issue_22294_a_watcher_behind_the_compaction_is_ended_once() {
    let target = start(2, &[]);
    run(async {
        let client = connect(&target).await;
        for n in 0..EVENTS {
            put(&client, &format!("k{}", n % 9), &"v".repeat(1000)).await;
        }
        let last = EVENTS + 1;
        let watching = Client::connect_with(
            target.addr(),
            Windows {
                stream: 65_535,
                connection: 4 << 20,
            },
        );
        let watching = watching.await.unwrap();
        let mut stream = Stream::open(&watching).await;
        for _ in 0..WATCHERS {
            stream.ask(watch_of("k", 2));
        }
        // Nobody reads, so most cannot have been told everything when this comes.
        stream.next().await;
        compact(&client, last, true).await;
        let is_over = |told: &super::Told| told.history.last() == last || !told.ended.is_empty();
        while stream.told.len() < WATCHERS || !stream.told.values().all(is_over) {
            stream.next().await;
        }
        let ended = stream.told.values().filter(|told| !told.ended.is_empty());
        let ended = ended.count();
        assert!(ended > 512, "only {ended} were behind, which proves little");
        for told in stream.told.values() {
            assert_eq!(told.created, 1);
            if told.ended.is_empty() {
                told.history.dense(2, last).unwrap();
            } else {
                assert_eq!(told.ended, [last]);
                told.history.dense(2, told.history.last()).unwrap();
            }
        }
        // Whoever is left hears of the next writes; of the others there is not a word more.
        let fence = stream.create(watch_of("fence", 0)).await;
        for n in 0..5 {
            put(&client, "k", "v").await;
            let at = put(&client, "fence", &n.to_string()).await;
            while stream.last(fence) < at {
                stream.next().await;
            }
        }
        let left = (WATCHERS - ended + 1) as f64;
        let began = std::time::Instant::now();
        loop {
            let watchers = sample(&target, "etcd_debugging_mvcc_watcher_total");
            let slow = sample(&target, "etcd_debugging_mvcc_slow_watcher_total");
            if (watchers, slow) == (left, 0.0) {
                break;
            }
            assert!(began.elapsed() < LIMIT, "{watchers} watchers, {slow} slow");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
}
