//! Answers encoded by hand where it counts: header parts that never change are encoded once per
//! node, pairs that the engine gives as wire bytes are passed on without a copy. The API services
//! call it; the result is what prost would write for the same message.

use std::collections::VecDeque;

use bytes::Bytes;
use engine::event::{Event, KeyValue, Previous};
use engine::format::kv_wire::{KvFields, varint_len, write_varint};
use engine::shard::request::{DeleteReply, OpReply, PutReply, RangeReply, TxnReply};
use engine::watch::{Kind, Response as WatchResponse};

use super::message::{PREFIX_BYTES, Reply, put_prefix};

/// A piece at least this large is passed on as it is; a smaller one is cheaper copied.
const PIECE_BYTES: usize = 4 << 10;

// Field numbers and wire types, from the `.proto` files.
const HEADER: u8 = 0x0a;
const PREV_KV: u8 = 0x12;
const MORE: u8 = 0x18;
const COUNT: u8 = 0x20;
const DELETED: u8 = 0x10;
const PREV_KVS: u8 = 0x1a;
const SUCCEEDED: u8 = 0x10;
const RESPONSES: u8 = 0x1a;
const RESPONSE_RANGE: u8 = 0x0a;
const RESPONSE_PUT: u8 = 0x12;
const RESPONSE_DELETE: u8 = 0x1a;
const RESPONSE_TXN: u8 = 0x22;
const REVISION: u8 = 0x18;
const RAFT_TERM: u8 = 0x20;
const WATCH_ID: u8 = 0x10;
const CREATED: u8 = 0x18;
const CANCELED: u8 = 0x20;
const COMPACT_REVISION: u8 = 0x28;
const CANCEL_REASON: u8 = 0x32;
const FRAGMENT: u8 = 0x38;
const EVENTS: u8 = 0x5a;
const EVENT_TYPE: u8 = 0x08;
const EVENT_KV: u8 = 0x12;
const EVENT_PREV_KV: u8 = 0x1a;
const RANGE_RESPONSE: u8 = 0x0a;

/// The header of an answer, its unchanging part encoded.
#[derive(Clone, Debug)]
pub struct HeaderBase {
    /// Cluster and member, as fields.
    fixed: Vec<u8>,
}

/// One answer's header.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    fixed: &'a [u8],
    revision: i64,
    raft_term: u64,
}

impl HeaderBase {
    /// The part that names cluster and member.
    pub fn new(cluster_id: u64, member_id: u64) -> Self {
        let mut fixed = Vec::with_capacity(22);
        put_int(&mut fixed, 0x08, cluster_id);
        put_int(&mut fixed, 0x10, member_id);
        Self { fixed }
    }

    /// A whole header.
    pub fn at(&self, revision: i64, raft_term: u64) -> Header<'_> {
        Header {
            fixed: &self.fixed,
            revision,
            raft_term,
        }
    }
}

impl Header<'_> {
    /// The header of an answer inside a transaction: the revision alone.
    fn inner(revision: i64) -> Self {
        Self {
            fixed: &[],
            revision,
            raft_term: 0,
        }
    }

    fn len(&self) -> usize {
        self.fixed.len() + int_len(self.revision as u64) + int_len(self.raft_term)
    }

    fn field_len(&self) -> usize {
        field_len(self.len())
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_len(out, HEADER, self.len());
        out.extend_from_slice(self.fixed);
        put_int(out, REVISION, self.revision as u64);
        put_int(out, RAFT_TERM, self.raft_term);
    }
}

/// `PutResponse`.
pub fn put(header: Header<'_>, reply: &PutReply) -> Reply {
    let len = put_body_len(&header, reply);
    one_piece(len, |out| put_body(out, &header, reply))
}

/// `DeleteRangeResponse`.
pub fn delete(header: Header<'_>, reply: &DeleteReply) -> Reply {
    let len = delete_body_len(&header, reply);
    one_piece(len, |out| delete_body(out, &header, reply))
}

/// `RangeResponse`. Large pieces of pairs are borrowed.
pub fn range(header: Header<'_>, reply: &RangeReply) -> Reply {
    let mut rope = RopeWriter::new(range_body_len(&header, reply));
    range_body(&mut rope, &header, reply);
    rope.finish()
}

/// `TxnResponse`. Large pieces of pairs are borrowed.
pub fn txn(header: Header<'_>, reply: &TxnReply) -> Reply {
    let mut rope = RopeWriter::new(txn_body_len(&header, reply));
    txn_body(&mut rope, &header, reply);
    rope.finish()
}

