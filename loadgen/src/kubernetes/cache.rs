//! A watch cache as the apiserver has one for each resource: a list, then a watch behind it. It
//! keeps of each object the hash of its key, its revision and a checksum, which suffices to hold it
//! against a list: a million objects come and go without holding this program up.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hasher};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::{etcdserverpb as pb, mvccpb};
use tokio::sync::Notify;

use super::api;
use super::line::Line;
use super::model::Resource;
use super::record::{Kind, Record};
use crate::client::{Status, Stream};

/// How long it waits before it tries again what failed.
const AGAIN: Duration = Duration::from_millis(100);

/// gRPC's code for "this RPC is not there".
const UNIMPLEMENTED: u32 = 12;
/// gRPC's code of etcd's "required revision has been compacted".
const OUT_OF_RANGE: u32 = 11;

/// The most objects for which room is made because a server says that there are so many. A table
/// that grows while it is filled is copied, which takes as long as many calls.
const MADE_ROOM_MAX: i64 = 8 << 20;

/// What is kept of an object: its revision and the checksum of its value.
pub type Seen = (i64, u32);

/// What is kept of all objects, by the hashes of their keys.
pub type Objects = HashMap<u64, Seen, BuildHasherDefault<AsItIs>>;

/// The hash of what is a hash already.
#[derive(Default)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The objects of a resource at a revision.
pub struct Cache {
    /// What it holds.
    pub resource: Resource,
    /// What is kept of each object.
    pub objects: RefCell<Objects>,
    /// Everything up to here is in it.
    pub revision: Cell<i64>,
    /// When its last list was whole; what is acknowledged before that cannot be late.
    listed_at: Cell<Option<Instant>>,
    /// Since when a list is wanted that is not whole yet.
    wanted: Cell<Option<Instant>>,
    /// Events taken in.
    pub events: Cell<u64>,
    /// Notices of progress.
    pub notices: Cell<u64>,
    /// Lists made, the first one included.
    pub lists: Cell<u64>,
    /// Times the watch went on from its revision after it had broken.
    pub resumes: Cell<u64>,
    /// Events that do not follow from what was there.
    pub gaps: Cell<u64>,
    /// Whether lists are asked for as streams.
    is_streaming: Cell<bool>,
    /// Asks for a notice of progress.
    asked: Notify,
    /// Tells that it went on.
    moved: Notify,
}

/// A key's hash.
pub fn hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.finish()
}

fn seen(kv: &mvccpb::KeyValue) -> Seen {
    (kv.mod_revision, crc32c::crc32c(&kv.value))
}

