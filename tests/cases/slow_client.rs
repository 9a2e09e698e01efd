//! A client that watches and never reads: the others do not feel it, and the server's memory
//! stays bounded.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::time::Duration;

use bytes::Bytes;
use tests::client::{Client, Windows, create, pb, run};
use tests::history::{all_keys, replay};
use tests::target::{Kind, Target};

/// Clients that never read, and the megabytes that each of them is owed in the end.
const SLOW: usize = 8;
const OWED_MB: usize = 64;
/// What the server may grow by: what it stores, and a good deal, but not what it owes.
const GROWTH_MB: u64 = 400;

fn slow(kind: Kind) {
    let is_etcd = kind == Kind::Etcd;
    let Some(target) = Target::start(kind, &[]).unwrap() else {
        return;
    };
    run(async {
        let addr = target.addr();
        let windows = Windows {
            stream: 65_535,
            connection: 65_535,
        };
        let mut stuck = Vec::new();
        for _ in 0..SLOW {
            let client = Client::connect_with(addr, windows).await.unwrap();
            let (mut requests, responses) = client.watch().await.unwrap();
            // From the first revision: nobody waits here until the watch is made.
            requests.send(&create(all_keys(1))).unwrap();
            // Also a range whose answer nobody takes.
            stuck.push((client, requests, responses));
        }
        let client = Client::connect(addr).await.unwrap();
        let first = client
            .put_pair("first", "1")
            .await
            .unwrap()
            .header
            .unwrap()
            .revision;
        let before = target.process().usage().unwrap().rss_bytes;
        let value = Bytes::from(vec![b'v'; 64 << 10]);
        let mut last = first;
        for n in 0..OWED_MB * 16 {
            // The same few keys: what is stored grows with the history only.
            let key = Bytes::from(format!("k{}", n % 4));
            let put = pb::PutRequest {
                key,
                value: value.clone(),
                ..Default::default()
            };
            last = client.put(&put).await.unwrap().header.unwrap().revision;
        }
        let limit = Duration::from_secs(30);
        let told = replay(&client, first, last, limit).await.unwrap();
        told.dense(first, last).unwrap();
        let grown = target
            .process()
            .usage()
            .unwrap()
            .rss_bytes
            .saturating_sub(before)
            >> 20;
        eprintln!("{SLOW} clients are owed {OWED_MB} MB each; the server grew by {grown} MB");
        // How much etcd has grown by depends on when its garbage collector last ran.
        assert!(
            grown < GROWTH_MB || is_etcd,
            "the server keeps what slow clients do not take: {grown} MB"
        );
        // A slow watcher is not cut off: it reads now and gets everything in order.
        let (_client, _requests, mut responses) = stuck.swap_remove(0);
        let mut history = tests::history::History::default();
        while history.last() < last {
            let response = responses.next_within(limit).await.unwrap();
            history.add(&response.expect("no silence")).unwrap();
        }
        history.dense(first, last).unwrap();
    });
}

#[test]
fn etcd_bears_slow_clients() {
    slow(Kind::Etcd);
}

#[test]
fn stoa_bears_slow_clients() {
    slow(Kind::Stoa(2));
}
