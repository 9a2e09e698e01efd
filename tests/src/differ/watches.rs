//! The watches of a session: how what they are told is brought to a point at which several
//! servers can be compared.
//!
//! Every stream has a watch on one key of the run's own. A put of that key comes behind all that
//! the other watches of the stream have to be told before it, so that reading up to it reads all.
//! That holds for watches that are up with the present; one from the past is waited for when it
//! is created.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::outcome::Outcome;
use super::session::{LIMIT, Session};
use super::step::{WATCH, plain};
use crate::client::{self, Status, pb};

/// Number of watch streams that a script uses. Watches from the future live on the last one:
/// beside such a watch no server tells of progress.
pub const WATCH_STREAMS: usize = 4;

/// The run's own key.
pub const SETTLED: &[u8] = b"\xfe/settled";

/// The id of the run's own watch on each stream.
const SETTLING: i64 = 1_000_000;

/// The id of a watch that is there for a moment (see `Session::answered`).
const PASSING: i64 = SETTLING + 1;

/// Between two looks at whether a watch from the past is up with the present.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One response to a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The response, without what differs between clusters.
    pub bytes: Bytes,
}

impl Told {
    /// The response again.
    #[must_use]
    pub fn response(&self) -> pb::WatchResponse {
        pb::WatchResponse::decode(self.bytes.clone()).unwrap_or_default()
    }
}

impl Session {
    /// Opens the run's own watch on every stream.
    pub(super) async fn watch_settling(&mut self) -> Result<(), Status> {
        for stream in 0..self.streams.len() {
            let create = pb::WatchCreateRequest {
                key: Bytes::from_static(SETTLED),
                watch_id: SETTLING,
                filters: vec![1],
                ..Default::default()
            };
            let outcome = self.watch(stream, &create).await;
            self.watches.remove(&(stream, SETTLING));
            if let Outcome::Refused(status) = outcome {
                return Err(status);
            }
        }
        Ok(())
    }

    /// Creates a watch: the answer to that.
    pub async fn watch(&mut self, stream: usize, create: &pb::WatchCreateRequest) -> Outcome {
        let request = client::create(create.clone());
        if let Err(status) = self.streams[stream].requests.send(&request) {
            return Outcome::Refused(status);
        }
        loop {
            match self.next(stream).await {
                Err(status) => return Outcome::Refused(status),
                Ok(response) if response.created => {
                    if !response.canceled {
                        let at = (stream, response.watch_id);
                        self.last.remove(&at);
                        self.watches.insert(at, create.clone());
                    }
                    return Outcome::of(WATCH, Ok(response));
                }
                Ok(response) => self.note(stream, response),
            }
        }
    }

    /// Cancels a watch: the answer to that, or that there is none.
    pub async fn cancel(&mut self, stream: usize, id: i64) -> Outcome {
        let known = self.watches.contains_key(&(stream, id));
        if let Err(status) = self.streams[stream].requests.send(&client::cancel(id)) {
            return Outcome::Refused(status);
        }
        if !known {
            // An unknown id is met with silence: whatever comes is found when things settle.
            return Outcome::word("no such watch");
        }
        loop {
            match self.next(stream).await {
                Err(status) => return Outcome::Refused(status),
                Ok(response) if response.canceled && response.watch_id == id => {
                    self.watches.remove(&(stream, id));
                    return Outcome::of(WATCH, Ok(response));
                }
                Ok(response) => self.note(stream, response),
            }
        }
    }

    /// Asks for a progress notice: all that come, or that none does.
    pub async fn progress(&mut self, stream: usize) -> Outcome {
        if let Err(status) = self.answered(stream).await {
            return Outcome::Refused(status);
        }
        self.streams[stream].notices.clear();
        if let Err(status) = self.streams[stream].requests.send(&client::progress()) {
            return Outcome::Refused(status);
        }
        if let Err(status) = self.answered(stream).await {
            return Outcome::Refused(status);
        }
        let notices = std::mem::take(&mut self.streams[stream].notices);
        match notices.as_slice() {
            [] => Outcome::word("no notice"),
            [one] => Outcome::Message(WATCH, one.clone()),
            more => Outcome::word(format!("{} notices", more.len())),
        }
    }

    /// Returns once everything asked on a stream was answered: what is asked on one is done in
    /// order, and for a watch there always is an answer.
    async fn answered(&mut self, stream: usize) -> Result<(), Status> {
        let create = pb::WatchCreateRequest {
            key: Bytes::from_static(SETTLED),
            watch_id: PASSING,
            filters: vec![0, 1],
            ..Default::default()
        };
        for outcome in [
            self.watch(stream, &create).await,
            self.cancel(stream, PASSING).await,
        ] {
            if let Outcome::Refused(status) = outcome {
                return Err(status);
            }
        }
        Ok(())
    }

    /// Reads on every stream what was told up to `revision`, at which [`SETTLED`] was put.
    pub async fn settle(&mut self, revision: i64) {
        for stream in 0..self.streams.len() {
            while self.streams[stream].settled < revision {
                match self.next(stream).await {
                    Ok(response) => self.note(stream, response),
                    Err(status) => {
                        let fault = format!("stream {stream} is not told of {revision}: {status}");
                        self.faults.push(fault);
                        return;
                    }
                }
            }
        }
    }

    /// Waits until a watch from the past is up with the present, or was ended.
    pub async fn caught_up(&mut self, at: (usize, i64), ends: bool) {
        let result = match &self.party.etcd {
            _ if ends => self.ended(at).await,
            Some(_) => self.etcd_caught_up().await,
            None => self.notified(at.0).await,
        };
        if let Err(why) = result {
            self.faults
                .push(format!("watch {at:?} from the past: {why}"));
        }
    }

