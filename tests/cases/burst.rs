//! Many small messages at once on one stream, as etcd's own client sends them.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tests::client::{Client, create, pb, run};
use tests::target::{Kind, Target};

const LIMIT: Duration = Duration::from_secs(180);

/// etcd's client renews all leases of a process on one stream, those that are due in one burst.
const LEASES: i64 = 50_000;

fn renewals(kind: Kind) {
    let Some(target) = Target::start(kind, &[]).unwrap() else {
        return;
    };
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        let grant = pb::LeaseGrantRequest { ttl: 600, id: 7 };
        client.lease_grant(&grant).await.unwrap();
        let (mut requests, mut responses) = client.keep_alive().await.unwrap();
        for _ in 0..LEASES {
            let request = pb::LeaseKeepAliveRequest { id: 7 };
            requests.send(&request).unwrap();
        }
        for n in 0..LEASES {
            let renewed = responses.next_within(LIMIT).await.unwrap();
            let renewed = renewed.unwrap_or_else(|| panic!("{n} renewed, then silence"));
            assert_eq!((renewed.id, renewed.ttl), (7, 600));
        }
    });
}

/// As many watchers as a large cluster of clients behind a proxy has, asked for at once.
const WATCHERS: i64 = 30_000;

fn watchers(kind: Kind) {
    let Some(target) = Target::start(kind, &[]).unwrap() else {
        return;
    };
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        let (mut requests, mut responses) = client.watch().await.unwrap();
        for n in 0..WATCHERS {
            let request = pb::WatchCreateRequest {
                key: format!("k{n}").into(),
                ..Default::default()
            };
            requests.send(&create(request)).unwrap();
        }
        for n in 0..WATCHERS {
            let created = responses.next_within(LIMIT).await.unwrap();
            let created = created.unwrap_or_else(|| panic!("{n} created, then silence"));
            assert!(created.created && created.watch_id == n, "{created:?}");
        }
    });
}

#[test]
fn etcd_takes_a_burst_of_renewals() {
    renewals(Kind::Etcd);
}

#[test]
fn stoa_takes_a_burst_of_renewals() {
    renewals(Kind::Stoa(2));
}

#[test]
fn etcd_takes_a_burst_of_watchers() {
    watchers(Kind::Etcd);
}

#[test]
fn stoa_takes_a_burst_of_watchers() {
    watchers(Kind::Stoa(2));
}
