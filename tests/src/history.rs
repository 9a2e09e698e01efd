//! What one watcher saw, held against etcd's promises: ordered, unique, atomic, reliable,
//! resumable and bookmarkable. Used by the cases `crash`, `watch` and `slow_client`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proto::mvccpb::event::EventType;

use crate::client::{Client, create, pb};

/// One event: the key, and its value unless it was deleted.
pub type Change = (Bytes, Option<Bytes>);

/// Everything a watcher was told so far.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The changes of each revision, in the order told.
    pub revisions: BTreeMap<i64, Vec<Change>>,
    /// Every change up to here has been told, if the server keeps its word about progress.
    pub bookmark: i64,
    /// The response before said that the rest of its revision follows.
    fragment: bool,
}

impl History {
    /// Takes in a response of the watcher.
    ///
    /// # Errors
    /// The promise that it breaks.
    pub fn add(&mut self, response: &pb::WatchResponse) -> Result<(), String> {
        let header = response.header.as_ref().map_or(0, |h| h.revision);
        if response.events.is_empty() && !response.created && !response.canceled {
            self.bookmark = self.bookmark.max(header);
            return Ok(());
        }
        let before = self
            .revisions
            .last_key_value()
            .map(|(revision, _)| *revision);
        for event in &response.events {
            let kv = event.kv.as_ref().ok_or("an event without a key")?;
            let revision = kv.mod_revision;
            if revision <= self.bookmark {
                return Err(format!(
                    "not bookmarkable: {revision} after {}",
                    self.bookmark
                ));
            }
            let last = self
                .revisions
                .last_key_value()
                .map_or(0, |(revision, _)| *revision);
            if revision < last {
                return Err(format!("not ordered: {revision} after {last}"));
            }
            if before == Some(revision) && !self.fragment {
                return Err(format!(
                    "not atomic, or told twice: {revision} in two responses"
                ));
            }
            if revision > header {
                return Err(format!(
                    "{revision} comes under a header of revision {header}"
                ));
            }
            let changes = self.revisions.entry(revision).or_default();
            if changes.iter().any(|(key, _)| *key == kv.key) {
                return Err(format!("not unique: {:?} twice in {revision}", kv.key));
            }
            let put = event.r#type() == EventType::Put;
            changes.push((kv.key.clone(), put.then(|| kv.value.clone())));
        }
        self.fragment = response.fragment;
        Ok(())
    }

    /// The last revision told.
    #[must_use]
    pub fn last(&self) -> i64 {
        self.revisions
            .last_key_value()
            .map_or(0, |(revision, _)| *revision)
    }

    /// Whether every revision from `from` to `to` is there. Holds only for a watch of all keys.
    ///
    /// # Errors
    /// The first one that is missing.
    pub fn dense(&self, from: i64, to: i64) -> Result<(), String> {
        match (from..=to).find(|r| !self.revisions.contains_key(r)) {
            Some(hole) => Err(format!(
                "not reliable: {hole} of {from}..={to} was never told"
            )),
            None => Ok(()),
        }
    }

    /// Whether all that `earlier` saw from `from` on is here too and alike.
    ///
    /// # Errors
    /// The first revision that differs.
    pub fn continues(&self, earlier: &History, from: i64) -> Result<(), String> {
        for (revision, changes) in earlier.revisions.range(from..) {
            if self.revisions.get(revision) != Some(changes) {
                return Err(format!(
                    "not resumable: {revision} was {changes:?}, is {:?}",
                    self.revisions.get(revision)
                ));
            }
        }
        Ok(())
    }
}

/// A watch request for every key.
#[must_use]
pub fn all_keys(start_revision: i64) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        key: Bytes::from_static(&[0]),
        range_end: Bytes::from_static(&[0]),
        start_revision,
        ..Default::default()
    }
}

/// Watches all keys from `from` until `to` has been told.
///
/// # Errors
/// A broken promise, a server error, or silence for `limit`.
pub async fn replay(
    client: &Client,
    from: i64,
    to: i64,
    limit: Duration,
) -> Result<History, String> {
    let mut history = History::default();
    let (mut requests, mut responses) = client.watch().await.map_err(|e| e.to_string())?;
    requests
        .send(&create(all_keys(from)))
        .map_err(|e| e.to_string())?;
    while history.last() < to {
        let response = responses
            .next_within(limit)
            .await
            .map_err(|e| e.to_string())?;
        let last = history.last();
        let response = response.ok_or_else(|| format!("silence behind {last} of {from}..={to}"))?;
        if response.canceled {
            return Err(format!("the watch from {from} was ended: {response:?}"));
        }
        history.add(&response)?;
    }
    Ok(history)
}

#[cfg(test)]
mod tests;