    /// Waits until no watch on these streams is behind: one of Stoa's falls behind when its stream
    /// holds 8 MiB that were not read.
    pub async fn all_up(&mut self, streams: &[usize]) {
        if self.party.etcd.is_some() {
            return;
        }
        for stream in streams {
            if let Err(why) = self.notified(*stream).await {
                let fault = format!("stream {stream} does not come up: {why}");
                self.faults.push(fault);
            }
        }
    }

    async fn ended(&mut self, at: (usize, i64)) -> Result<(), String> {
        while self.watches.contains_key(&at) {
            let response = self.next(at.0).await.map_err(|e| e.to_string())?;
            self.note(at.0, response);
        }
        Ok(())
    }

    /// Stoa tells of progress once all watches of the stream are up.
    async fn notified(&mut self, stream: usize) -> Result<(), String> {
        let end = tokio::time::Instant::now() + LIMIT;
        while tokio::time::Instant::now() < end {
            let sent = self.streams[stream].requests.send(&client::progress());
            sent.map_err(|e| e.to_string())?;
            let soon = tokio::time::Instant::now() + LOOK_EVERY;
            while let Ok(next) = tokio::time::timeout_at(soon, self.next(stream)).await {
                self.note(stream, next.map_err(|e| e.to_string())?);
                if self.streams[stream].notices.pop().is_some() {
                    // More than one may have been asked for: none is left over for the next wait.
                    self.answered(stream).await.map_err(|e| e.to_string())?;
                    self.streams[stream].notices.clear();
                    return Ok(());
                }
            }
        }
        Err("no progress".into())
    }

    /// etcd counts the watches that are behind; old releases tell of progress too early.
    async fn etcd_caught_up(&mut self) -> Result<(), String> {
        let end = tokio::time::Instant::now() + LIMIT;
        while tokio::time::Instant::now() < end {
            let page = metrics(self.party.addr).await.map_err(|e| e.to_string())?;
            let mut lines = page.lines();
            if lines.any(|l| l.trim_end() == "etcd_debugging_mvcc_slow_watcher_total 0") {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err("etcd counts it among the slow ones".into())
    }

    async fn next(&mut self, stream: usize) -> Result<pb::WatchResponse, Status> {
        let next = self.streams[stream].responses.recv();
        match tokio::time::timeout(LIMIT, next).await {
            Ok(Some(Ok(mut response))) => {
                plain(&mut response.header);
                Ok(response)
            }
            Ok(Some(Err(status))) => Err(Status::transport(format!("ended by {status}"))),
            Ok(None) => Err(Status::transport("the watch stream ended")),
            Err(_) => Err(Status::transport("the watch stream is silent")),
        }
    }

    /// Revisions come in order, and none in two responses but in fragments.
    fn check_order(&mut self, at: (usize, i64), response: &pb::WatchResponse) {
        let revisions = || {
            let kvs = response.events.iter().filter_map(|e| e.kv.as_ref());
            kvs.map(|kv| kv.mod_revision)
        };
        let (last, more) = self.last.get(&at).copied().unwrap_or_default();
        let least = if more { last } else { last + 1 };
        if revisions().any(|r| r < least) || !revisions().is_sorted() {
            let fault = format!("watch {at:?}: told of {least} and more, then {response:.500?}");
            self.faults.push(fault);
        }
        if let Some(revision) = revisions().next_back() {
            self.last.insert(at, (revision, response.fragment));
        }
    }

    /// Takes in a response that no request waits for.
    fn note(&mut self, stream: usize, mut response: pb::WatchResponse) {
        let id = response.watch_id;
        if id == SETTLING {
            let kvs = response.events.iter().filter_map(|e| e.kv.as_ref());
            let last = kvs.map(|kv| kv.mod_revision).max().unwrap_or_default();
            self.streams[stream].settled = self.streams[stream].settled.max(last);
            return;
        }
        if id == -1 && !response.canceled {
            let bytes = Bytes::from(response.encode_to_vec());
            self.streams[stream].notices.push(bytes);
            return;
        }
        if !response.events.is_empty() {
            // Whether others are told of the run's own key before its own watch is, is chance.
            let is_own = |e: &pb::Event| e.kv.as_ref().is_some_and(|kv| kv.key == SETTLED);
            response.events.retain(|e| !is_own(e));
            if response.events.is_empty() && !response.fragment && !response.canceled {
                return;
            }
        }
        let lives = self.watches.contains_key(&(stream, id));
        // etcd answers the cancel of a watch that a compaction ended with a second end.
        if !lives && response.canceled && response.events.is_empty() {
            return;
        }
        if !lives {
            let fault = format!("stream {stream}: news for a watch that is not: {response:?}");
            self.faults.push(fault);
        }
        if response.canceled {
            self.watches.remove(&(stream, id));
        }
        self.check_order((stream, id), &response);
        let bytes = Bytes::from(response.encode_to_vec());
        let told = self.told.entry((stream, id)).or_default();
        told.push(Told { bytes });
    }
}

/// The `/metrics` page of a server.
async fn metrics(addr: std::net::SocketAddr) -> io::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut tcp = tokio::net::TcpStream::connect(addr).await?;
    let request = "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
    tcp.write_all(request.as_bytes()).await?;
    let mut page = Vec::new();
    tcp.read_to_end(&mut page).await?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
