//! Who this node is: the members named by `--initial-cluster` and the ids etcd derives from them.
//! Used by the checks on the flags and by the boot, which compares with what the disk says.

use engine::ids::{ClusterId, MemberId};
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;

use super::urls::{self, Url};

/// The members a cluster begins with, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialCluster {
    members: BTreeMap<String, Vec<Url>>,
}

impl InitialCluster {
    /// Reads `name=url,name=url`; a name may come several times, once for each of its URLs.
    ///
    /// # Errors
    /// One line about the first part that is not `name=url`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut members: BTreeMap<String, Vec<Url>> = BTreeMap::new();
        for part in text.split(',') {
            let Some((name, url)) = part.trim().split_once('=') else {
                return Err(format!("{part:?} is not of the form name=http://host:port"));
            };
            if name.is_empty() {
                return Err(format!(
                    "{part:?} names no member; write name=http://host:port"
                ));
            }
            members
                .entry(name.to_owned())
                .or_default()
                .push(Url::parse(url)?);
        }
        for urls in members.values_mut() {
            urls.sort();
            urls.dedup();
        }
        Ok(Self { members })
    }

    /// A cluster of one member.
    pub fn single(name: &str, urls: &[Url]) -> Self {
        Self {
            members: BTreeMap::from([(name.to_owned(), urls.to_vec())]),
        }
    }

    /// The peer URLs of the member called `name`, sorted.
    pub fn urls_of(&self, name: &str) -> Option<&[Url]> {
        self.members.get(name).map(Vec::as_slice)
    }

    /// Members by name, each with its sorted peer URLs.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (&str, &[Url])> {
        self.members
            .iter()
            .map(|(name, urls)| (name.as_str(), urls.as_slice()))
    }

    /// The id of the whole cluster.
    pub fn cluster_id(&self, token: &str) -> ClusterId {
        cluster_id(
            self.members
                .values()
                .map(|urls| member_id(urls, token, None)),
        )
    }
}

impl std::fmt::Display for InitialCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = self
            .members
            .iter()
            .flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")));
        f.write_str(&each.collect::<Vec<_>>().join(","))
    }
}

/// etcd's member id: the first 8 bytes, big-endian, of SHA-1 over the sorted peer URLs run
/// together, the cluster token, and for members added at run time the Unix seconds in decimal.
pub fn member_id(peer_urls: &[Url], token: &str, added_at_s: Option<i64>) -> MemberId {
    let texts: Vec<&str> = peer_urls.iter().map(Url::as_str).collect();
    member_id_of_texts(&texts, token, added_at_s)
}

/// [`member_id`] for URLs that came over the wire as text.
pub fn member_id_of_texts(peer_urls: &[&str], token: &str, added_at_s: Option<i64>) -> MemberId {
    let mut sorted = peer_urls.to_vec();
    sorted.sort_unstable();
    let mut hash = Sha1::new();
    for url in sorted {
        hash.update(url);
    }
    hash.update(token);
    if let Some(seconds) = added_at_s {
        hash.update(seconds.to_string());
    }
    MemberId(first_eight(hash))
}

/// etcd's cluster id: the first 8 bytes of SHA-1 over the sorted member ids, big-endian each.
pub fn cluster_id(members: impl Iterator<Item = MemberId>) -> ClusterId {
    let mut ids: Vec<u64> = members.map(|id| id.0).collect();
    ids.sort_unstable();
    let mut hash = Sha1::new();
    for id in ids {
        hash.update(id.to_be_bytes());
    }
    ClusterId(first_eight(hash))
}

/// Says whether `advertised` is exactly what `cluster` lists for `name`.
///
/// # Errors
/// One line that says which flag to change.
pub fn check_self(cluster: &InitialCluster, name: &str, advertised: &[Url]) -> Result<(), String> {
    let Some(listed) = cluster.urls_of(name) else {
        return Err(format!(
            "--initial-cluster {cluster} does not name this member; add {name}={} to it or set \
             --name",
            urls::join(advertised)
        ));
    };
    if listed != advertised {
        return Err(format!(
            "--initial-cluster lists {} for {name}, but --initial-advertise-peer-urls is {}; make \
             them the same",
            urls::join(listed),
            urls::join(advertised)
        ));
    }
    Ok(())
}

fn first_eight(hash: Sha1) -> u64 {
    let digest = hash.finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |id, byte| id << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
