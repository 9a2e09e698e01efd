//! The requests of kube-apiserver's storage layer.

use std::net::SocketAddr;

use bytes::Bytes;
use tests::client::{Client, Receiver, Sender, Status, create, pb};

use super::LIMIT;

/// The key over which the compactors of several apiservers agree.
pub const COMPACT_KEY: &str = "compact_rev_key";

/// Objects of a page of a list that a client asked for without a limit of its own.
pub const PAGE: i64 = 500;

/// The first etcd whose requested progress can be trusted.
const PROGRESS_SINCE: [u64; 3] = [3, 5, 13];

/// The client of one resource type.
#[derive(Clone)]
pub struct Api {
    client: Client,
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// The end of all keys that begin with `prefix`.
pub fn prefix_end(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    end.into()
}

/// "The key was last changed at `revision`": 0 where it must not be there.
fn unchanged_since(key: &str, revision: i64) -> pb::Compare {
    pb::Compare {
        result: pb::compare::CompareResult::Equal as i32,
        target: pb::compare::CompareTarget::Mod as i32,
        key: bytes(key),
        target_union: Some(pb::compare::TargetUnion::ModRevision(revision)),
        ..Default::default()
    }
}

fn op(request: pb::request_op::Request) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(request),
    }
}

fn put(key: &str, value: &str, lease: i64) -> pb::RequestOp {
    op(pb::request_op::Request::RequestPut(pb::PutRequest {
        key: bytes(key),
        value: bytes(value),
        lease,
        ..Default::default()
    }))
}

fn read(key: &str) -> pb::RequestOp {
    op(pb::request_op::Request::RequestRange(pb::RangeRequest {
        key: bytes(key),
        ..Default::default()
    }))
}

/// What a conditional write came to.
pub enum Outcome {
    /// Done, at this revision.
    Done(i64),
    /// The object is another one by now, or gone.
    Conflict(Option<pb::KeyValue>),
}

/// Reads the answer to a transaction that gets the object where it fails.
pub fn outcome(answer: pb::TxnResponse) -> Outcome {
    if answer.succeeded {
        return Outcome::Done(answer.header.unwrap().revision);
    }
    let Some(first) = answer.responses.into_iter().next() else {
        return Outcome::Conflict(None);
    };
    match first.response.unwrap() {
        pb::response_op::Response::ResponseRange(range) => {
            Outcome::Conflict(range.kvs.into_iter().next())
        }
        other => panic!("no range: {other:?}"),
    }
}

impl Api {
    pub async fn connect(addr: SocketAddr) -> std::io::Result<Api> {
        let client = Client::connect(addr).await?.with_limit(LIMIT);
        // What the Go client sends with every request, and the apiserver with its watches.
        let metadata = [("client-api-version", "3.7"), ("hasleader", "true")];
        Ok(Api {
            client: client.with_metadata(&metadata),
        })
    }

    /// `GET` of one object. Reads of the apiserver are never serializable.
    pub async fn get(&self, key: &str, revision: i64) -> Result<pb::RangeResponse, Status> {
        let request = pb::RangeRequest {
            key: bytes(key),
            limit: 1,
            revision,
            serializable: false,
            ..Default::default()
        };
        self.client.range(&request).await
    }

    /// `POST`.
    pub async fn create(
        &self,
        key: &str,
        value: &str,
        lease: i64,
    ) -> Result<pb::TxnResponse, Status> {
        let request = pb::TxnRequest {
            compare: vec![unchanged_since(key, 0)],
            success: vec![put(key, value, lease)],
            failure: Vec::new(),
        };
        self.client.txn(&request).await
    }

    /// `PUT` and `PATCH`, of the object as it was at `revision` (0: none), which get the present
    /// one where that has passed.
    pub async fn update(
        &self,
        key: &str,
        value: &str,
        revision: i64,
        lease: i64,
    ) -> Result<pb::TxnResponse, Status> {
        let request = pb::TxnRequest {
            compare: vec![unchanged_since(key, revision)],
            success: vec![put(key, value, lease)],
            failure: vec![read(key)],
        };
        self.client.txn(&request).await
    }

    /// `DELETE` with the precondition that the object is the one of `revision`.
    pub async fn delete(&self, key: &str, revision: i64) -> Result<pb::TxnResponse, Status> {
        let delete = pb::DeleteRangeRequest {
            key: bytes(key),
            ..Default::default()
        };
        let request = pb::TxnRequest {
            compare: vec![unchanged_since(key, revision)],
            success: vec![op(pb::request_op::Request::RequestDeleteRange(delete))],
            failure: vec![read(key)],
        };
        self.client.txn(&request).await
    }

    /// One page of a list, behind `after` if there was a page before.
    pub async fn page(
        &self,
        prefix: &str,
        after: Option<&Bytes>,
        limit: i64,
        revision: i64,
    ) -> Result<pb::RangeResponse, Status> {
        let key = match after {
            // The continue token is the key that follows the last one.
            Some(key) => [key.as_ref(), b"\0"].concat().into(),
            None => bytes(prefix),
        };
        let request = pb::RangeRequest {
            key,
            range_end: prefix_end(prefix),
            limit,
            revision,
            ..Default::default()
        };
        self.client.range(&request).await
    }

