//! One server's side of a run: its connection and streams, and the steps it is asked.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::outcome::{Outcome, Setting};
use super::step::{Call, OBSERVE, plain};
use super::watches::{SETTLED, Told, WATCH_STREAMS};
use crate::client::{Client, Receiver, Sender, Status, pb};
use proto::v3electionpb as el;

/// How long an answer, or the news of a change, may take. Long, because several servers share the
/// machine with whatever else runs there.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// Responses that may wait on a stream until the script asks for them.
const RESPONSES: usize = 1 << 16;

/// Who is asked.
#[derive(Clone, Debug)]
pub struct Party {
    /// How reports name this server.
    pub name: String,
    /// The version, if it is an etcd.
    pub etcd: Option<String>,
    /// Where it serves.
    pub addr: SocketAddr,
}

pub(super) struct Stream {
    pub(super) requests: Sender<pb::WatchRequest>,
    pub(super) responses: mpsc::Receiver<Result<pb::WatchResponse, Status>>,
    /// The newest revision that the settling watch was told of.
    pub(super) settled: i64,
    /// Progress notices that came and were not asked for by the script.
    pub(super) notices: Vec<Bytes>,
}

/// A connection with its streams.
pub struct Session {
    /// Who is at the other end.
    pub party: Party,
    pub(super) client: Client,
    pub(super) setting: Setting,
    pub(super) streams: Vec<Stream>,
    renew: (
        Sender<pb::LeaseKeepAliveRequest>,
        Receiver<pb::LeaseKeepAliveResponse>,
    ),
    /// Watches that live, by stream and id.
    pub watches: BTreeMap<(usize, i64), pb::WatchCreateRequest>,
    /// What each watch was told since the last comparison; also those that have ended since.
    pub told: BTreeMap<(usize, i64), Vec<Told>>,
    /// Last revision that each watch was told of, and whether more of it follows.
    pub(super) last: BTreeMap<(usize, i64), (i64, bool)>,
    /// Broken promises seen on the way.
    pub faults: Vec<String>,
    /// Campaigns and locks that wait.
    pub(super) waiting: BTreeMap<usize, JoinHandle<Outcome>>,
    /// Elections that are followed.
    pub(super) observers: BTreeMap<Bytes, mpsc::Receiver<Outcome>>,
}

/// Reads a stream in the background, so that a server never waits for us.
fn read_all<A: Message + Default + Send + 'static>(
    mut receiver: Receiver<A>,
) -> mpsc::Receiver<Result<A, Status>> {
    let (tell, responses) = mpsc::channel(RESPONSES);
    tokio::spawn(async move {
        while let Some(response) = receiver.next().await.transpose() {
            let failed = response.is_err();
            if tell.send(response).await.is_err() || failed {
                break;
            }
        }
    });
    responses
}

