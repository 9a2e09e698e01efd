//! Whether each watch cache holds, in the end, what a fresh list holds.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::cache::{self, Cache, Objects};
use super::cluster::Cluster;
use super::model::Resource;
use crate::client::Status;

/// How long a cache may take to get to where a list is when nothing is written any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was found of one cache.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Checked {
    /// Which apiserver's.
    pub apiserver: usize,
    /// Of what.
    pub resource: &'static str,
    /// Objects in it.
    pub objects: usize,
    /// Whether it was the same as the list.
    pub equal: bool,
    /// How it differed.
    pub difference: String,
}

/// Holds every cache against a list of the server.
///
/// # Errors
/// When the server does not answer.
pub async fn check(cluster: &Cluster) -> Result<Vec<Checked>, Status> {
    let mut found = Vec::new();
    for resource in Resource::ALL {
        let line = cluster.front(0).line(resource).clone();
        let (listed, _) = cache::list(&line, resource, &Cell::new(false)).await?;
        for (number, apiserver) in cluster.apiservers.iter().enumerate() {
            let Some(cache) = apiserver.cache(resource) else {
                continue;
            };
            let difference = settle(&cache, &listed).await;
            found.push(Checked {
                apiserver: number,
                resource: resource.name(),
                objects: cache.objects.borrow().len(),
                equal: difference.is_none(),
                difference: difference.unwrap_or_default(),
            });
        }
    }
    Ok(found)
}

/// Waits until the cache is as the list; else says how it is not.
async fn settle(cache: &Cache, listed: &Objects) -> Option<String> {
    let began = Instant::now();
    loop {
        let is_listed = cache.is_listed();
        let difference = difference(&cache.objects.borrow(), listed);
        if difference.is_none() && is_listed {
            return None;
        }
        if began.elapsed() > PATIENCE {
            return Some(difference.unwrap_or_else(|| "it was never filled".to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How a cache differs from a list, if it does.
fn difference(cached: &Objects, listed: &Objects) -> Option<String> {
    let missing = listed.iter().filter(|(key, _)| !cached.contains_key(*key));
    let extra = cached.iter().filter(|(key, _)| !listed.contains_key(*key));
    let other = cached.iter().filter(|(key, seen)| {
        let in_list = listed.get(*key);
        in_list.is_some_and(|in_list| in_list != *seen)
    });
    let first = missing
        .clone()
        .chain(extra.clone())
        .chain(other.clone())
        .next()?;
    let (missing, extra, other) = (missing.count(), extra.count(), other.count());
    let (_, (revision, _)) = first;
    Some(format!(
        "{missing} objects are missing, {extra} should not be there, {other} are not as listed, \
         such as the one of revision {revision}"
    ))
}

#[cfg(test)]
mod tests {
    use super::cache::{Seen, hash};
    use super::*;

    fn map(pairs: &[(&str, Seen)]) -> Objects {
        let hashed = |(key, seen): &(&str, Seen)| (hash(key.as_bytes()), *seen);
        pairs.iter().map(hashed).collect()
    }

    #[test]
    fn a_cache_is_a_list_or_it_is_said_how_not() {
        let listed = map(&[("a", (2, 7)), ("b", (3, 8))]);
        assert_eq!(difference(&listed, &listed), None);
        let cached = map(&[("a", (1, 7)), ("c", (3, 8))]);
        let said = difference(&cached, &listed).expect("they differ");
        assert!(said.starts_with("1 objects are missing, 1 should not be there, 1 are not"));
        assert!(said.ends_with("such as the one of revision 3"), "{said}");
        let same_revision = map(&[("a", (2, 7)), ("b", (3, 9))]);
        assert!(difference(&same_revision, &listed).is_some());
    }
}
