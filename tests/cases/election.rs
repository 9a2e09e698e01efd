//! Elections and locks that the server runs: real etcd and Stoa are told the same story, and each
//! answer has to be the same, field by field.
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::v3electionpb as el;
use proto::v3lockpb as lo;
use tests::client::{Client, Receiver, Status, pb, run};
use tests::target::{Kind, Target};
use tokio::task::JoinHandle;

const LIMIT: Duration = Duration::from_secs(30);

/// What a server said, line by line.
#[derive(Default)]
struct Record(Vec<String>);

impl Record {
    /// Keeps an answer without what differs between any two clusters.
    fn keep<A: Debug>(&mut self, what: &str, answer: &Result<A, Status>) {
        let text = match answer {
            Ok(answer) => format!("{answer:?}"),
            Err(status) => format!("error {status}"),
        };
        let mut line = format!("{what}: {text}");
        for name in ["cluster_id: ", "member_id: ", "raft_term: "] {
            while let Some(at) = line.find(name) {
                let rest = line[at + name.len()..].to_owned();
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap();
                line.replace_range(at.., &format!("{}=0{}", &name[..4], &rest[end..]));
            }
        }
        self.0.push(line);
    }

    /// As [`Record::keep`], for an answer that has to be an error with this code and text.
    fn refused<A: Debug>(&mut self, what: &str, answer: Result<A, Status>, text: &str) {
        self.keep(what, &answer);
        assert_eq!(answer.unwrap_err().to_string(), text, "{what}");
    }
}

async fn election<Q: prost::Message, A: prost::Message + Default>(
    client: &Client,
    name: &str,
    request: Q,
) -> Result<A, Status> {
    let path = format!("/v3electionpb.Election/{name}");
    client.unary(&path, &request).await
}

fn campaign(
    client: &Client,
    lease: i64,
    value: &'static str,
) -> JoinHandle<Result<el::CampaignResponse, Status>> {
    let (client, name) = (client.clone(), Bytes::from_static(b"vote"));
    let value = Bytes::from_static(value.as_bytes());
    let request = el::CampaignRequest { name, lease, value };
    tokio::spawn(async move { election(&client, "Campaign", request).await })
}

async fn proclaim(
    client: &Client,
    leader: Option<el::LeaderKey>,
    value: &'static str,
) -> Result<el::ProclaimResponse, Status> {
    let value = Bytes::from_static(value.as_bytes());
    election(client, "Proclaim", el::ProclaimRequest { leader, value }).await
}

async fn resign(
    client: &Client,
    leader: Option<el::LeaderKey>,
) -> Result<el::ResignResponse, Status> {
    election(client, "Resign", el::ResignRequest { leader }).await
}

fn named(name: &'static str) -> el::LeaderRequest {
    let name = Bytes::from_static(name.as_bytes());
    el::LeaderRequest { name }
}

async fn leader(client: &Client) -> Result<el::LeaderResponse, Status> {
    election(client, "Leader", named("vote")).await
}

fn lock(client: &Client, lease: i64) -> JoinHandle<Result<lo::LockResponse, Status>> {
    let (client, name) = (client.clone(), Bytes::from_static(b"door"));
    tokio::spawn(async move {
        let request = lo::LockRequest { name, lease };
        client.unary("/v3lockpb.Lock/Lock", &request).await
    })
}

async fn unlock(client: &Client, key: impl Into<Bytes>) -> Result<lo::UnlockResponse, Status> {
    let key = key.into();
    client
        .unary("/v3lockpb.Lock/Unlock", &lo::UnlockRequest { key })
        .await
}

async fn grant(client: &Client, id: i64, ttl: i64) {
    let request = pb::LeaseGrantRequest { id, ttl };
    client.lease_grant(&request).await.unwrap();
}

async fn revoke(client: &Client, id: i64) {
    client
        .lease_revoke(&pb::LeaseRevokeRequest { id })
        .await
        .unwrap();
}

/// Asks until the key is there, or is not.
async fn until(client: &Client, key: &str, there: bool) {
    let began = Instant::now();
    while (client.get(key, "").await.unwrap().count == 1) != there {
        assert!(began.elapsed() < LIMIT, "{key} there: never {there}");
    }
}

async fn told(observed: &mut Receiver<el::LeaderResponse>) -> el::LeaderResponse {
    let told = observed.next_within(LIMIT).await.unwrap();
    told.expect("the observer is told")
}

