//! One server's side of a comparison: asks it the steps of a script and gives its answers as
//! text, with only those parts zeroed that differ between any two clusters. Used by the case
//! `same_answers`.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::client::{self, Client, Receiver, Sender, Status, pb};
use crate::script::{Step, WATCH_STREAMS};
use crate::ties;

/// How long an answer, or the news of a change, may take. Long, because several servers share the
/// machine with whatever else runs there.
const LIMIT: Duration = Duration::from_secs(120);

/// Responses that may wait on a watch stream until the script asks for them.
const RESPONSES: usize = 1 << 16;

/// What a server said to one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The whole answer, or the error's code and text.
    pub text: String,
    /// The revision in its header.
    pub revision: Option<i64>,
}

impl Answer {
    /// Whether there was none: what the server did, or will do yet, is unknown.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.text.starts_with("error (14) transport: ")
    }
}

/// A watcher that lives.
#[derive(Clone, Debug)]
pub struct Watcher {
    /// How it was created.
    pub create: pb::WatchCreateRequest,
    /// All it was told since the last comparison: revision and event.
    pub events: Vec<(i64, String)>,
    /// Revision of the last event.
    pub last: i64,
}

struct Stream {
    requests: Sender<pb::WatchRequest>,
    responses: mpsc::Receiver<Result<pb::WatchResponse, Status>>,
}

/// A connection with its streams.
pub struct Session {
    /// How reports name this server.
    pub name: String,
    opened: Instant,
    client: Client,
    watches: Vec<Stream>,
    renew: (
        Sender<pb::LeaseKeepAliveRequest>,
        Receiver<pb::LeaseKeepAliveResponse>,
    ),
    /// Watchers that live, by stream and id.
    pub watchers: BTreeMap<(usize, i64), Watcher>,
    /// The watcher created last, by stream and id; none when that was refused.
    pub created: Option<(usize, i64)>,
    /// Watchers that ended so far.
    ends: i64,
    /// Broken promises seen on the way.
    pub faults: Vec<String>,
    /// Whether the order among equals of a sort is left out of the answers (see `ties`).
    pub settles_ties: bool,
}

