//! What went wrong in etcd once, each by the number of its issue: it does not go wrong here. The
//! list is that of etcd's own robustness tests, with what users reported since.
//!
//! | file | etcd issues |
//! |---|---|
//! | `durable` | 13766, 14370, 14685, 17780 |
//! | `apart` | 18667, 20271, 20418 |
//! | `told` | 15220, 17247, 20655 |
//! | `compacted` | 18089, 19179, 22294 |
//! | `behind` | 16839, 17529, 22264 |
//! | `future` | 20221, twice |
//!
//! What needs more than one node, or authentication, cannot be shown yet and comes with them:
//!
//! - 14571: a new member built no cache of permissions from its snapshot and refused entries that
//!   the others applied. Needs authentication and a second member: with authentication.
//! - 15271: a member that had been cut off got a snapshot, and its watches told old events again.
//!   Needs a snapshot from a leader: with clusters. `engine/src/watch/tests/issues.rs` has what
//!   the watches do when the store jumps.
//! - 18055: of two snapshots soon after each other the first was cleared away before it was opened,
//!   and the member ended. Needs a snapshot from a leader: with clusters.
//! - The half of 18667, 20221, 20271 and 20418 that is about other members: with clusters. Each of
//!   them has a case here for the half that one node can show.
//!
//! `STOA_REGRESSION_ETCD=/path/to/etcd` runs the cases against that etcd instead. etcd 3.5.1 has
//! many of these faults, and that is how these cases have been seen to fail.
#![allow(clippy::unwrap_used)]

#[path = "regressions/apart.rs"]
mod apart;
#[path = "regressions/behind.rs"]
mod behind;
#[path = "regressions/compacted.rs"]
mod compacted;
#[path = "regressions/durable.rs"]
mod durable;
#[path = "regressions/future.rs"]
mod future;
#[path = "regressions/told.rs"]
mod told;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tests::client::{Client, Receiver, Sender, create, pb};
use tests::history::History;
use tests::target::{Kind, Target};

/// How long an answer may take before it counts as missing. Long, because the machine may be busy
/// with other things.
const LIMIT: Duration = Duration::from_secs(180);

const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

/// A running server: Stoa, or the etcd that the environment names.
fn start(shards: u16, extra: &[&str]) -> Target {
    let kind = match std::env::var_os("STOA_REGRESSION_ETCD") {
        Some(path) => Kind::EtcdAt(path.into()),
        None => Kind::Stoa(shards),
    };
    Target::start(kind, extra).unwrap().unwrap()
}

async fn connect(target: &Target) -> Client {
    let client = Client::connect(target.addr()).await.unwrap();
    client.with_limit(LIMIT)
}

/// Puts, and says at which revision.
async fn put(client: &Client, key: &str, value: &str) -> i64 {
    let answer = client.put_pair(key, value).await.unwrap();
    answer.header.unwrap().revision
}

/// Deletes one key, and says at which revision.
async fn delete(client: &Client, key: &str) -> i64 {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let request = pb::DeleteRangeRequest {
        key,
        ..Default::default()
    };
    let answer = client.delete_range(&request).await.unwrap();
    assert_eq!(answer.deleted, 1);
    answer.header.unwrap().revision
}

async fn compact(client: &Client, revision: i64, physical: bool) {
    let request = pb::CompactionRequest { revision, physical };
    client.compact(&request).await.unwrap();
}

async fn defragment(client: &Client) {
    let request = pb::DefragmentRequest::default();
    client.defragment(&request).await.unwrap();
}

/// The store's revision by a linearizable read.
async fn revision(client: &Client) -> i64 {
    let answer = client.get("no such key", "").await.unwrap();
    answer.header.unwrap().revision
}

fn put_op(key: &str, value: &str) -> pb::RequestOp {
    let request = pb::PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ..Default::default()
    };
    pb::RequestOp {
        request: Some(pb::request_op::Request::RequestPut(request)),
    }
}

fn delete_op(key: &str) -> pb::RequestOp {
    let request = pb::DeleteRangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Default::default()
    };
    pb::RequestOp {
        request: Some(pb::request_op::Request::RequestDeleteRange(request)),
    }
}

fn txn(success: Vec<pb::RequestOp>) -> pb::TxnRequest {
    pb::TxnRequest {
        success,
        ..Default::default()
    }
}

/// A watch of all keys that begin with `prefix`.
fn watch_of(prefix: &str, start_revision: i64) -> pb::WatchCreateRequest {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    pb::WatchCreateRequest {
        key: Bytes::copy_from_slice(prefix.as_bytes()),
        range_end: end.into(),
        start_revision,
        ..Default::default()
    }
}

/// What one watcher of a [`Stream`] was told.
#[derive(Default)]
struct Told {
    history: History,
    created: usize,
    /// The compaction revisions with which it was ended.
    ended: Vec<i64>,
    /// Most revisions in one response.
    most: usize,
}

/// A watch stream, and what its watchers were told.
struct Stream {
    requests: Sender<pb::WatchRequest>,
    responses: Receiver<pb::WatchResponse>,
    told: BTreeMap<i64, Told>,
    /// The revisions of the notices that are for all watchers together.
    notices: Vec<i64>,
}

impl Stream {
    async fn open(client: &Client) -> Stream {
        let (requests, responses) = client.watch().await.unwrap();
        Stream {
            requests,
            responses,
            told: BTreeMap::new(),
            notices: Vec::new(),
        }
    }

    /// Asks for a watcher and does not wait for it.
    fn ask(&mut self, request: pb::WatchCreateRequest) {
        self.requests.send(&create(request)).unwrap();
    }

    /// Asks for a watcher and waits for it, then gives its id.
    async fn create(&mut self, request: pb::WatchCreateRequest) -> i64 {
        self.ask(request);
        loop {
            let response = self.next().await;
            if response.created {
                return response.watch_id;
            }
        }
    }

    /// The next response, which keeps what etcd promises.
    async fn next(&mut self) -> pb::WatchResponse {
        let response = self.responses.next_within(LIMIT).await.unwrap();
        let response = response.expect("no silence");
        let revision = response.header.as_ref().map_or(0, |header| header.revision);
        if response.watch_id == -1 {
            assert!(!response.canceled, "{response:?}");
            self.notices.push(revision);
            for told in self.told.values_mut().filter(|told| told.ended.is_empty()) {
                told.history.add(&response).unwrap();
            }
            return response;
        }
        let told = self.told.entry(response.watch_id).or_default();
        assert!(
            told.ended.is_empty(),
            "a word to a watcher that was ended: {response:?}"
        );
        if response.created {
            told.created += 1;
        }
        if response.canceled {
            told.ended.push(response.compact_revision);
        }
        let mut revisions: Vec<i64> = response
            .events
            .iter()
            .map(|event| event.kv.as_ref().unwrap().mod_revision)
            .collect();
        revisions.dedup();
        told.most = told.most.max(revisions.len());
        if let Err(broken) = told.history.add(&response) {
            panic!("watcher {}: {broken}", response.watch_id);
        }
        response
    }

    fn last(&self, id: i64) -> i64 {
        self.told.get(&id).map_or(0, |told| told.history.last())
    }
}
