//! One of each request in a row: to every etcd that is here and to Stoa, every answer compared.

use std::fmt::Debug;

use tests::client::{Receiver, Status, pb, progress, run};
use tests::page::page;
use tests::peer;
use tests::skip::skip;
use tests::target::{Kind, Target};

use super::LIMIT;
use super::api::{Api, COMPACT_KEY};

const PODS: &str = "/registry/pods/";

/// What was asked and what was answered, without what differs between any two clusters.
struct Said {
    lines: Vec<String>,
    lease: String,
}

impl Said {
    fn note(&mut self, asked: &str, answer: &impl Debug) {
        let mut text = format!("{answer:?}");
        for name in ["cluster_id: ", "member_id: ", "raft_term: "] {
            let mut parts = text.split(name);
            let mut plain = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                plain += part.trim_start_matches(|c: char| c.is_ascii_digit());
            }
            text = plain;
        }
        if !self.lease.is_empty() {
            text = text.replace(&self.lease, "LEASE");
        }
        self.lines.push(format!("{asked}: {text}"));
    }

    async fn told(&mut self, asked: &str, responses: &mut Receiver<pb::WatchResponse>) -> i64 {
        let response = responses.next_within(LIMIT).await.unwrap();
        let response = response.unwrap_or_else(|| panic!("{asked}: silence"));
        self.note(asked, &response);
        response.header.map_or(0, |header| header.revision)
    }
}

fn revision(answer: &Result<pb::TxnResponse, Status>) -> i64 {
    answer.as_ref().unwrap().header.as_ref().unwrap().revision
}

/// Create, read, update, delete.
async fn objects(api: &Api, said: &mut Said) {
    let pod = "/registry/pods/default/a";
    said.note("fresh", &api.fresh(PODS).await);
    said.note("health", &api.health().await);
    let created = api.create(pod, "1", 0).await;
    said.note("create", &created);
    said.note("create again", &api.create(pod, "1", 0).await);
    said.note("create or get", &api.update(pod, "1", 0, 0).await);
    said.note("get", &api.get(pod, 0).await);
    said.note("get none", &api.get("/registry/pods/default/b", 0).await);
    let updated = api.update(pod, "2", revision(&created), 0).await;
    said.note("update", &updated);
    let stale = api.update(pod, "3", revision(&created), 0).await;
    said.note("update of the past", &stale);
    said.note("get the past", &api.get(pod, revision(&created)).await);
    said.note("get the future", &api.get(pod, 1_000_000).await);
    said.note(
        "update of none",
        &api.update("/registry/x", "1", 5, 0).await,
    );
    said.note(
        "delete of the past",
        &api.delete(pod, revision(&created)).await,
    );
    said.note("delete", &api.delete(pod, revision(&updated)).await);
    said.note("delete again", &api.delete(pod, revision(&updated)).await);
    said.note("without a lease", &api.create(pod, "1", 404).await);
}

/// Pages with their continue tokens, while the objects change.
async fn lists(api: &Api, said: &mut Said) {
    for n in 0..25 {
        let key = format!("/registry/pods/ns{}/p{n:02}", n % 3);
        api.create(&key, &n.to_string(), 0).await.unwrap();
    }
    let first = api.page(PODS, None, 10, 0).await.unwrap();
    said.note("page 1", &first);
    let pinned = first.header.as_ref().unwrap().revision;
    let gone = first.kvs[3].clone();
    let gone_key = String::from_utf8(gone.key.to_vec()).unwrap();
    api.delete(&gone_key, gone.mod_revision).await.unwrap();
    api.create("/registry/pods/ns1/p99", "new", 0)
        .await
        .unwrap();
    let mut after = first.kvs.last().unwrap().key.clone();
    for n in 2..=3 {
        let page = api.page(PODS, Some(&after), 10, pinned).await.unwrap();
        said.note(&format!("page {n}"), &page);
        after = page.kvs.last().unwrap().key.clone();
    }
    said.note("page 4", &api.page(PODS, Some(&after), 10, pinned).await);
    said.note("500", &api.page(PODS, None, 500, 0).await);
    said.note("no limit", &api.page(PODS, None, 0, 0).await);
    said.note(
        "a namespace",
        &api.page("/registry/pods/ns1/", None, 500, 0).await,
    );
    said.note("none", &api.page("/registry/secrets/", None, 500, 0).await);
    said.note("exact", &api.page(PODS, None, 500, pinned).await);
    said.note("count", &api.count(PODS).await);
    said.note("keys", &api.keys(PODS).await);
    said.note("count of none", &api.count("/registry/secrets/").await);
}

/// Two compactors, and who comes too late for the history.
async fn compaction(api: &Api, said: &mut Said) {
    let first = api.agree_on_compaction(0, 0).await;
    said.note("the first turn", &first);
    said.note("the other one", &api.agree_on_compaction(0, 0).await);
    let at = revision(&first);
    said.note("the second turn", &api.agree_on_compaction(1, at).await);
    said.note("compact", &api.compact(at).await);
    said.note("compact again", &api.compact(at).await);
    said.note("compact the future", &api.compact(at + 1000).await);
    said.note("agreed", &api.get(COMPACT_KEY, 0).await);
    said.note("list at it", &api.page(PODS, None, 500, at).await);
    said.note("list below it", &api.page(PODS, None, 500, at - 1).await);
    let after = "/registry/pods/ns1/p10".into();
    let late = api.page(PODS, Some(&after), 500, at - 1).await;
    said.note("continue below it", &late);
    said.note(
        "get below it",
        &api.get("/registry/pods/ns1/p10", at - 1).await,
    );
    said.note(
        "list the future",
        &api.page(PODS, None, 500, at + 1000).await,
    );
    let (_requests, mut responses) = api.watch(PODS, at - 2, true).await.unwrap();
    said.told("watch below it", &mut responses).await;
    said.told("is ended", &mut responses).await;
}

