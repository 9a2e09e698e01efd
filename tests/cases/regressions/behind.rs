//! Watchers far behind: they lose nothing, and hold up nobody.

use bytes::Bytes;
use tests::client::{Client, Windows, pb, run};
use tests::process::peak_of;
use tests::target::Target;

use super::{Stream, compact, connect, put, revision, start, watch_of};

/// A client whose streams stand still as long as it reads nothing.
async fn narrow(target: &Target) -> Client {
    let windows = Windows {
        stream: 65_535,
        connection: 4 << 20,
    };
    Client::connect_with(target.addr(), windows).await.unwrap()
}

const STARVED: usize = 40;
const WRITES: i64 = 400;

/// etcd 17529. Many watchers with previous values on one stream that was read too slowly: behind a
/// compaction some were moved on to the present without their events and without a word, and
/// Kubernetes' caches kept objects that were long gone. Here a watcher that did not get everything
/// is ended with the compaction's revision; one that is not ended has no gap.
#[test]
fn issue_17529_starved_watchers_are_told_everything_or_ended() {
    let target = start(3, &[]);
    run(async {
        let client = connect(&target).await;
        let mut stream = Stream::open(&narrow(&target).await).await;
        for _ in 0..STARVED {
            stream
                .create(pb::WatchCreateRequest {
                    prev_kv: true,
                    ..watch_of("k", 0)
                })
                .await;
        }
        let value = "v".repeat(6 << 10);
        for n in 0..WRITES {
            put(&client, &format!("k{}", n % 20), &value).await;
        }
        let compacted = revision(&client).await - 5;
        compact(&client, compacted, true).await;
        for n in 0..50 {
            put(&client, &format!("k{}", n % 20), "after").await;
        }
        let last = revision(&client).await;
        let is_over = |told: &super::Told| told.history.last() == last || !told.ended.is_empty();
        while !stream.told.values().all(is_over) {
            stream.next().await;
        }
        let mut ended = 0;
        for told in stream.told.values() {
            told.history
                .dense(2, told.history.last().max(1))
                .expect("no gap in what a watcher is told");
            if !told.ended.is_empty() {
                assert_eq!(told.ended, [compacted]);
                assert!(told.history.last() < compacted, "it had all it needed");
                ended += 1;
            }
        }
        assert!(ended > 0, "nobody starved, which proves nothing");
    });
}

const BEHIND: i64 = 20_000;

/// etcd 22264. One watcher half a million revisions behind: each round read all that it had missed
/// under the lock that writes need, to tell it a thousand revisions of that, and for minutes writes
/// were held up nine tenths of the time. Here its rounds stay small, and between each two of them
/// a write is acknowledged and told to a watcher that is up to date; the same while the one behind
/// reads nothing at all.
#[test]
fn issue_22264_a_watcher_far_behind_holds_up_neither_writes_nor_watchers() {
    let target = start(2, &[]);
    run(async {
        let client = connect(&target).await;
        let mut puts = (0..BEHIND).map(|n| {
            let key = Bytes::from(format!("k{}", n % 50));
            let value = Bytes::from(vec![b'v'; 200]);
            (key, value)
        });
        loop {
            let some: Vec<_> = puts.by_ref().take(100).collect();
            if some.is_empty() {
                break;
            }
            let done = some
                .into_iter()
                .map(|(key, value)| client.put_pair(key, value));
            for answer in futures::future::join_all(done).await {
                answer.unwrap();
            }
        }
        let mut live = Stream::open(&client).await;
        let watching = live.create(watch_of("live", 0)).await;
        let mut told = async |n: u64| {
            let at = put(&client, "live", &n.to_string()).await;
            while live.last(watching) < at {
                live.next().await;
            }
            at
        };
        let mut far = Stream::open(&narrow(&target).await).await;
        let behind = far.create(watch_of("k", 2)).await;
        // It stands still in the middle of what it is told.
        for n in 0..200 {
            told(n).await;
        }
        let mut rounds = 0;
        while far.last(behind) < BEHIND + 1 {
            far.next().await;
            told(rounds).await;
            rounds += 1;
        }
        let told = &far.told[&behind];
        told.history.dense(2, BEHIND + 1).unwrap();
        assert!(told.most < 5000, "{} revisions in one round", told.most);
    });
}

/// Values of a mebibyte, and what the server may take to tell them to watchers that read little.
const LARGE: i64 = 400;
const GROWTH_MB: u64 = 300;

/// etcd 16839. Watchers that came back after a while were read all that they had missed at once,
/// each for itself; with large values that was gigabytes, and the server ran out of memory. Here
/// what is read for a watcher that lies behind is bounded, however large its values are.
#[test]
fn issue_16839_watchers_behind_large_values_take_little_memory() {
    // What is kept of data that was read is another matter.
    let mut target = start(2, &["--page-cache-bytes", "67108864"]);
    run(async {
        let client = connect(&target).await;
        for n in 0..LARGE {
            put(&client, &format!("k{}", n % 9), &"v".repeat(1 << 20)).await;
        }
    });
    // What the writes took is not counted.
    target.restart().unwrap();
    let pid = target.process().pid();
    let before = target.process().usage().unwrap().rss_bytes;
    run(async {
        let mut stuck = Vec::new();
        for _ in 0..4 {
            let mut stream = Stream::open(&narrow(&target).await).await;
            stream.create(watch_of("k", 2)).await;
            stuck.push(stream);
        }
        let mut reading = Stream::open(&connect(&target).await).await;
        let all = reading.create(watch_of("k", 2)).await;
        while reading.last(all) < LARGE + 1 {
            reading.next().await;
        }
        reading.told[&all].history.dense(2, LARGE + 1).unwrap();
    });
    let grown = peak_of(pid).unwrap().saturating_sub(before) >> 20;
    assert!(grown < GROWTH_MB, "the server took {grown} MiB more");
}
