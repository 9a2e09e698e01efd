//! One client of a run: it makes operations one after the other. Those on leases are in `leases`.

mod leases;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use proto::etcdserverpb as pb;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use super::check::Check;
use super::keys::{Keys, Space};
use super::load::{Load, Operation};
use super::slot::Slot;
use super::source::{Called, Caller, Source};
use crate::client::calls::paths;
use crate::client::{Channel, Status, Stream, frame};

/// Bytes at the start of a value that no other value of the run has.
const MARK_BYTES: usize = 16;

/// What all clients share.
pub(super) struct Shared {
    pub load: Load,
    pub check: Check,
    /// What values are cut from.
    pub noise: Bytes,
    /// Values made so far.
    made: Cell<u64>,
    /// From when the times count that the values of a fan-out carry.
    zero: Instant,
    /// When the newest put of a fan-out was due.
    last_due: Cell<Option<Instant>>,
}

impl Shared {
    pub fn new(load: Load) -> Shared {
        let mut random = SmallRng::seed_from_u64(load.seed);
        let mut noise = vec![0; load.value_size.max(MARK_BYTES) * 2];
        random.fill_bytes(&mut noise);
        Shared {
            check: Check::new(load.check),
            noise: noise.into(),
            made: Cell::new(0),
            zero: Instant::now(),
            last_due: Cell::default(),
            load,
        }
    }

    /// When the put that a value of a fan-out came with was due.
    pub fn due_of(&self, value: &[u8]) -> Option<Instant> {
        let (due, rest) = value.split_first_chunk::<8>()?;
        let seed = &self.load.seed.to_be_bytes();
        // Somebody else's, if it has room to say so.
        if rest.len() >= seed.len() && !rest.starts_with(seed) {
            return None;
        }
        self.zero
            .checked_add(Duration::from_nanos(u64::from_be_bytes(*due)))
    }

    /// When the newest put of a fan-out was due.
    pub fn last_due(&self) -> Option<Instant> {
        self.last_due.get()
    }

    /// A value that no compression shrinks, for a put that was due then. It differs from all others
    /// of the run; in a fan-out, where it carries that time, from those of other operations.
    pub fn value(&self, due: Instant) -> Bytes {
        let (size, number) = (self.load.value_size, self.made.get());
        self.made.set(number + 1);
        let mut first = number;
        if self.load.is_fanout() {
            self.last_due.set(Some(due));
            let since = due.saturating_duration_since(self.zero);
            first = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        }
        let start = (number as usize).wrapping_mul(31) % (size.max(MARK_BYTES) + 1);
        let mark = (self.load.seed.to_be_bytes(), first.to_be_bytes());
        let mut value = Vec::with_capacity(size);
        value.extend_from_slice(&mark.1[..size.min(8)]);
        value.extend_from_slice(&mark.0[..(size - value.len()).min(8)]);
        let left = size - value.len();
        value.extend_from_slice(&self.noise[start..start + left]);
        value.into()
    }
}

impl Source for Shared {
    type Client = Client;

    fn client(self: &Rc<Self>, slot: &Rc<Slot>, number: u64) -> Client {
        Client::new(self, slot, number)
    }
}

impl Caller for Client {
    async fn call(&mut self, due: Instant) -> Called {
        self.due = due;
        let operation = self.choose();
        Called {
            name: operation.name(),
            result: self.make(operation).await,
        }
    }
}

/// A client.
pub(super) struct Client {
    shared: Rc<Shared>,
    slot: Rc<Slot>,
    random: SmallRng,
    keys: Keys,
    buffer: BytesMut,
    number: u64,
    /// The revision that its own key has.
    own: Option<i64>,
    lease: Option<i64>,
    /// A session that failed and may still hold a lock.
    stale: Option<i64>,
    renewals: Option<Stream<pb::LeaseKeepAliveResponse>>,
    told: Cell<i64>,
    due: Instant,
}

impl Client {
    fn new(shared: &Rc<Shared>, slot: &Rc<Slot>, number: u64) -> Client {
        let load = &shared.load;
        let seed = load.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let first = load.keys / (load.clients as u64).max(1) * number;
        Client {
            keys: Keys::new(load.space, load.keys, load.key_size, first),
            shared: shared.clone(),
            slot: slot.clone(),
            random: SmallRng::seed_from_u64(seed),
            buffer: BytesMut::with_capacity(4096),
            number,
            own: None,
            lease: None,
            stale: None,
            renewals: None,
            told: Cell::new(0),
            due: Instant::now(),
        }
    }

    /// The operation that comes next.
    fn choose(&mut self) -> Operation {
        match self.shared.load.mix.0.as_slice() {
            [(only, _)] => *only,
            _ => {
                let place = self.random.random();
                self.shared.load.mix.at(place)
            }
        }
    }

