//! What a group writes into WAL frames: entries, votes, and what it purged. The frame itself
//! names the group, the term and the index.
//!
//! | kind | payload |
//! |---|---|
//! | 1 entry, normal | the batch |
//! | 2 entry, blank | nothing |
//! | 3 entry, membership | see `put_membership` |
//! | 4 vote | term in the frame; member u64, committed u8 |
//! | 5 truncated | nothing: entries above the frame's index are void |
//! | 6 purged | nothing: entries up to the frame's index are in a checkpoint |
//! | 7 committed | nothing: entries up to the frame's index are committed |
//!
//! Numbers are little-endian.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::EntryPayload;

use crate::group::types::{Batch, Entry, LogId, Membership, Payload, Peer, Vote, log_id};
use crate::ids::GroupId;
use crate::wal::FrameHead;

/// An entry with a batch.
pub const NORMAL: u8 = 1;
/// A blank entry.
pub const BLANK: u8 = 2;
/// A membership entry.
pub const MEMBERSHIP: u8 = 3;
/// A vote.
pub const VOTE: u8 = 4;
/// A truncation.
pub const TRUNCATED: u8 = 5;
/// A purge.
pub const PURGED: u8 = 6;
/// A commit position.
pub const COMMITTED: u8 = 7;

/// The frame head and payload of an entry.
pub fn entry_frame(group: GroupId, entry: &Entry) -> (FrameHead, Bytes) {
    let (kind, payload) = match &entry.payload {
        EntryPayload::Normal(batch) => (NORMAL, batch.0.clone()),
        EntryPayload::Blank => (BLANK, Bytes::new()),
        EntryPayload::Membership(membership) => (MEMBERSHIP, put_membership(membership)),
    };
    (head(group, kind, Some(entry.log_id)), payload)
}

/// A frame head for a log id.
pub fn head(group: GroupId, kind: u8, at: Option<LogId>) -> FrameHead {
    let term = at.map_or(0, |at| at.committed_leader_id().term);
    FrameHead {
        group,
        kind,
        term,
        index: at.map_or(0, |at| at.index()),
    }
}

/// Reads an entry back; `None` if the payload makes no sense.
pub fn read_entry(head: &FrameHead, payload: Bytes) -> Option<Entry> {
    let payload: Payload = match head.kind {
        NORMAL => EntryPayload::Normal(Batch(payload)),
        BLANK => EntryPayload::Blank,
        MEMBERSHIP => EntryPayload::Membership(read_membership(payload)?),
        _ => return None,
    };
    Some(Entry {
        log_id: log_id(head.term, head.index),
        payload,
    })
}

/// The frame head and payload of a vote.
pub fn vote_frame(group: GroupId, vote: &Vote) -> (FrameHead, [u8; 9]) {
    let mut payload = [0; 9];
    payload[..8].copy_from_slice(&vote.leader_id().voted_for.to_le_bytes());
    payload[8] = u8::from(vote.is_committed());
    let head = FrameHead {
        group,
        kind: VOTE,
        term: vote.leader_id().term,
        index: 0,
    };
    (head, payload)
}

/// Reads a vote back.
pub fn read_vote(head: &FrameHead, payload: &[u8]) -> Option<Vote> {
    let (member, committed) = payload.split_first_chunk::<8>()?;
    let member = u64::from_le_bytes(*member);
    match committed {
        [0] => Some(Vote::new(head.term, member)),
        [1] => Some(Vote::new_committed(head.term, member)),
        _ => None,
    }
}

/// A membership: configurations (count u32, each a count u32 and ids u64), then members (count
/// u32, each id u64, name, peer URLs, client URLs; a text is a length u32 and its bytes, a list
/// a count u32 and its texts).
pub fn put_membership(membership: &Membership) -> Bytes {
    let mut out = BytesMut::new();
    let configs = membership.get_joint_config();
    out.put_u32_le(configs.len() as u32);
    for config in configs {
        out.put_u32_le(config.len() as u32);
        config.iter().for_each(|id| out.put_u64_le(*id));
    }
    let nodes: Vec<_> = membership.nodes().collect();
    out.put_u32_le(nodes.len() as u32);
    for (id, peer) in nodes {
        out.put_u64_le(*id);
        put_text(&mut out, &peer.name);
        for urls in [&peer.peer_urls, &peer.client_urls] {
            out.put_u32_le(urls.len() as u32);
            urls.iter().for_each(|url| put_text(&mut out, url));
        }
    }
    out.freeze()
}

/// Reads a membership back.
pub fn read_membership(mut from: Bytes) -> Option<Membership> {
    let mut configs = Vec::new();
    for _ in 0..from.try_get_u32_le().ok()? {
        let mut config = BTreeSet::new();
        for _ in 0..from.try_get_u32_le().ok()? {
            config.insert(from.try_get_u64_le().ok()?);
        }
        configs.push(config);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..from.try_get_u32_le().ok()? {
        let id = from.try_get_u64_le().ok()?;
        let name = take_text(&mut from)?;
        let peer_urls = take_texts(&mut from)?;
        let client_urls = take_texts(&mut from)?;
        nodes.insert(
            id,
            Peer {
                name,
                peer_urls,
                client_urls,
            },
        );
    }
    if from.has_remaining() {
        return None;
    }
    Membership::new(configs, nodes).ok()
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u32_le(text.len() as u32);
    out.put_slice(text.as_bytes());
}

fn take_text(from: &mut Bytes) -> Option<String> {
    let len = from.try_get_u32_le().ok()? as usize;
    if from.remaining() < len {
        return None;
    }
    String::from_utf8(from.split_to(len).to_vec()).ok()
}

fn take_texts(from: &mut Bytes) -> Option<Vec<String>> {
    let count = from.try_get_u32_le().ok()?;
    (0..count).map(|_| take_text(from)).collect()
}

#[cfg(test)]
mod tests;