    /// A whole list, of pages of one revision; gives that revision too.
    pub async fn list(
        &self,
        prefix: &str,
        limit: i64,
        revision: i64,
    ) -> Result<(Vec<pb::KeyValue>, i64), Status> {
        let mut all: Vec<pb::KeyValue> = Vec::new();
        let mut pinned = revision;
        loop {
            let after = all.last().map(|kv| kv.key.clone());
            let page = self.page(prefix, after.as_ref(), limit, pinned).await?;
            if pinned == 0 {
                pinned = page.header.unwrap().revision;
            }
            let left = page.count - i64::try_from(page.kvs.len()).unwrap();
            assert_eq!(page.more, left > 0, "`more` and the items that remain");
            assert!(left == 0 || page.kvs.len() as i64 == limit, "a full page");
            all.extend(page.kvs);
            if left == 0 {
                return Ok((all, pinned));
            }
        }
    }

    /// A whole list as a stream, which the apiserver tries first since 1.37.
    pub async fn list_stream(&self, prefix: &str) -> Result<(Vec<pb::KeyValue>, i64), Status> {
        let request = pb::RangeRequest {
            key: bytes(prefix),
            range_end: prefix_end(prefix),
            ..Default::default()
        };
        let path = "/etcdserverpb.KV/RangeStream";
        let mut parts = self
            .client
            .server_stream::<_, pb::RangeStreamResponse>(path, &request)
            .await?;
        let mut all = Vec::new();
        let mut end = None;
        while let Some(part) = parts.next().await? {
            assert!(end.is_none(), "a part after the last one");
            let part = part.range_response.unwrap();
            all.extend(part.kvs);
            if let Some(header) = part.header {
                assert_eq!(part.count, all.len() as i64, "counted in the last part");
                assert!(!part.more);
                end = Some(header.revision);
            }
        }
        Ok((all, end.expect("the last part has a header")))
    }

    /// How many objects there are, asked every minute.
    pub async fn count(&self, prefix: &str) -> Result<pb::RangeResponse, Status> {
        let request = pb::RangeRequest {
            key: bytes(prefix),
            range_end: prefix_end(prefix),
            count_only: true,
            ..Default::default()
        };
        self.client.range(&request).await
    }

    /// The keys alone, for estimates of sizes.
    pub async fn keys(&self, prefix: &str) -> Result<pb::RangeResponse, Status> {
        let request = pb::RangeRequest {
            key: bytes(prefix),
            range_end: prefix_end(prefix),
            keys_only: true,
            ..Default::default()
        };
        self.client.range(&request).await
    }

    /// The revision that a read which begins now must have: from the header of a read of the
    /// resource's bare prefix, which is no object.
    pub async fn fresh(&self, prefix: &str) -> Result<i64, Status> {
        let answer = self.get(prefix, 0).await?;
        assert_eq!((answer.kvs.len(), answer.count), (0, 0));
        Ok(answer.header.unwrap().revision)
    }

    /// The probe of the apiserver's own readiness.
    pub async fn health(&self) -> Result<pb::RangeResponse, Status> {
        let key = bytes("/registry/health");
        let request = pb::RangeRequest {
            key,
            ..Default::default()
        };
        self.client.range(&request).await
    }

    /// A lease for events; it is shared by many and never kept alive nor revoked.
    pub async fn lease(&self, ttl: i64) -> Result<pb::LeaseGrantResponse, Status> {
        let request = pb::LeaseGrantRequest { ttl, id: 0 };
        self.client.lease_grant(&request).await
    }

    /// One turn of a compactor: only who finds the key at `version` may compact, at `revision`,
    /// the present of five minutes ago.
    pub async fn agree_on_compaction(
        &self,
        version: i64,
        revision: i64,
    ) -> Result<pb::TxnResponse, Status> {
        let compare = pb::Compare {
            result: pb::compare::CompareResult::Equal as i32,
            target: pb::compare::CompareTarget::Version as i32,
            key: bytes(COMPACT_KEY),
            target_union: Some(pb::compare::TargetUnion::Version(version)),
            ..Default::default()
        };
        let request = pb::TxnRequest {
            compare: vec![compare],
            success: vec![put(COMPACT_KEY, &revision.to_string(), 0)],
            failure: vec![read(COMPACT_KEY)],
        };
        self.client.txn(&request).await
    }

    /// The compaction itself; the apiserver does not wait for the sweep.
    pub async fn compact(&self, revision: i64) -> Result<pb::CompactionResponse, Status> {
        let physical = false;
        let request = pb::CompactionRequest { revision, physical };
        self.client.compact(&request).await
    }

    /// A watch of a resource type behind `revision`. Only caches ask for timed progress.
    pub async fn watch(
        &self,
        prefix: &str,
        revision: i64,
        progress_notify: bool,
    ) -> Result<(Sender<pb::WatchRequest>, Receiver<pb::WatchResponse>), Status> {
        let (mut requests, responses) = self.client.watch().await?;
        requests.send(&create(pb::WatchCreateRequest {
            key: bytes(prefix),
            range_end: prefix_end(prefix),
            start_revision: revision + 1,
            progress_notify,
            prev_kv: true,
            fragment: false,
            ..Default::default()
        }))?;
        Ok((requests, responses))
    }

    /// Whether consistent reads may be served from a cache, by the version that every endpoint
    /// tells: not of etcd before 3.5.13, nor where it cannot be read.
    pub async fn has_progress(&self) -> Result<bool, Status> {
        let status = self.client.status(&pb::StatusRequest::default()).await?;
        let parts = status.version.split('.').map(str::parse::<u64>);
        let parts: Result<Vec<u64>, _> = parts.collect();
        let Ok(parts) = parts else {
            return Ok(false);
        };
        assert!(status.db_size > 0, "asked every half minute for a metric");
        Ok(parts.len() == 3 && parts.as_slice() >= PROGRESS_SINCE.as_slice())
    }
}