    /// Makes an operation. Gives from when its latency counts, if it is not for others to count.
    async fn make(&mut self, operation: Operation) -> Result<Option<Instant>, Status> {
        let channel = self.slot.channel().await?;
        if operation == Operation::LeaseExpiry {
            return Box::pin(self.let_expire(&channel)).await.map(Some);
        }
        self.ask_and_wait(operation, &channel).await?;
        // Those who watch count what they are told.
        Ok((operation != Operation::WatchFanout).then_some(self.due))
    }

    async fn ask_and_wait(
        &mut self,
        operation: Operation,
        channel: &Channel,
    ) -> Result<(), Status> {
        match operation {
            Operation::Put | Operation::WatchFanout => self.put(channel).await,
            Operation::Get => self.get(channel, false).await,
            Operation::SerializableGet => self.get(channel, true).await,
            Operation::Range => self.range(channel).await,
            Operation::RangeStream => self.range_stream(channel).await,
            Operation::CompareAndPut => Box::pin(self.compare_and_put(channel)).await,
            Operation::Delete => Box::pin(self.delete(channel)).await,
            Operation::Txn => Box::pin(self.txn(channel)).await,
            Operation::WatchChurn => Box::pin(self.watch_churn(channel)).await,
            Operation::LeaseGrant => Box::pin(self.grant_and_revoke(channel)).await,
            Operation::LeaseKeepalive => Box::pin(self.renew(channel)).await,
            Operation::LeaseExpiry => Ok(()),
            Operation::Lock => Box::pin(self.lock(channel)).await,
            Operation::Election => Box::pin(self.elect(channel)).await,
        }
    }

    fn ask(&mut self, request: &impl prost::Message) -> Bytes {
        frame(&mut self.buffer, request)
    }

    async fn put(&mut self, channel: &Channel) -> Result<(), Status> {
        let number = self.keys.draw(&mut self.random);
        let request = pb::PutRequest {
            key: self.keys.key(number),
            value: self.shared.value(self.due),
            ..Default::default()
        };
        let asked = self.ask(&request);
        if !self.shared.check.is_on() {
            return channel.count(paths::PUT, asked).await.map(drop);
        }
        let answer: Result<pb::PutResponse, _> = channel.unary(paths::PUT, asked).await;
        self.changed(&request.key, Some(&request.value), answer.map(|a| a.header))
    }

    /// Notes how a change ended.
    fn changed(
        &self,
        key: &Bytes,
        value: Option<&Bytes>,
        answer: Result<Option<pb::ResponseHeader>, Status>,
    ) -> Result<(), Status> {
        let check = &self.shared.check;
        match answer {
            Ok(header) => {
                let revision = header.unwrap_or_default().revision;
                check.in_order(&self.told, revision);
                check.acknowledged(key, value, revision);
                Ok(())
            }
            Err(status) => {
                check.unknown(key, value);
                Err(status)
            }
        }
    }

    async fn get(&mut self, channel: &Channel, serializable: bool) -> Result<(), Status> {
        let number = self.keys.draw(&mut self.random);
        let request = pb::RangeRequest {
            key: self.keys.key(number),
            serializable,
            ..Default::default()
        };
        let asked = self.ask(&request);
        if !self.shared.check.is_on() || serializable {
            return channel.count(paths::RANGE, asked).await.map(drop);
        }
        let answer: pb::RangeResponse = channel.unary(paths::RANGE, asked).await?;
        let revision = answer.header.unwrap_or_default().revision;
        self.shared.check.in_order(&self.told, revision);
        Ok(())
    }

    /// A range of as many keys as are wanted, if there are so many. It ends behind the last of
    /// them where names have the order of numbers: behind a limit servers count what is left.
    fn some(&mut self) -> pb::RangeRequest {
        let wanted = self.shared.load.range_keys;
        let number = self.keys.draw(&mut self.random);
        // Not so near to the end that there are fewer.
        let number = number.min(self.keys.count().saturating_sub(wanted));
        let range_end = match self.shared.load.space {
            Space::Kubernetes => self.keys.whole().1,
            _ => self.keys.key(number + wanted),
        };
        pb::RangeRequest {
            key: self.keys.key(number),
            range_end,
            limit: i64::try_from(wanted).unwrap_or(i64::MAX),
            ..Default::default()
        }
    }

    async fn range(&mut self, channel: &Channel) -> Result<(), Status> {
        let request = self.some();
        let asked = self.ask(&request);
        channel.count(paths::RANGE, asked).await.map(drop)
    }

    async fn range_stream(&mut self, channel: &Channel) -> Result<(), Status> {
        let request = self.some();
        let asked = self.ask(&request);
        channel.count(paths::RANGE_STREAM, asked).await.map(drop)
    }

    /// A key that only this client changes, and only by this kind of operation: in a mix one kind
    /// must not take another's change for somebody else's.
    fn own_key(&self, operation: Operation) -> Bytes {
        let kind = match operation {
            Operation::WatchChurn => 1,
            Operation::LeaseExpiry => 2,
            _ => 0,
        };
        let own = self.number * OWN_KINDS + kind;
        self.keys.key(self.keys.count() + own)
    }

