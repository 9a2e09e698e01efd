//! A watch cache as the apiserver has one for each resource type, and what it checks of all that
//! it is told.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tests::client::{Receiver, Sender, Status, pb, progress};

use super::LIMIT;
use super::api::{Api, PAGE};

/// How often progress is asked for while a read waits for the cache.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// gRPC's "unimplemented".
const UNIMPLEMENTED: u32 = 12;

/// The objects of a resource type at a revision.
pub struct WatchCache {
    prefix: String,
    /// Value and revision of each object.
    objects: BTreeMap<Bytes, (i64, Bytes)>,
    /// Everything up to here is in `objects`.
    pub revision: i64,
    /// What was told at each revision, and whether it was a write.
    pub told: BTreeMap<i64, Vec<(Bytes, Option<Bytes>)>>,
    /// Notices of progress.
    pub notices: usize,
    /// Times it had to list again, as its revision had been compacted.
    pub relists: usize,
}

/// The watch of a cache.
pub struct Feed {
    requests: Sender<pb::WatchRequest>,
    responses: Receiver<pb::WatchResponse>,
}

impl WatchCache {
    /// Begins with a list: as a stream where the server knows that, else in pages.
    pub async fn list(api: &Api, prefix: &str) -> Result<WatchCache, Status> {
        let listed = match api.list_stream(prefix).await {
            Err(status) if status.code == UNIMPLEMENTED => api.list(prefix, PAGE, 0).await,
            listed => listed,
        };
        let (kvs, revision) = listed?;
        let sorted = kvs.windows(2).all(|pair| pair[0].key < pair[1].key);
        assert!(sorted, "a list is in the order of keys");
        let object = |kv: pb::KeyValue| {
            assert!(kv.mod_revision <= revision);
            (kv.key, (kv.mod_revision, kv.value))
        };
        Ok(WatchCache {
            prefix: prefix.to_owned(),
            objects: kvs.into_iter().map(object).collect(),
            revision,
            told: BTreeMap::new(),
            notices: 0,
            relists: 0,
        })
    }

    /// What the keys of its objects begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Goes on behind what it has.
    pub async fn watch(&self, api: &Api) -> Result<Feed, Status> {
        let (requests, responses) = api.watch(&self.prefix, self.revision, true).await?;
        Ok(Feed {
            requests,
            responses,
        })
    }

    /// Takes in the next response, if one comes within `limit`. False where the revision to go on
    /// from was compacted, which is answered by listing again.
    pub async fn take(&mut self, feed: &mut Feed, limit: Duration) -> Result<bool, Status> {
        let Some(response) = feed.responses.next_within(limit).await? else {
            return Ok(true);
        };
        if response.canceled {
            assert!(response.compact_revision > self.revision, "{response:?}");
            assert!(response.events.is_empty());
            return Ok(false);
        }
        if response.created {
            return Ok(true);
        }
        let revision = response.header.as_ref().unwrap().revision;
        if response.events.is_empty() {
            assert!(
                revision >= self.revision,
                "progress goes back: {response:?}"
            );
            self.revision = revision;
            self.notices += 1;
            return Ok(true);
        }
        let before = self.revision;
        for event in response.events {
            self.apply(event, before);
        }
        assert!(self.revision <= revision, "an event from the future");
        Ok(true)
    }

    /// Takes in one event of a response that came after revision `before`.
    fn apply(&mut self, event: pb::Event, before: i64) {
        let kv = event.kv.unwrap();
        let at = kv.mod_revision;
        assert!(at > before, "revision {at} comes again after {before}");
        assert!(at >= self.revision, "revision {at} after {}", self.revision);
        self.revision = at;
        let had = self.objects.get(&kv.key);
        let previous = event
            .prev_kv
            .map(|previous| (previous.mod_revision, previous.value));
        assert_eq!(previous.as_ref(), had, "what {:?} was before {at}", kv.key);
        let is_delete = event.r#type == 1;
        let is_create = !is_delete && kv.create_revision == at;
        assert_eq!(is_create, had.is_none(), "a create or not: {kv:?}");
        let told = self.told.entry(at).or_default();
        if is_delete {
            assert!(kv.value.is_empty(), "{kv:?}");
            told.push((kv.key.clone(), None));
            self.objects.remove(&kv.key);
        } else {
            told.push((kv.key.clone(), Some(kv.value.clone())));
            self.objects.insert(kv.key, (at, kv.value));
        }
    }

    /// Waits, asking for progress, until a read that began now may be answered from here; then
    /// holds what is here against a list at that revision.
    pub async fn consistent_read(&mut self, api: &Api, feed: &mut Feed) -> Result<bool, Status> {
        let wanted = api.fresh(&self.prefix).await?;
        let began = std::time::Instant::now();
        while self.revision < wanted {
            feed.requests.send(&progress())?;
            if !self.take(feed, PROGRESS_EVERY).await? {
                return Ok(false);
            }
            let now = self.revision;
            assert!(began.elapsed() < LIMIT, "never fresh: {now} of {wanted}");
        }
        self.compare(api).await?;
        Ok(true)
    }

    /// Holds what is here against a list at its revision.
    pub async fn compare(&self, api: &Api) -> Result<(), Status> {
        let (kvs, _) = match api.list(&self.prefix, PAGE, self.revision).await {
            Err(status) if status.code == 11 => return Ok(()),
            listed => listed?,
        };
        let listed: BTreeMap<_, _> = kvs
            .into_iter()
            .map(|kv| (kv.key, (kv.mod_revision, kv.value)))
            .collect();
        if listed != self.objects {
            let here = |key: &Bytes| (self.objects.get(key).cloned(), listed.get(key).cloned());
            let keys = self.objects.keys().chain(listed.keys());
            let wrong: Vec<_> = keys
                .filter(|key| self.objects.get(*key) != listed.get(*key))
                .map(|key| (key, here(key)))
                .collect();
            panic!("at {} cached and listed differ: {wrong:?}", self.revision);
        }
        Ok(())
    }
}
