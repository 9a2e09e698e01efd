//! A snapshot of the running node as a file of etcd's, in one stream and in bounded memory.
//!
//! The file says at its start where its end is. So the store is walked twice at one revision: once
//! for the lengths, which the index knows without reading a value, and once for the records. A
//! temporary file would do with one walk, but costs the disk as much again as the data takes, and
//! writes it beside the log.

use std::rc::Rc;

use engine::env::Env;
use engine::error::Error;
use engine::shard::core::Core;
use engine::shard::dump::{Dump, Kept};
use engine::shard::status::About;
use sha2::{Digest, Sha256};

use super::bbolt::{TreeSize, Writer};
use super::etcd;

/// Bytes of the file in one message, as etcd's.
const BLOB_BYTES: usize = 32 << 10;

/// Most bytes of a key in any bucket but `key`.
const KEY_MAX: usize = 32;

/// A bucket that is small enough to be at hand.
type Small = (&'static [u8], Vec<(Vec<u8>, Vec<u8>)>);

/// Sends the file through `send` in blobs, each with the bytes of the file that are left, and at
/// last its SHA-256.
///
/// # Errors
/// The node stops, a page cannot be read, or `send` fails.
pub async fn run<E: Env, F: From<Error>>(
    core: &Rc<Core<E>>,
    mut send: impl AsyncFnMut(Vec<u8>, u64) -> Result<(), F>,
) -> Result<(), F> {
    let mut dump = Dump::open(core).await?;
    let small = buckets(dump.kept(), dump.compacted(), core.about());
    let keys = count(&mut dump).await?;
    let size = |name: &[u8]| match small.iter().find(|(small, _)| *small == name) {
        Some((_, pairs)) => tree_pages(pairs),
        None => keys,
    };
    let trees = etcd::BUCKETS.map(|name| (name, size(name)));
    let mut writer = Writer::new(&trees);
    let mut out = Out {
        left: writer.file_bytes(),
        hash: Sha256::new(),
    };
    dump.rewind(true).await?;
    writer.begin(etcd::KEY, etcd::REVISION_MAX);
    while let Some((head, bytes)) = dump.next().await? {
        let (key, len) = etcd::revision_key(head.revision, head.is_delete);
        writer.add(&key[..len], bytes);
        out.drain(&mut writer, BLOB_BYTES, &mut send).await?;
    }
    // What follows is at hand: the shards may sweep again.
    drop(dump);
    writer.end();
    for (name, pairs) in &small {
        writer.begin(name, KEY_MAX);
        for (key, value) in pairs {
            writer.add(key, value);
            out.drain(&mut writer, BLOB_BYTES, &mut send).await?;
        }
        writer.end();
    }
    let written = writer.finish();
    written.map_err(|what| F::from(Error::Storage(what.to_owned())))?;
    out.drain(&mut writer, 0, &mut send).await?;
    send(out.hash.finalize().to_vec(), 0).await
}

/// What goes out.
struct Out {
    left: u64,
    hash: Sha256,
}

impl Out {
    async fn drain<F>(
        &mut self,
        writer: &mut Writer,
        least: usize,
        send: &mut impl AsyncFnMut(Vec<u8>, u64) -> Result<(), F>,
    ) -> Result<(), F> {
        while let Some(blob) = writer.take(least, BLOB_BYTES) {
            self.hash.update(&blob);
            self.left = self.left.saturating_sub(blob.len() as u64);
            send(blob, self.left).await?;
        }
        Ok(())
    }
}

/// Pages of the bucket `key`.
async fn count<E: Env>(dump: &mut Dump<E>) -> Result<u64, Error> {
    dump.rewind(false).await?;
    let mut size = TreeSize::new(etcd::REVISION_MAX);
    while let Some((head, _)) = dump.next().await? {
        size.add(etcd::revision_len(head.is_delete), head.len as usize);
    }
    Ok(size.pages())
}

fn tree_pages(pairs: &[(Vec<u8>, Vec<u8>)]) -> u64 {
    let mut size = TreeSize::new(KEY_MAX);
    pairs
        .iter()
        .for_each(|(key, value)| size.add(key.len(), value.len()));
    size.pages()
}

/// All buckets but `key`.
fn buckets(kept: &Kept, compacted: i64, about: &About) -> Vec<Small> {
    let others = etcd::BUCKETS.into_iter().filter(|name| *name != etcd::KEY);
    others
        .map(|name| {
            let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = match name {
                etcd::ALARM => {
                    let key = |(member, kind): &(u64, u8)| etcd::alarm(*member, *kind);
                    kept.alarms.iter().map(|a| (key(a), Vec::new())).collect()
                }
                etcd::LEASE => kept
                    .leases
                    .iter()
                    .map(|(id, ttl)| etcd::lease(*id, *ttl))
                    .collect(),
                etcd::MEMBERS => vec![member(about)],
                etcd::META => meta(kept, compacted, about),
                _ => Vec::new(),
            };
            pairs.sort_unstable();
            (name, pairs)
        })
        .collect()
}

fn meta(kept: &Kept, compacted: i64, about: &About) -> Vec<(Vec<u8>, Vec<u8>)> {
    let state = serde_json::json!({ "voters": [about.member], "auto_leave": false });
    let mut pairs = vec![
        (etcd::CONF_STATE, state.to_string().into_bytes()),
        (
            etcd::CONSISTENT_INDEX,
            kept.group.applied.to_be_bytes().to_vec(),
        ),
        (etcd::TERM, kept.group.term.to_be_bytes().to_vec()),
    ];
    if compacted > 0 {
        let (key, len) = etcd::revision_key(engine::ids::Revision::new(compacted, 0), false);
        pairs.push((etcd::FINISHED, key[..len].to_vec()));
        pairs.push((etcd::SCHEDULED, key[..len].to_vec()));
    }
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_vec(), value))
        .collect()
}

fn member(about: &About) -> (Vec<u8>, Vec<u8>) {
    let json = serde_json::json!({
        "id": about.member,
        "peerURLs": about.peer.peer_urls,
        "name": about.peer.name,
        "clientURLs": about.peer.client_urls,
    });
    let key = format!("{:016x}", about.member);
    (key.into_bytes(), json.to_string().into_bytes())
}