    async fn compare_and_put(&mut self, channel: &Channel) -> Result<(), Status> {
        let key = self.own_key(Operation::CompareAndPut);
        let known = match self.own {
            Some(revision) => revision,
            None => {
                let request = pb::RangeRequest {
                    key: key.clone(),
                    ..Default::default()
                };
                let there = channel.range(&request).await?;
                there.kvs.first().map_or(0, |kv| kv.mod_revision)
            }
        };
        let put = pb::PutRequest {
            key: key.clone(),
            value: self.shared.value(self.due),
            ..Default::default()
        };
        let value = put.value.clone();
        let request = pb::TxnRequest {
            compare: vec![pb::Compare {
                target: pb::compare::CompareTarget::Mod.into(),
                key: key.clone(),
                target_union: Some(pb::compare::TargetUnion::ModRevision(known)),
                ..Default::default()
            }],
            success: vec![pb::RequestOp {
                request: Some(pb::request_op::Request::RequestPut(put)),
            }],
            ..Default::default()
        };
        self.own = None;
        let answer = channel.txn(&request).await;
        let held = answer.as_ref().is_ok_and(|answer| !answer.succeeded);
        if held {
            let text = "somebody else changed a key that is this client's own";
            return Err(Status::new(Status::ABORTED, text));
        }
        let header = answer.map(|answer| answer.header);
        let revision = header.as_ref().ok().and_then(Option::as_ref);
        let revision = revision.map(|header| header.revision);
        self.changed(&key, Some(&value), header)?;
        self.own = revision;
        Ok(())
    }

    async fn delete(&mut self, channel: &Channel) -> Result<(), Status> {
        let number = self.keys.draw(&mut self.random);
        let key = self.keys.key(number);
        let request = pb::DeleteRangeRequest {
            key: key.clone(),
            ..Default::default()
        };
        match channel.delete(&request).await {
            // Nothing was there, nothing has changed.
            Ok(answer) if answer.deleted == 0 => Ok(()),
            answer => self.changed(&key, None, answer.map(|a| a.header)),
        }
    }

    async fn txn(&mut self, channel: &Channel) -> Result<(), Status> {
        let mut pairs: Vec<(Bytes, Bytes)> = Vec::new();
        for _ in 0..self.shared.load.txn_keys {
            let number = self.keys.draw(&mut self.random);
            let key = self.keys.key(number);
            if pairs.iter().all(|(other, _)| *other != key) {
                pairs.push((key, self.shared.value(self.due)));
            }
        }
        let put = |(key, value): &(Bytes, Bytes)| pb::RequestOp {
            request: Some(pb::request_op::Request::RequestPut(pb::PutRequest {
                key: key.clone(),
                value: value.clone(),
                ..Default::default()
            })),
        };
        let request = pb::TxnRequest {
            success: pairs.iter().map(put).collect(),
            ..Default::default()
        };
        let asked = self.ask(&request);
        if !self.shared.check.is_on() {
            return channel.count(paths::TXN, asked).await.map(drop);
        }
        let answer: Result<pb::TxnResponse, _> = channel.unary(paths::TXN, asked).await;
        let header = answer.map(|answer| answer.header);
        for (key, value) in &pairs {
            let _ = self.changed(key, Some(value), header.clone());
        }
        header.map(drop)
    }

    async fn watch_churn(&mut self, channel: &Channel) -> Result<(), Status> {
        let key = self.own_key(Operation::WatchChurn);
        let create = pb::WatchCreateRequest {
            key: key.clone(),
            ..Default::default()
        };
        let mut stream = channel.watch(create)?;
        let created = told(stream.next().await?)?;
        if !created.created || created.canceled {
            return Err(Status::new(Status::ABORTED, created.cancel_reason));
        }
        let put = pb::PutRequest {
            key,
            value: self.shared.value(self.due),
            ..Default::default()
        };
        let revision = channel.put(&put).await?.header.unwrap_or_default().revision;
        loop {
            let response = told(stream.next().await?)?;
            let kvs = response.events.iter().filter_map(|e| e.kv.as_ref());
            if kvs.map(|kv| kv.mod_revision).any(|r| r >= revision) {
                break;
            }
        }
        use pb::watch_request::RequestUnion::CancelRequest;
        stream.send(&pb::WatchRequest {
            request_union: Some(CancelRequest(pb::WatchCancelRequest {
                watch_id: created.watch_id,
            })),
        })?;
        while !told(stream.next().await?)?.canceled {}
        Ok(())
    }
}

/// Kinds of operations with keys of a client's own.
const OWN_KINDS: u64 = 3;

fn told<A>(answer: Option<A>) -> Result<A, Status> {
    answer.ok_or_else(|| Status::unavailable("the server ended the stream"))
}