/// `RangeStreamResponse`: only the last one has a header, `more` and `count`.
pub fn range_part(last: Option<Header<'_>>, reply: &RangeReply) -> Reply {
    let Some(header) = last else {
        let kvs: usize = reply.kvs.iter().map(Bytes::len).sum();
        let mut rope = RopeWriter::new(field_len(kvs));
        put_len(&mut rope.buf, RANGE_RESPONSE, kvs);
        reply.kvs.iter().for_each(|piece| rope.piece(piece));
        return rope.finish();
    };
    let len = range_body_len(&header, reply);
    let mut rope = RopeWriter::new(field_len(len));
    put_len(&mut rope.buf, RANGE_RESPONSE, len);
    range_body(&mut rope, &header, reply);
    rope.finish()
}

/// `WatchResponse`. Events are encoded once for all watchers that get the same batch.
pub fn watch(header: Header<'_>, response: &WatchResponse) -> Reply {
    let mut buf = Vec::with_capacity(64);
    header.put(&mut buf);
    put_int(&mut buf, WATCH_ID, response.watch_id as u64);
    let events = match &response.kind {
        Kind::Created => {
            put_int(&mut buf, CREATED, 1);
            Bytes::new()
        }
        Kind::Refused { reason } => {
            put_int(&mut buf, CREATED, 1);
            put_int(&mut buf, CANCELED, 1);
            put_len(&mut buf, CANCEL_REASON, reason.len());
            buf.extend_from_slice(reason.as_bytes());
            Bytes::new()
        }
        Kind::Failed { reason } => {
            put_int(&mut buf, CANCELED, 1);
            put_len(&mut buf, CANCEL_REASON, reason.len());
            buf.extend_from_slice(reason.as_bytes());
            Bytes::new()
        }
        Kind::Canceled { compact_revision } => {
            put_int(&mut buf, CANCELED, 1);
            put_int(&mut buf, COMPACT_REVISION, *compact_revision as u64);
            Bytes::new()
        }
        Kind::Events {
            batch,
            prev_kv,
            fragment,
        } => {
            put_int(&mut buf, FRAGMENT, u64::from(*fragment));
            batch.encoded(*prev_kv, |events| encode_events(events, *prev_kv))
        }
        Kind::Progress => Bytes::new(),
    };
    let mut rope = RopeWriter::new(buf.len() + events.len());
    rope.buf.extend_from_slice(&buf);
    rope.piece(&events);
    rope.finish()
}

/// Events as entries of `WatchResponse.events`.
pub fn encode_events(events: &[Event], prev_kv: bool) -> Bytes {
    let mut out = Vec::new();
    for event in events {
        let prev = match &event.prev {
            Previous::Known(prev) if prev_kv => Some(&**prev),
            _ => None,
        };
        let mut len = int_len(u64::from(event.delete)) + kv_len(&event.kv);
        len += prev.map_or(0, kv_len);
        out.reserve(field_len(len));
        put_len(&mut out, EVENTS, len);
        put_int(&mut out, EVENT_TYPE, u64::from(event.delete));
        put_kv(&mut out, EVENT_KV, &event.kv);
        if let Some(prev) = prev {
            put_kv(&mut out, EVENT_PREV_KV, prev);
        }
    }
    out.into()
}

fn put_body_len(header: &Header<'_>, reply: &PutReply) -> usize {
    header.field_len() + reply.prev.as_ref().map_or(0, kv_len)
}

fn put_body(out: &mut Vec<u8>, header: &Header<'_>, reply: &PutReply) {
    header.put(out);
    if let Some(prev) = &reply.prev {
        put_kv(out, PREV_KV, prev);
    }
}

fn delete_body_len(header: &Header<'_>, reply: &DeleteReply) -> usize {
    let prev: usize = reply.prev.iter().map(kv_len).sum();
    header.field_len() + int_len(reply.deleted as u64) + prev
}

fn delete_body(out: &mut Vec<u8>, header: &Header<'_>, reply: &DeleteReply) {
    header.put(out);
    put_int(out, DELETED, reply.deleted as u64);
    for prev in &reply.prev {
        put_kv(out, PREV_KVS, prev);
    }
}

fn range_body_len(header: &Header<'_>, reply: &RangeReply) -> usize {
    let kvs: usize = reply.kvs.iter().map(Bytes::len).sum();
    header.field_len() + kvs + int_len(u64::from(reply.more)) + int_len(reply.count as u64)
}