/// A watch behind a list, and notices of progress.
async fn watches(api: &Api, said: &mut Said) {
    let from = api.fresh(PODS).await.unwrap();
    let pod = "/registry/pods/ns2/watched";
    // Some before the watch begins, some after.
    let created = api.create(pod, "1", 0).await;
    let (mut requests, mut responses) = api.watch(PODS, from, true).await.unwrap();
    said.told("created", &mut responses).await;
    said.told("a create", &mut responses).await;
    let updated = api.update(pod, "2", revision(&created), 0).await;
    said.told("an update", &mut responses).await;
    let deleted = api.delete(pod, revision(&updated)).await;
    said.told("a delete", &mut responses).await;
    // Nothing that this watch is for; a consistent read has to wait for it.
    let lease = "/registry/leases/kube-node-lease/n1";
    let last = revision(&api.create(lease, "1", 0).await);
    assert_eq!(last, revision(&deleted) + 1);
    requests.send(&progress()).unwrap();
    let through = said.told("progress", &mut responses).await;
    let fresh = api.fresh(PODS).await.unwrap();
    assert_eq!((through, fresh), (last, last), "at a fresh read's revision");
    let (_requests, mut responses) = api.watch(COMPACT_KEY, 1, false).await.unwrap();
    said.told("the agreed compactions are watched", &mut responses)
        .await;
}

/// Events share a lease, of which nobody takes care; they go together.
async fn events(api: &Api, said: &mut Said) {
    let lease = api.lease(2).await.unwrap().id;
    said.lease = lease.to_string();
    let from = api.fresh("/registry/events/").await.unwrap();
    for n in [3, 1, 4, 0, 5, 2] {
        let key = format!("/registry/events/default/e{n}");
        said.note("an event", &api.create(&key, "seen", lease).await);
    }
    let event = "/registry/events/default/e4";
    let again = api.update(event, "seen twice", from + 3, lease).await;
    said.note("an event again", &again);
    let prefix = "/registry/events/";
    let (_requests, mut responses) = api.watch(prefix, from + 6, false).await.unwrap();
    said.told("created", &mut responses).await;
    said.told("the event again", &mut responses).await;
    let end = said.told("all events expire", &mut responses).await;
    assert_eq!(end, from + 8, "in one revision");
    said.note("none is left", &api.count(prefix).await);
    said.note("its lease is gone", &api.create(event, "", lease).await);
}

fn play(kind: Kind) -> Option<Vec<String>> {
    let target = Target::start(kind, &[]).unwrap()?;
    let lines = run(async {
        let api = Api::connect(target.addr()).await.unwrap();
        let mut said = Said {
            lines: Vec::new(),
            lease: String::new(),
        };
        objects(&api, &mut said).await;
        lists(&api, &mut said).await;
        watches_and_rest(&api, &mut said).await;
        said.lines
    });
    Some(lines)
}

async fn watches_and_rest(api: &Api, said: &mut Said) {
    compaction(api, said).await;
    watches(api, said).await;
    events(api, said).await;
}

#[test]
fn every_answer_is_that_of_etcd() {
    let etcds = peer::etcds();
    if etcds.is_empty() {
        skip("no etcd found (set STOA_PEER_ETCD)");
        return;
    }
    let theirs: Vec<_> = etcds
        .into_iter()
        .map(|etcd| (etcd.version, play(Kind::EtcdAt(etcd.path)).unwrap()))
        .collect();
    for shards in [1, 4] {
        let ours = play(Kind::Stoa(shards)).unwrap();
        for (version, theirs) in &theirs {
            assert_eq!(ours.len(), theirs.len());
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert_eq!(ours, theirs, "{shards} shards against etcd {version}");
            }
        }
    }
}

/// What etcd 3.5 does not have, or does not have yet: lists as streams, a version that lets the
/// apiserver read from its caches, and the probes of kubeadm.
#[test]
fn what_the_apiserver_asks_of_a_new_etcd_is_there() {
    let target = Target::start(Kind::Stoa(3), &[]).unwrap().unwrap();
    run(async {
        let api = Api::connect(target.addr()).await.unwrap();
        assert!(api.has_progress().await.unwrap());
        assert_eq!(api.list_stream(PODS).await.unwrap(), (Vec::new(), 1));
        for n in 0..1200 {
            let key = format!("/registry/pods/ns{}/p{n:04}", n % 7);
            api.create(&key, &"v".repeat(n), 0).await.unwrap();
        }
        let (streamed, at) = api.list_stream(PODS).await.unwrap();
        let (paged, revision) = api.list(PODS, super::api::PAGE, 0).await.unwrap();
        assert_eq!((streamed.len(), at), (1200, 1201));
        assert_eq!(revision, at);
        assert_eq!(streamed, paged);
    });
    for (path, body) in [
        ("/health", r#"{"health":"true","reason":""}"#),
        ("/livez", "ok\n"),
        ("/readyz", "ok\n"),
    ] {
        let found = page(target.addr(), path).unwrap();
        assert_eq!(found, (200, body.to_owned()), "{path}");
    }
}