impl Session {
    /// Connects and opens the streams.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn open(name: &str, addr: SocketAddr) -> io::Result<Session> {
        let client = Client::connect(addr).await?.with_limit(LIMIT);
        let mut watches = Vec::new();
        for _ in 0..WATCH_STREAMS {
            let (requests, mut receiver) = client.watch().await.map_err(io::Error::other)?;
            let (tell, responses) = mpsc::channel(RESPONSES);
            tokio::spawn(async move {
                while let Some(response) = receiver.next().await.transpose() {
                    let failed = response.is_err();
                    if tell.send(response).await.is_err() || failed {
                        break;
                    }
                }
            });
            watches.push(Stream {
                requests,
                responses,
            });
        }
        let renew = client.keep_alive().await.map_err(io::Error::other)?;
        let name = name.to_owned();
        let (watchers, faults) = (BTreeMap::new(), Vec::new());
        Ok(Session {
            name,
            opened: Instant::now(),
            client,
            watches,
            renew,
            watchers,
            created: None,
            ends: 0,
            faults,
            settles_ties: false,
        })
    }

    /// Asks one step.
    pub async fn ask(&mut self, step: &Step) -> Answer {
        match step {
            Step::Range(q) => {
                let mut result = self.client.range(q).await;
                if let (true, Ok(a)) = (self.settles_ties, &mut result) {
                    ties::settle(q, a);
                }
                answer(result, |a| &mut a.header)
            }
            Step::Put(q) => answer(self.client.put(q).await, |a| &mut a.header),
            Step::Delete(q) => answer(self.client.delete_range(q).await, |a| &mut a.header),
            Step::Txn(q) => {
                let mut result = self.client.txn(q).await;
                if let (true, Ok(a)) = (self.settles_ties, &mut result) {
                    ties::settle_txn(q, a);
                }
                answer(result, |a| &mut a.header)
            }
            Step::Compact(q) => answer(self.client.compact(q).await, |a| &mut a.header),
            Step::Grant(q) => answer(self.client.lease_grant(q).await, |a| &mut a.header),
            Step::Revoke(q) => answer(self.client.lease_revoke(q).await, |a| &mut a.header),
            Step::TimeToLive(q) => {
                let mut result = self.client.lease_time_to_live(q).await;
                if let Ok(a) = &mut result {
                    // Whole seconds pass at other moments on every server, but no more of them
                    // than since this session began.
                    let passed_max = self.opened.elapsed().as_secs() as i64 + 1;
                    let passed = a.granted_ttl - a.ttl;
                    if a.ttl > 0 && (0..=passed_max).contains(&passed) {
                        a.ttl = a.granted_ttl;
                    }
                    a.keys.sort();
                }
                answer(result, |a| &mut a.header)
            }
            Step::Leases => {
                let mut result = self.client.lease_leases(&pb::LeaseLeasesRequest {}).await;
                if let Ok(a) = &mut result {
                    a.leases.sort_by_key(|l| l.id);
                }
                answer(result, |a| &mut a.header)
            }
            Step::KeepAlive(id) => {
                let result = self.renew(*id).await;
                answer(result, |a| &mut a.header)
            }
            Step::Watch(stream, create) => self.watch(*stream, create).await,
            Step::Cancel(stream, id) => self.cancel(*stream, *id).await,
        }
    }

    async fn renew(&mut self, id: i64) -> Result<pb::LeaseKeepAliveResponse, Status> {
        self.renew.0.send(&pb::LeaseKeepAliveRequest { id })?;
        let next = self.renew.1.next_within(LIMIT).await?;
        next.ok_or_else(|| Status::transport("no answer to a keep-alive"))
    }

    async fn watch(&mut self, stream: usize, create: &pb::WatchCreateRequest) -> Answer {
        if let Err(status) = self.watches[stream]
            .requests
            .send(&client::create(create.clone()))
        {
            return failed(&status);
        }
        loop {
            let Some(mut response) = self.next_response(stream).await else {
                return failed(&Status::transport("no answer to a watch"));
            };
            if response.created {
                let id = response.watch_id;
                self.created = None;
                if !response.canceled {
                    self.created = Some((stream, id));
                    let (events, last) = (Vec::new(), 0);
                    let watcher = Watcher {
                        create: create.clone(),
                        events,
                        last,
                    };
                    self.watchers.insert((stream, id), watcher);
                }
                response.events.clear();
                return answer(Ok(response), |a| &mut a.header);
            }
            self.note(stream, response);
        }
    }

    async fn cancel(&mut self, stream: usize, id: i64) -> Answer {
        if let Err(status) = self.watches[stream].requests.send(&client::cancel(id)) {
            return failed(&status);
        }
        // An unknown id is met with silence, so there is nothing to wait for.
        while self.watchers.contains_key(&(stream, id)) {
            let Some(response) = self.next_response(stream).await else {
                return failed(&Status::transport("no answer to a cancel"));
            };
            self.note(stream, response);
        }
        Answer {
            text: "gone".into(),
            revision: None,
        }
    }

    /// Waits until every living watcher has been told of `events` (by stream and id: the least
    /// revision its last event must have).
    pub async fn settle(&mut self, wanted: &BTreeMap<(usize, i64), i64>) {
        for (&(stream, id), &revision) in wanted {
            loop {
                match self.watchers.get(&(stream, id)) {
                    Some(watcher) if watcher.last < revision => {}
                    _ => break,
                }
                let Some(response) = self.next_response(stream).await else {
                    let fault = format!("watch {stream}/{id} is not told of revision {revision}");
                    self.faults.push(fault);
                    return;
                };
                self.note(stream, response);
            }
        }
    }

    async fn next_response(&mut self, stream: usize) -> Option<pb::WatchResponse> {
        let next = self.watches[stream].responses.recv();
        match tokio::time::timeout(LIMIT, next).await {
            Ok(Some(Ok(response))) => Some(response),
            Ok(Some(Err(status))) => {
                self.faults
                    .push(format!("watch stream {stream} ended: {status}"));
                None
            }
            Ok(None) | Err(_) => None,
        }
    }

    /// Takes in a response: events to their watcher, the end of one to the record.
    fn note(&mut self, stream: usize, response: pb::WatchResponse) {
        let id = response.watch_id;
        let Some(watcher) = self.watchers.get_mut(&(stream, id)) else {
            // etcd answers the cancel of a watch that a compaction ended with a second end.
            if response.canceled && response.events.is_empty() {
                return;
            }
            self.faults
                .push(format!("events for a watch that is not: {response:?}"));
            return;
        };
        let header = response.header.map_or(0, |h| h.revision);
        for event in &response.events {
            let revision = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
            if revision < watcher.last || revision < watcher.create.start_revision {
                self.faults
                    .push(format!("watch {stream}/{id}: {revision} came out of order"));
            }
            if header < revision {
                self.faults
                    .push(format!("watch {stream}/{id}: header {header} < {revision}"));
            }
            watcher.last = revision;
            watcher.events.push((revision, format!("{event:?}")));
        }
        if response.canceled {
            let end = (response.compact_revision, response.cancel_reason);
            watcher
                .events
                .push((watcher.last, format!("canceled: {end:?}")));
            self.ended(stream, id);
        }
    }

    /// A watcher that was cancelled stays in the record under a number that no watch can have.
    fn ended(&mut self, stream: usize, id: i64) {
        if let Some(watcher) = self.watchers.remove(&(stream, id)) {
            self.ends += 1;
            let ended = Watcher {
                last: i64::MAX,
                ..watcher
            };
            self.watchers.insert((stream, -1 - self.ends), ended);
        }
    }

    /// The hash of the whole history, as the server computes it.
    ///
    /// # Errors
    /// The server's status.
    pub async fn hash(&self) -> Result<(u32, i64), Status> {
        let answer = self.client.hash_kv(&pb::HashKvRequest::default()).await?;
        Ok((answer.hash, answer.compact_revision))
    }
}

fn failed(status: &Status) -> Answer {
    Answer {
        text: format!("error {status}"),
        revision: None,
    }
}

fn answer<A: Debug>(
    result: Result<A, Status>,
    header: impl Fn(&mut A) -> &mut Option<pb::ResponseHeader>,
) -> Answer {
    match result {
        Ok(mut answer) => {
            let mut revision = None;
            if let Some(header) = header(&mut answer) {
                (header.cluster_id, header.member_id, header.raft_term) = (0, 0, 0);
                revision = Some(header.revision);
            }
            Answer {
                text: format!("{answer:?}"),
                revision,
            }
        }
        Err(status) => failed(&status),
    }
}