fn range_body(rope: &mut RopeWriter, header: &Header<'_>, reply: &RangeReply) {
    header.put(&mut rope.buf);
    reply.kvs.iter().for_each(|piece| rope.piece(piece));
    put_int(&mut rope.buf, MORE, u64::from(reply.more));
    put_int(&mut rope.buf, COUNT, reply.count as u64);
}

/// The tag of an answer inside a transaction and the length of its body. etcd gives nested
/// transactions an empty header and every other operation one with its revision.
fn op_len(op: &OpReply) -> (u8, usize) {
    match op {
        OpReply::Range(r) => (
            RESPONSE_RANGE,
            range_body_len(&Header::inner(r.revision), r),
        ),
        OpReply::Put(r) => (RESPONSE_PUT, put_body_len(&Header::inner(r.revision), r)),
        OpReply::Delete(r) => (
            RESPONSE_DELETE,
            delete_body_len(&Header::inner(r.revision), r),
        ),
        OpReply::Txn(r) => (RESPONSE_TXN, txn_body_len(&Header::inner(0), r)),
    }
}

fn txn_body_len(header: &Header<'_>, reply: &TxnReply) -> usize {
    let ops = reply
        .responses
        .iter()
        .map(|op| field_len(field_len(op_len(op).1)));
    header.field_len() + int_len(u64::from(reply.succeeded)) + ops.sum::<usize>()
}

fn txn_body(rope: &mut RopeWriter, header: &Header<'_>, reply: &TxnReply) {
    header.put(&mut rope.buf);
    put_int(&mut rope.buf, SUCCEEDED, u64::from(reply.succeeded));
    for op in &reply.responses {
        let (tag, len) = op_len(op);
        put_len(&mut rope.buf, RESPONSES, field_len(len));
        put_len(&mut rope.buf, tag, len);
        match op {
            OpReply::Range(r) => range_body(rope, &Header::inner(r.revision), r),
            OpReply::Put(r) => put_body(&mut rope.buf, &Header::inner(r.revision), r),
            OpReply::Delete(r) => delete_body(&mut rope.buf, &Header::inner(r.revision), r),
            OpReply::Txn(r) => txn_body(rope, &Header::inner(0), r),
        }
    }
}

/// Bytes of a pair as a field with a one-byte tag.
fn kv_len(kv: &KeyValue) -> usize {
    field_len(fields(kv).encoded_len())
}

fn put_kv(out: &mut Vec<u8>, tag: u8, kv: &KeyValue) {
    let fields = fields(kv);
    put_len(out, tag, fields.encoded_len());
    fields.write(out);
}

fn fields(kv: &KeyValue) -> KvFields<'_> {
    KvFields {
        key: &kv.key,
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        value: &kv.value,
        lease: kv.lease,
    }
}

/// Bytes of a length-delimited field with a one-byte tag.
fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

fn int_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint_len(value) }
}

fn put_len(out: &mut Vec<u8>, tag: u8, len: usize) {
    out.push(tag);
    write_varint(out, len as u64);
}

fn put_int(out: &mut Vec<u8>, tag: u8, value: u64) {
    if value != 0 {
        out.push(tag);
        write_varint(out, value);
    }
}

fn one_piece(len: usize, body: impl FnOnce(&mut Vec<u8>)) -> Reply {
    let mut rope = RopeWriter::new(len);
    body(&mut rope.buf);
    rope.finish()
}

/// Gathers small pieces and keeps large ones as they are.
struct RopeWriter {
    buf: Vec<u8>,
    done: VecDeque<Bytes>,
    len: usize,
}

impl RopeWriter {
    /// For a message of exactly `len` bytes.
    fn new(len: usize) -> Self {
        let mut buf = Vec::with_capacity(PREFIX_BYTES + len.min(PIECE_BYTES));
        put_prefix(&mut buf, len);
        Self {
            buf,
            done: VecDeque::new(),
            len,
        }
    }

    fn piece(&mut self, piece: &Bytes) {
        if piece.len() < PIECE_BYTES {
            self.buf.extend_from_slice(piece);
            return;
        }
        self.done.push_back(std::mem::take(&mut self.buf).into());
        self.done.push_back(piece.clone());
    }

    fn finish(mut self) -> Reply {
        let last = Bytes::from(self.buf);
        let reply = match self.done.pop_front() {
            None => Reply::from_framed(last, VecDeque::new()),
            Some(head) => {
                if !last.is_empty() {
                    self.done.push_back(last);
                }
                Reply::from_framed(head, self.done)
            }
        };
        debug_assert_eq!(reply.len(), PREFIX_BYTES + self.len);
        reply
    }
}

#[cfg(test)]
mod tests;
