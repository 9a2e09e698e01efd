//! Watchers are told everything once, in order, and notices of progress tell the truth.

use tests::client::{progress, run};
use tests::history::{all_keys, replay};
use tests::random::Random;

use super::{LIMIT, Stream, connect, put, put_op, start, txn, watch_of};

/// etcd 15220. A notice of progress that a client had asked for went past events which waited in
/// another queue: the client believed that it had seen everything up to a revision and then got
/// events from before it; Kubernetes' caches answered without those. Here no watcher of the stream
/// gets an event at or below a notice, while writes go on and notices are asked for all the time.
#[test]
fn issue_15220_no_notice_of_progress_overtakes_an_event() {
    let target = start(3, &[]);
    run(async {
        let client = connect(&target).await;
        let mut stream = Stream::open(&client).await;
        for n in 0..6 {
            stream.create(watch_of(&format!("{n}/"), 0)).await;
        }
        let writer = connect(&target).await;
        let writes = tokio::spawn(async move {
            let mut last = 0;
            for n in 0..600 {
                last = put(&writer, &format!("{}/{n}", n % 6), "v").await;
            }
            last
        });
        let mut through = 0;
        while !writes.is_finished() || through == 0 {
            stream.requests.send(&progress()).unwrap();
            let response = stream.next().await;
            if response.watch_id == -1 {
                through = response.header.unwrap().revision;
            }
        }
        let last = writes.await.unwrap();
        while stream.told.values().map(|told| told.history.last()).max() < Some(last) {
            stream.next().await;
        }
        assert!(!stream.notices.is_empty(), "no notice proves nothing");
        let ordered = stream.notices.windows(2).all(|pair| pair[0] <= pair[1]);
        assert!(ordered, "{:?}", stream.notices);
        let events: usize = stream
            .told
            .values()
            .map(|told| told.history.revisions.len())
            .sum();
        assert_eq!(events, 600, "each event once");
    });
}

/// etcd 17247. A change that let reads share a buffer of what was being written put the records
/// of a transaction there in the order of their keys, so that one which wrote its keys in another
/// order was read twice: watchers that caught up were told an event twice. Here transactions write
/// their keys in any order, and watchers that begin at every moment are told the same.
#[test]
fn issue_17247_a_transaction_in_any_order_of_keys_is_told_once() {
    let target = start(3, &[]);
    run(async {
        let client = connect(&target).await;
        let mut random = Random(17_247);
        let mut stream = Stream::open(&client).await;
        let mut from = Vec::new();
        let mut last: i64 = 1;
        let mut orders = Vec::new();
        for round in 0..150 {
            let mut keys: Vec<u64> = (0..10).collect();
            let order: Vec<u64> = (0..10)
                .map(|_| keys.swap_remove(random.below(keys.len() as u64) as usize))
                .collect();
            let puts = order
                .iter()
                .map(|n| put_op(&format!("k{n}"), &round.to_string()))
                .collect();
            // Not waited for: some catch up with what is being written.
            let start = 2 + random.below(last.unsigned_abs()) as i64;
            stream.ask(all_keys(start));
            from.push(start);
            let answer = client.txn(&txn(puts)).await.unwrap();
            last = answer.header.unwrap().revision;
            orders.push(order);
        }
        assert_eq!(last, 151, "one revision each");
        let behind = |stream: &Stream| {
            stream.told.len() < from.len()
                || stream.told.values().any(|told| told.history.last() < last)
        };
        while behind(&stream) {
            stream.next().await;
        }
        let whole = replay(&client, 2, last, LIMIT).await.unwrap();
        for (revision, order) in (2..).zip(&orders) {
            let told: Vec<_> = whole.revisions[&revision]
                .iter()
                .map(|(key, _)| key.clone())
                .collect();
            let wrote: Vec<_> = order.iter().map(|n| format!("k{n}")).collect();
            assert_eq!(told, wrote, "in the order of the transaction");
        }
        for (told, start) in stream.told.values().zip(from) {
            let start = start.min(last);
            told.history.dense(start, last).unwrap();
            told.history.continues(&whole, start).unwrap();
        }
    });
}

/// etcd 20655. Watchers that were made quickly after each other while writes went on lost events
/// between the moment in which they were taken in and that in which they counted as caught up.
/// Here hundreds are made without waiting, from just behind, at and just ahead of the present, and
/// none misses anything.
#[test]
fn issue_20655_watchers_made_quickly_miss_nothing() {
    let target = start(3, &[]);
    run(async {
        let client = connect(&target).await;
        let mut stream = Stream::open(&client).await;
        let mut from = Vec::new();
        let mut last = put(&client, "k", "first").await;
        for n in 0..60 {
            for ahead in [-1, 0, 1, 2] {
                let start = (last + ahead).max(2);
                stream.ask(watch_of("k", start));
                from.push(start);
            }
            last = put(&client, &format!("k{}", n % 7), "v").await;
        }
        // Beyond every start.
        last = put(&client, "k", "v").await;
        let behind = |stream: &Stream| {
            stream.told.len() < from.len()
                || stream.told.values().any(|told| told.history.last() < last)
        };
        while behind(&stream) {
            stream.next().await;
        }
        for (told, start) in stream.told.values().zip(from) {
            assert_eq!(told.created, 1);
            told.history.dense(start, last).unwrap();
            let first = *told.history.revisions.first_key_value().unwrap().0;
            assert_eq!(first, start, "nothing older than asked for");
        }
    });
}
