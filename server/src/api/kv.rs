//! KV: reads, writes, transactions, compaction.

use bytes::{BufMut, Bytes, BytesMut};
use engine::env::Env;
use engine::error::Error;
use engine::format::kv_wire::entry_key;
use engine::keys::KeyRange;
use engine::shard::check;
use engine::shard::request::{RangeReply, RangeRequest, SortTarget};
use proto::etcdserverpb as pb;

use super::{Api, convert, decode};
use crate::grpc::{Code, Inbound, Outbound, Reply, Status, wire};

/// What etcd's envelope of a proposal adds to the request it carries, bytes: the bound of a
/// request is on both together.
const ENVELOPE_BYTES: usize = 18;

/// Keys in the first part of a streamed range.
const FIRST_PART_KEYS: i64 = 10;

impl<E: Env> Api<E> {
    pub(super) async fn range(&self, message: Bytes) -> Result<Reply, Status> {
        let request = convert::range(decode(message)?)?;
        let reply = self.core.range(request).await?;
        Ok(wire::range(self.header(reply.revision), &reply))
    }

    pub(super) async fn put(&self, message: Bytes) -> Result<Reply, Status> {
        let is_large = self.is_large(&message);
        let request = convert::put(decode(message)?);
        if is_large {
            check::put(&request)?;
            return Err(Error::RequestTooLarge.into());
        }
        let reply = self.core.put(request).await?;
        Ok(wire::put(self.header(reply.revision), &reply))
    }

    pub(super) async fn delete(&self, message: Bytes) -> Result<Reply, Status> {
        let is_large = self.is_large(&message);
        let request = convert::delete(decode(message)?);
        if is_large {
            check::delete(&request)?;
            return Err(Error::RequestTooLarge.into());
        }
        let reply = self.core.delete(request).await?;
        Ok(wire::delete(self.header(reply.revision), &reply))
    }

    pub(super) async fn txn(&self, message: Bytes) -> Result<Reply, Status> {
        let is_large = self.is_large(&message);
        let request = convert::txn(decode(message)?);
        if is_large && self.core.check_txn(&request)? {
            return Err(Error::RequestTooLarge.into());
        }
        let reply = self.core.txn(request).await?;
        Ok(wire::txn(self.header(reply.revision), &reply))
    }

    pub(super) async fn compact(&self, message: Bytes) -> Result<Reply, Status> {
        let request: pb::CompactionRequest = decode(message)?;
        let revision = self
            .core
            .compact(request.revision, request.physical)
            .await?;
        Ok(Reply::encode(&pb::CompactionResponse {
            header: self.pb_header(revision),
        }))
    }

    pub(super) async fn range_stream(
        &self,
        mut inbound: Inbound,
        outbound: Outbound,
    ) -> Result<(), Status> {
        let request = convert::range(decode(inbound.only().await?)?)?;
        let fetch = async |request| self.core.range(request).await;
        let send = async |part: RangeReply, last: bool| {
            let header = last.then(|| self.header(part.revision));
            outbound.send(wire::range_part(header, &part)).await?;
            Ok(())
        };
        parts(request, self.request_bytes_max, fetch, send).await
    }

    /// Whether a write is over `--max-request-bytes`. etcd looks at its form first, and bounds
    /// nothing that only reads.
    fn is_large(&self, message: &Bytes) -> bool {
        message.len() + ENVELOPE_BYTES > self.request_bytes_max
    }
}

/// Reads a range in parts, all at the revision of the first, and sends each before it reads the
/// next. Parts double and halve in keys so that they come out near `part_bytes`. Only the last
/// carries revision, `more` and count; the revision is the store's when the first was read.
async fn parts(
    request: RangeRequest,
    part_bytes: usize,
    fetch: impl AsyncFn(RangeRequest) -> Result<RangeReply, Error>,
    send: impl AsyncFn(RangeReply, bool) -> Result<(), Status>,
) -> Result<(), Status> {
    if request.is_filtered() || request.order.is_some() || request.target != SortTarget::Key {
        let text = "etcdserver: range stream takes neither a sort nor revision filters";
        return Err(Status::new(Code::Unimplemented, text));
    }
    if request.count_only {
        return send(fetch(request).await?, true).await;
    }
    let mut left = if request.limit > 0 {
        request.limit
    } else {
        i64::MAX
    };
    let mut keys = FIRST_PART_KEYS;
    let mut first: Option<(i64, i64)> = None;
    let mut ask = request;
    loop {
        ask.limit = keys.min(left);
        let mut part = fetch(ask.clone()).await?;
        let (revision, count) = *first.get_or_insert((part.revision, part.count));
        left -= i64::try_from(part.len).unwrap_or(left);
        let next = if part.more && left > 0 {
            last_key(&part)
        } else {
            None
        };
        let Some(last) = next else {
            (part.revision, part.count) = (revision, count);
            return send(part, true).await;
        };
        if ask.revision <= 0 {
            ask.revision = revision;
        }
        // Leadership was confirmed for the first part; the revision is fixed since.
        ask.serializable = true;
        ask.range = beyond(&ask.range, &last);
        let bytes: usize = part.kvs.iter().map(Bytes::len).sum();
        if bytes > part_bytes {
            keys = (keys / 2).max(1);
        } else if bytes < part_bytes / 2 {
            keys = keys.saturating_mul(2);
        }
        send(part, false).await?;
    }
}

/// What of a range lies above `key`.
fn beyond(range: &KeyRange, key: &[u8]) -> KeyRange {
    let mut start = BytesMut::with_capacity(key.len() + 1);
    start.put_slice(key);
    start.put_u8(0);
    let start = start.freeze();
    match range {
        KeyRange::Span(_, end) => KeyRange::Span(start, end.clone()),
        KeyRange::One(_) | KeyRange::From(_) => KeyRange::From(start),
    }
}

/// The key of the last pair.
fn last_key(part: &RangeReply) -> Option<Bytes> {
    let piece = part.kvs.iter().rev().find(|piece| !piece.is_empty())?;
    let mut rest = &piece[..];
    loop {
        // Each entry is a tag of one byte, a length and that many bytes.
        let mut body = rest.get(1..)?;
        let len = prost::encoding::decode_varint(&mut body).ok()?;
        let entry = rest;
        rest = body.get(usize::try_from(len).ok()?..)?;
        if rest.is_empty() {
            let key = entry_key(entry);
            return (!key.is_empty()).then(|| Bytes::copy_from_slice(key));
        }
    }
}

#[cfg(test)]
mod tests;