async fn elections(client: &Client) -> Record {
    let mut record = Record::default();
    record.refused("nobody", leader(client).await, "(2) election: no leader");
    let missing = "(2) \"leader\" field must be provided";
    record.refused("no key", proclaim(client, None, "x").await, missing);
    record.refused("no key", resign(client, None).await, missing);
    let lost = campaign(client, 77, "x").await.unwrap();
    record.refused(
        "no lease",
        lost,
        "(2) etcdserver: requested lease not found",
    );
    for id in [7, 8, 9] {
        grant(client, id, 600).await;
    }

    let won = campaign(client, 7, "a").await.unwrap();
    record.keep("first", &won);
    let first = won.unwrap().leader.unwrap();
    assert_eq!((first.key.as_ref(), first.lease), (&b"vote/7"[..], 7));
    record.keep("leader", &leader(client).await);
    record.keep("same value", &campaign(client, 7, "a").await.unwrap());
    record.keep("other value", &campaign(client, 7, "b").await.unwrap());
    record.keep("leader", &leader(client).await);

    let path = "/v3electionpb.Election/Observe";
    let mut observed = client.server_stream(path, &named("vote")).await.unwrap();
    record.keep("observed", &Ok(told(&mut observed).await));
    let second = campaign(client, 8, "c");
    until(client, "vote/8", true).await;
    record.keep(
        "proclaimed",
        &proclaim(client, Some(first.clone()), "d").await,
    );
    record.keep("observed", &Ok(told(&mut observed).await));
    let stale = el::LeaderKey {
        rev: first.rev - 1,
        ..first.clone()
    };
    let not_leader = "(2) election: not leader";
    let refused = proclaim(client, Some(stale.clone()), "e").await;
    record.refused("stale", refused, not_leader);
    record.keep("stale", &resign(client, Some(stale)).await);
    assert!(!second.is_finished(), "a stale key resigns nothing");

    record.keep("resigned", &resign(client, Some(first.clone())).await);
    let won = second.await.unwrap();
    record.keep("second", &won);
    record.keep("observed", &Ok(told(&mut observed).await));
    record.keep("resigned again", &resign(client, Some(first.clone())).await);
    let refused = proclaim(client, Some(first), "f").await;
    record.refused("resigned", refused, not_leader);

    // Who gives up waiting leaves no candidate behind.
    let third = campaign(client, 9, "g");
    until(client, "vote/9", true).await;
    third.abort();
    until(client, "vote/9", false).await;

    revoke(client, 8).await;
    record.refused("nobody", leader(client).await, "(2) election: no leader");
    record.keep("third", &campaign(client, 9, "h").await.unwrap());
    record.keep("observed", &Ok(told(&mut observed).await));
    drop(observed);

    // A lease is granted to who names none.
    let won = campaign(client, 0, "i");
    let waits = client.get("vote/", "vote0");
    assert_eq!(waits.await.unwrap().kvs[0].value, "h");
    revoke(client, 9).await;
    let own = won.await.unwrap().unwrap().leader.unwrap();
    assert_eq!(own.key, format!("vote/{:x}", own.lease));
    let ask = pb::LeaseTimeToLiveRequest {
        id: own.lease,
        keys: true,
    };
    let lease = client.lease_time_to_live(&ask).await.unwrap();
    assert_eq!((lease.granted_ttl, &lease.keys[..]), (60, &[own.key][..]));
    record
}

async fn locks(client: &Client) -> Record {
    let mut record = Record::default();
    let lost = lock(client, 77).await.unwrap();
    record.refused(
        "no lease",
        lost,
        "(2) etcdserver: requested lease not found",
    );
    let empty = unlock(client, "").await;
    record.refused("no key", empty, "(2) etcdserver: key is not provided");
    record.keep("no lock", &unlock(client, "door/7").await);
    for id in [7, 8, 9, 10, 11] {
        grant(client, id, 600).await;
    }

    record.keep("free", &lock(client, 7).await.unwrap());
    record.keep("held by this lease", &lock(client, 7).await.unwrap());
    let second = lock(client, 8);
    until(client, "door/8", true).await;
    let third = lock(client, 9);
    until(client, "door/9", true).await;
    let fourth = lock(client, 10);
    until(client, "door/10", false).await;
    until(client, "door/a", true).await;
    third.abort();
    until(client, "door/9", false).await;
    assert!(!second.is_finished() && !fourth.is_finished());
    record.keep("unlocked", &unlock(client, "door/7").await);
    record.keep("second", &second.await.unwrap());
    // The holder's lease goes, and the lock passes on.
    revoke(client, 8).await;
    record.keep("fourth", &fourth.await.unwrap());

    // The waiter's own lease goes: it is told when its turn would come.
    let fifth = lock(client, 11);
    until(client, "door/b", true).await;
    revoke(client, 11).await;
    record.keep("unlocked", &unlock(client, "door/a").await);
    let expired = fifth.await.unwrap();
    record.refused("expired", expired, "(2) mutex: session is expired");

    // A lease runs out.
    grant(client, 12, 1).await;
    record.keep("short", &lock(client, 12).await.unwrap());
    let after = lock(client, 7).await.unwrap();
    record.keep("after the short one", &after);
    until(client, "door/c", false).await;
    record
}

/// Tells both servers the same story, and compares.
fn same<F: Future<Output = Record>>(story: impl Fn(&'static Client) -> F) {
    let mut records = Vec::new();
    for kind in [Kind::Etcd, Kind::Stoa(3)] {
        let Some(target) = Target::start(kind, &[]).unwrap() else {
            continue;
        };
        let record = run(async {
            let client = Client::connect(target.addr()).await.unwrap();
            story(Box::leak(Box::new(client))).await
        });
        records.push(record.0);
    }
    if let [theirs, ours] = &records[..] {
        assert_eq!(theirs, ours);
    }
}

#[test]
fn elections_are_as_in_etcd() {
    same(elections);
}

#[test]
fn locks_are_as_in_etcd() {
    same(locks);
}

#[test]
fn who_waits_is_told_that_the_server_stops() {
    let mut target = Target::start(Kind::Stoa(2), &[]).unwrap().unwrap();
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        grant(&client, 7, 600).await;
        grant(&client, 8, 600).await;
        lock(&client, 7).await.unwrap().unwrap();
        let waiter = lock(&client, 8);
        until(&client, "door/8", true).await;
        let stopped = tokio::task::spawn_blocking(move || target.stop().unwrap().unwrap());
        let told = waiter.await.unwrap().unwrap_err();
        assert_eq!(told.to_string(), "(14) etcdserver: server stopped");
        assert!(stopped.await.unwrap().success());
    });
}