impl Session {
    /// Connects and opens the streams.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn open(party: Party, settles_ties: bool) -> io::Result<Session> {
        let client = Client::connect(party.addr).await?.with_limit(LIMIT);
        let mut streams = Vec::new();
        for _ in 0..WATCH_STREAMS {
            let (requests, receiver) = client.watch().await.map_err(io::Error::other)?;
            streams.push(Stream {
                requests,
                responses: read_all(receiver),
                settled: 0,
                notices: Vec::new(),
            });
        }
        let renew = client.keep_alive().await.map_err(io::Error::other)?;
        let mut session = Session {
            party,
            client,
            setting: Setting {
                opened: Instant::now(),
                settles_ties,
            },
            streams,
            renew,
            watches: BTreeMap::new(),
            told: BTreeMap::new(),
            last: BTreeMap::new(),
            faults: Vec::new(),
            waiting: BTreeMap::new(),
            observers: BTreeMap::new(),
        };
        session.watch_settling().await.map_err(io::Error::other)?;
        Ok(session)
    }

    /// The same after the server started again: all streams and what ran on them are gone. Leases
    /// began anew, at most as long ago as before.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn reopen(&mut self) -> io::Result<()> {
        let opened = self.setting.opened;
        let faults = std::mem::take(&mut self.faults);
        *self = Session::open(self.party.clone(), self.setting.settles_ties).await?;
        self.setting.opened = opened;
        self.faults = faults;
        Ok(())
    }

    /// Asks one call and waits for its answer.
    pub async fn call(&self, call: &Call) -> Outcome {
        call.ask(&self.client, self.setting).await
    }

    /// Renews a lease.
    pub async fn renew(&mut self, id: i64) -> Outcome {
        let (requests, responses) = &mut self.renew;
        let mut result = match requests.send(&pb::LeaseKeepAliveRequest { id }) {
            Err(status) => Err(status),
            Ok(()) => match responses.next_within(LIMIT).await {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => Err(Status::transport("no answer to a keep-alive")),
                Err(status) => Err(status),
            },
        };
        if let Ok(answer) = &mut result {
            plain(&mut answer.header);
        }
        Outcome::of("/etcdserverpb.Lease/LeaseKeepAlive", result)
    }

    /// Starts a call whose answer may be long in coming.
    pub(super) fn begin(&mut self, number: usize, call: &Call) {
        let (client, setting, call) = (self.client.clone(), self.setting, call.clone());
        // A wait has no end of its own.
        let client = client.with_limit(LIMIT * 1000);
        let ask = async move { call.ask(&client, setting).await };
        self.waiting.insert(number, tokio::spawn(ask));
    }

    /// Whether the answer has come.
    pub(super) fn has_ended(&self, number: usize) -> bool {
        self.waiting
            .get(&number)
            .is_none_or(JoinHandle::is_finished)
    }

    /// The answer of a call that was begun, which must be due.
    pub(super) async fn end(&mut self, number: usize) -> Outcome {
        let Some(handle) = self.waiting.remove(&number) else {
            return Outcome::word("was not begun");
        };
        let abort = handle.abort_handle();
        match tokio::time::timeout(LIMIT, handle).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(e)) => Outcome::Refused(Status::transport(e)),
            Err(_) => {
                abort.abort();
                Outcome::Refused(Status::transport("a wait that is over does not end"))
            }
        }
    }

    /// Follows an election.
    pub(super) async fn observe(&mut self, name: &el::LeaderRequest) -> Outcome {
        let opened = self.client.server_stream(OBSERVE, name).await;
        let mut receiver: Receiver<el::LeaderResponse> = match opened {
            Ok(receiver) => receiver,
            Err(status) => return Outcome::Refused(status),
        };
        let (tell, responses) = mpsc::channel(RESPONSES);
        tokio::spawn(async move {
            while let Some(mut response) = receiver.next().await.transpose() {
                if let Ok(answer) = &mut response {
                    // Which revision it has depends on when the server looked.
                    answer.header = None;
                }
                let failed = response.is_err();
                if tell.send(Outcome::of(OBSERVE, response)).await.is_err() || failed {
                    break;
                }
            }
        });
        self.observers.insert(name.name.clone(), responses);
        Outcome::word("observed")
    }

    /// The next thing that the followers of an election are told, which must be due.
    pub(super) async fn observed(&mut self, name: &Bytes) -> Outcome {
        let Some(responses) = self.observers.get_mut(name) else {
            return Outcome::word("is not observed");
        };
        match tokio::time::timeout(LIMIT, responses.recv()).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) | Err(_) => Outcome::Refused(Status::transport("the observer is not told")),
        }
    }

    /// Keys and their revisions, for what the run itself must know.
    pub(super) async fn look(&self, request: &pb::RangeRequest) -> Vec<pb::KeyValue> {
        let answer = self.client.range(request).await;
        answer.map(|a| a.kvs).unwrap_or_default()
    }

    /// The revision that [`SETTLED`] was put at, if it is there.
    pub(super) fn settling_put() -> Call {
        Call::Put(pb::PutRequest {
            key: Bytes::from_static(SETTLED),
            ..Default::default()
        })
    }
}
