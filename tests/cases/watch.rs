//! etcd's watch promises, held on many streams at once while writers load the server.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use tests::client::{Client, create, pb, progress, run};
use tests::history::{History, all_keys, replay};
use tests::target::{Kind, Target};

const LIMIT: Duration = Duration::from_secs(30);
const STREAMS: usize = 20;
const WRITERS: usize = 6;

/// The last write of the load, which tells every watcher that all is told.
const END: &[u8] = b"z/end";

/// Puts, deletes and transactions over a few keys; returns when `rounds` are through.
async fn write(client: Client, writer: usize, rounds: usize) {
    for round in 0..rounds {
        let key = |n: usize| Bytes::from(format!("k/{writer}/{}", n % 7));
        let value = Bytes::from(format!("{round}"));
        let put = |n| pb::PutRequest {
            key: key(n),
            value: value.clone(),
            ..Default::default()
        };
        match round % 4 {
            0 | 1 => drop(client.put(&put(round)).await.unwrap()),
            2 => {
                let op = |n| pb::RequestOp {
                    request: Some(pb::request_op::Request::RequestPut(put(n))),
                };
                let success = (0..4).map(op).collect();
                client
                    .txn(&pb::TxnRequest {
                        success,
                        ..Default::default()
                    })
                    .await
                    .unwrap();
            }
            _ => {
                let key = key(round - 1);
                let delete = pb::DeleteRangeRequest {
                    key,
                    ..Default::default()
                };
                client.delete_range(&delete).await.unwrap();
            }
        }
    }
}

/// Follows all keys from `start` until the end mark, leaving and resuming every `leave` responses.
async fn follow(client: Client, start: i64, leave: usize, ask_progress: bool) -> History {
    let mut history = History::default();
    let mut next = start;
    loop {
        let (mut requests, mut responses) = client.watch().await.unwrap();
        let ask = pb::WatchCreateRequest {
            fragment: leave.is_multiple_of(2),
            ..all_keys(next)
        };
        requests.send(&create(ask)).unwrap();
        for n in 0..leave {
            if ask_progress && n % 5 == 1 {
                requests.send(&progress()).unwrap();
            }
            let response = responses
                .next_within(LIMIT)
                .await
                .unwrap()
                .expect("no silence");
            assert!(!response.canceled, "{response:?}");
            history.add(&response).unwrap();
            let last = history.revisions.last_key_value();
            if last.is_some_and(|(_, c)| c.iter().any(|(key, _)| key == END)) {
                return history;
            }
        }
        // In the middle of a fragmented revision one cannot leave without asking it again.
        next = history.last() + 1;
    }
}

fn promises(kind: Kind) {
    let Some(target) = Target::start(kind, &[]).unwrap() else {
        return;
    };
    // In etcd before 3.5.13 a requested notice overtakes events (etcd issue 15220).
    let ask_progress = target.is_stoa();
    run(async {
        let addr = target.addr();
        let client = Client::connect(addr).await.unwrap();
        write(client.clone(), 99, 50).await;
        let mut followers = tokio::task::JoinSet::new();
        for n in 0..STREAMS {
            let client = Client::connect(addr).await.unwrap();
            // Half begin in the past, and they leave at different moments or never.
            let start = if n % 2 == 0 { 2 } else { 20 + n as i64 };
            let leave = if n % 3 == 0 { usize::MAX } else { 40 + n };
            followers.spawn(follow(client, start, leave, ask_progress));
        }
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..WRITERS {
            writers.spawn(write(Client::connect(addr).await.unwrap(), n, 400));
        }
        while let Some(done) = writers.join_next().await {
            done.unwrap();
        }
        let end = client
            .put_pair(END, "end")
            .await
            .unwrap()
            .header
            .unwrap()
            .revision;
        let whole = replay(&client, 2, end, LIMIT).await.unwrap();
        whole.dense(2, end).unwrap();
        while let Some(history) = followers.join_next().await {
            let history = history.unwrap();
            let start = *history.revisions.first_key_value().unwrap().0;
            history.dense(start, end).unwrap();
            whole.continues(&history, start).unwrap();
            history.continues(&whole, start).unwrap();
        }
    });
}

/// Filters and ranges: a watcher is told exactly what it asked for.
fn selection(kind: Kind) {
    let Some(target) = Target::start(kind, &[]).unwrap() else {
        return;
    };
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        for n in 0..10 {
            client.put_pair(format!("s/{n}"), "1").await.unwrap();
        }
        let (mut requests, mut responses) = client.watch().await.unwrap();
        let ask = |range: (&'static [u8], &'static [u8]), filter: &[i32]| {
            create(pb::WatchCreateRequest {
                key: Bytes::from_static(range.0),
                range_end: Bytes::from_static(range.1),
                filters: filter.to_vec(),
                prev_kv: true,
                start_revision: 2,
                ..Default::default()
            })
        };
        let narrow: (&[u8], &[u8]) = (b"s/3", b"s/6");
        requests.send(&ask(narrow, &[])).unwrap();
        requests.send(&ask(narrow, &[0])).unwrap();
        requests.send(&ask((b"s/4", b""), &[1])).unwrap();
        let all = pb::DeleteRangeRequest {
            key: Bytes::from_static(b"s/"),
            range_end: Bytes::from_static(b"s0"),
            ..Default::default()
        };
        client.delete_range(&all).await.unwrap();
        let told = |told: &[Vec<String>; 3]| told.each_ref().map(Vec::len) == [6, 3, 1];
        let mut seen = [Vec::new(), Vec::new(), Vec::new()];
        while !told(&seen) {
            let response = responses.next_within(LIMIT).await.unwrap();
            let response = response.unwrap_or_else(|| panic!("silence after {seen:?}"));
            for event in response.events {
                let kv = event.kv.unwrap();
                let before = event.prev_kv.map(|kv| kv.value);
                let key = String::from_utf8_lossy(&kv.key).into_owned();
                let id = usize::try_from(response.watch_id).unwrap();
                assert_eq!(
                    before.is_some(),
                    event.r#type == 1,
                    "what was there before {key}"
                );
                seen[id].push(format!(
                    "{}{key}",
                    if event.r#type == 1 { '-' } else { '+' }
                ));
            }
        }
        assert_eq!(seen[0], ["+s/3", "+s/4", "+s/5", "-s/3", "-s/4", "-s/5"]);
        assert_eq!(seen[1], ["-s/3", "-s/4", "-s/5"]);
        assert_eq!(seen[2], ["+s/4"]);
    });
}

#[test]
fn etcd_promises() {
    promises(Kind::Etcd);
}

#[test]
fn stoa_promises() {
    promises(Kind::Stoa(3));
}

#[test]
fn etcd_selection() {
    selection(Kind::Etcd);
}

#[test]
fn stoa_selection() {
    selection(Kind::Stoa(3));
}