fn add(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Cache {
    /// An empty one.
    pub fn new(resource: Resource, is_streaming: bool) -> Rc<Cache> {
        Rc::new(Cache {
            resource,
            objects: RefCell::default(),
            revision: Cell::default(),
            listed_at: Cell::default(),
            wanted: Cell::default(),
            events: Cell::default(),
            notices: Cell::default(),
            lists: Cell::default(),
            resumes: Cell::default(),
            gaps: Cell::default(),
            is_streaming: Cell::new(is_streaming),
            asked: Notify::new(),
            moved: Notify::new(),
        })
    }

    /// Lists and watches for ever; `due` is when the list was wanted.
    pub async fn run(self: Rc<Cache>, line: Rc<Line>, record: Rc<Record>, due: Instant) {
        let mut due = due;
        loop {
            self.wanted.set(Some(due));
            while let Err(status) = self.list(&line, &record, due).await {
                record.failed(&status);
                tokio::time::sleep(AGAIN).await;
            }
            self.moved.notify_waiters();
            // Until the revision to go on from is compacted.
            let mut is_first = true;
            while let Err(status) = self.follow(&line, &record, &mut is_first).await {
                record.failed(&status);
                tokio::time::sleep(AGAIN).await;
            }
            due = Instant::now();
        }
    }

    /// Fills the cache from a list.
    async fn list(&self, line: &Line, record: &Record, due: Instant) -> Result<(), Status> {
        let listed = list(line, self.resource, &self.is_streaming).await;
        record.called();
        let (objects, revision) = listed?;
        record.took(Kind::List, self.resource, due);
        self.wanted.set(None);
        if record.is_on() {
            record
                .listed
                .set(record.listed.get() + objects.len() as u64);
        }
        add(&self.lists);
        self.objects.replace(objects);
        self.revision.set(revision);
        self.listed_at.set(Some(Instant::now()));
        Ok(())
    }

    /// Watches behind the cache's revision; well at its end when that was compacted.
    async fn follow(
        &self,
        line: &Line,
        record: &Record,
        is_first: &mut bool,
    ) -> Result<(), Status> {
        let channel = line.channel().await?;
        let prefix = self.resource.prefix();
        let mut stream = channel.watch(api::watch(prefix, self.revision.get()))?;
        loop {
            let response = self.next(&mut stream).await?;
            if response.created {
                if !std::mem::take(is_first) {
                    add(&self.resumes);
                }
                continue;
            }
            if response.canceled {
                if response.compact_revision > 0 {
                    return Ok(());
                }
                return Err(Status::new(Status::CANCELLED, response.cancel_reason));
            }
            self.take(response, record);
            self.moved.notify_waiters();
        }
    }

    /// The next response; sends what is asked for meanwhile.
    async fn next(
        &self,
        stream: &mut Stream<pb::WatchResponse>,
    ) -> Result<pb::WatchResponse, Status> {
        loop {
            tokio::select! {
                biased;
                response = stream.next() => {
                    let ended = || Status::unavailable("the watch ended");
                    return response?.ok_or_else(ended);
                }
                () = self.asked.notified() => stream.send(&api::progress())?,
            }
        }
    }

    /// Takes in a response.
    fn take(&self, response: pb::WatchResponse, record: &Record) {
        if response.events.is_empty() {
            let revision = api::revision(response.header.as_ref());
            self.revision.set(revision.max(self.revision.get()));
            add(&self.notices);
            return;
        }
        let mut objects = self.objects.borrow_mut();
        for event in response.events {
            let is_delete = event.r#type == mvccpb::event::EventType::Delete as i32;
            let Some(kv) = event.kv else { continue };
            let at = kv.mod_revision;
            let key = hash(&kv.key);
            let had = objects.get(&key).map(|(revision, _)| *revision);
            let previous = event.prev_kv.map(|previous| previous.mod_revision);
            if had != previous || at < self.revision.get() {
                add(&self.gaps);
            }
            if is_delete {
                objects.remove(&key);
            } else {
                objects.insert(key, seen(&kv));
            }
            self.revision.set(at.max(self.revision.get()));
            add(&self.events);
            record.seen(self.resource, at, self.listed_at.get());
        }
    }

    /// Whether its first list is done.
    pub fn is_listed(&self) -> bool {
        self.listed_at.get().is_some()
    }

    /// Whether a list is wanted that is not whole yet.
    pub fn is_listing(&self) -> bool {
        self.wanted.get().is_some()
    }

    /// Notes of a list on its way that it has taken longer than `limit`, as one that took the time
    /// until now. Without that the slowest lists would be those that nobody sees.
    pub fn note_unfinished(&self, record: &Record, limit: Duration) {
        let overdue = |due: &Instant| due.elapsed() > limit;
        if let Some(due) = self.wanted.get().filter(overdue) {
            record.took(Kind::List, self.resource, due);
            record.bump(&record.unfinished);
        }
    }

    /// Asks for a notice of progress.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// Waits, asking for progress every 100 ms, until the cache is as new as `wanted`.
    pub async fn reaches(&self, wanted: i64) {
        loop {
            let moved = self.moved.notified();
            if self.is_listed() && self.revision.get() >= wanted {
                return;
            }
            if tokio::time::timeout(AGAIN, moved).await.is_err() {
                self.ask();
            }
        }
    }

    /// Waits for the first list.
    pub async fn listed(&self) {
        loop {
            let moved = self.moved.notified();
            if self.is_listed() {
                return;
            }
            moved.await;
        }
    }
}

type Listed = (Objects, i64);

/// A whole list at one revision, as a stream where that is wanted and there, else in pages.
pub async fn list(
    line: &Line,
    resource: Resource,
    is_streaming: &Cell<bool>,
) -> Result<Listed, Status> {
    if is_streaming.get() {
        match stream(line, resource).await {
            Err(status) if status.code == UNIMPLEMENTED => is_streaming.set(false),
            listed => return listed,
        }
    }
    loop {
        match pages(line, resource).await {
            // The history went away between two pages: from the start.
            Err(status) if status.code == OUT_OF_RANGE => {}
            listed => return listed,
        }
    }
}

fn keep(objects: &mut Objects, kvs: &[mvccpb::KeyValue]) {
    objects.extend(kvs.iter().map(|kv| (hash(&kv.key), seen(kv))));
}

async fn pages(line: &Line, resource: Resource) -> Result<Listed, Status> {
    let prefix = resource.prefix();
    let (mut objects, mut pinned) = (Objects::default(), 0);
    let mut key = Bytes::from_static(prefix.as_bytes());
    loop {
        let page = api::page(line, prefix, key, pinned).await?;
        if pinned == 0 {
            pinned = api::revision(page.header.as_ref());
            objects.reserve(page.count.clamp(0, MADE_ROOM_MAX) as usize);
        }
        keep(&mut objects, &page.kvs);
        let left = page.count > i64::try_from(page.kvs.len()).unwrap_or(i64::MAX);
        match page.kvs.last() {
            Some(last) if left => key = [last.key.as_ref(), b"\0"].concat().into(),
            _ => return Ok((objects, pinned)),
        }
    }
}

async fn stream(line: &Line, resource: Resource) -> Result<Listed, Status> {
    let prefix = resource.prefix();
    let request = pb::RangeRequest {
        key: Bytes::from_static(prefix.as_bytes()),
        range_end: api::prefix_end(prefix),
        ..Default::default()
    };
    line.call(async |channel| {
        let mut parts = channel.range_stream(&request)?;
        let (mut objects, mut revision) = (Objects::default(), 0);
        while let Some(part) = parts.next().await? {
            let Some(part) = part.range_response else {
                continue;
            };
            keep(&mut objects, &part.kvs);
            revision = api::revision(part.header.as_ref()).max(revision);
        }
        Ok((objects, revision))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_not_whole_counts_once_it_took_too_long() {
        let record = Record::new();
        record.measure(true);
        let cache = Cache::new(Resource::Pods, false);
        let limit = Duration::from_secs(30);
        cache.note_unfinished(&record, limit);
        cache.wanted.set(Some(Instant::now()));
        cache.note_unfinished(&record, limit);
        assert!(cache.is_listing() && record.latencies.borrow().is_empty());
        let long_ago = Instant::now().checked_sub(limit + Duration::from_secs(1));
        cache.wanted.set(long_ago);
        cache.note_unfinished(&record, limit);
        let latencies = record.latencies.take();
        let lists = &latencies[&(Kind::List, Resource::Pods)];
        assert!(lists.len() == 1 && lists.max() > 30_000_000_000);
        assert_eq!(record.unfinished.get(), 1);
    }
}
