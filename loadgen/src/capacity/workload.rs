//! The operations that are searched: puts, reads of one key, reads of many, and the mix that
//! Kubernetes makes.

use std::cell::RefCell;
use std::fmt;

use bytes::{Bytes, BytesMut};
use proto::etcdserverpb as pb;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::client::calls::paths;
use crate::client::frame;
use crate::kubernetes::model::{Model, Resource, Verb};

/// What all keys of this command begin with.
pub const PREFIX: &str = "/stoa-loadgen/capacity/";

/// Keys that one range reads.
const RANGE_KEYS: i64 = 100;

/// Bytes that all values are cut from.
const FILLER: usize = 2 << 20;

/// What is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// Puts of random keys
    Put,
    /// Linearizable reads of random keys
    Get,
    /// Reads of 100 keys
    Range,
    /// The writes and reads of Kubernetes by its model, with watches on all
    Kubernetes,
}

impl Name {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Name::Put => "put",
            Name::Get => "get",
            Name::Range => "range",
            Name::Kubernetes => "kubernetes",
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One kind of operation of a workload.
#[derive(Clone, Copy, Debug)]
enum Op {
    Put,
    Get,
    Range,
    /// A conditional write, as an apiserver makes it.
    Update,
}

/// Keys of one kind, and what is done to them.
#[derive(Clone, Debug)]
struct Share {
    op: Op,
    prefix: String,
    keys: usize,
    value_bytes: usize,
    weight: f64,
}

/// A workload: what it does in which proportion.
pub struct Workload {
    name: Name,
    shares: Vec<Share>,
    /// Prefixes that are watched.
    pub watched: Vec<String>,
    filler: Bytes,
    state: RefCell<State>,
}

/// What changes with each operation that is drawn.
struct State {
    random: StdRng,
    buffer: BytesMut,
}

/// An operation ready to be sent.
pub struct Call {
    /// The path of the call.
    pub path: &'static str,
    /// Its request.
    pub frame: Bytes,
}

impl Workload {
    /// A workload on `keys` keys with values of `value_bytes`.
    pub fn simple(name: Name, keys: usize, value_bytes: usize, seed: u64) -> Workload {
        let op = match name {
            Name::Get => Op::Get,
            Name::Range => Op::Range,
            _ => Op::Put,
        };
        let share = Share {
            op,
            prefix: format!("{PREFIX}keys/"),
            keys,
            value_bytes,
            weight: 1.0,
        };
        Workload::new(name, vec![share], Vec::new(), seed)
    }

    /// What Kubernetes does by its model: writes and reads in their proportion, on at most `keys`
    /// objects of each type, all watched.
    pub fn kubernetes(model: &Model, keys: usize, seed: u64) -> Workload {
        let prefix = |resource: Resource| format!("{PREFIX}{}/", resource.name());
        let share = |(resource, verb, rate): (Resource, Verb, f64)| Share {
            op: Op::Update,
            prefix: prefix(resource),
            keys: model.objects(resource).clamp(1, keys),
            // What a deletion leaves in the log is a key.
            value_bytes: match verb {
                Verb::Delete => 16,
                _ => model.sizes.of(resource),
            },
            weight: rate,
        };
        let mut shares: Vec<Share> = model.writes().into_iter().map(share).collect();
        shares.push(Share {
            op: Op::Get,
            prefix: prefix(Resource::Pods),
            keys: model.objects(Resource::Pods).clamp(1, keys),
            value_bytes: model.sizes.pod,
            weight: model.gets_per_second(),
        });
        shares.retain(|share| share.weight > 0.0);
        let watched = Resource::ALL.map(prefix).into();
        Workload::new(Name::Kubernetes, shares, watched, seed)
    }

    fn new(name: Name, shares: Vec<Share>, watched: Vec<String>, seed: u64) -> Workload {
        let mut random = StdRng::seed_from_u64(seed);
        let mut filler = vec![0; FILLER];
        filler.fill_with(|| random.random_range(b' '..b'~'));
        let state = State {
            random,
            buffer: BytesMut::new(),
        };
        Workload {
            name,
            shares,
            watched,
            filler: filler.into(),
            state: RefCell::new(state),
        }
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name.name()
    }

    fn value(&self, random: &mut StdRng, len: usize) -> Bytes {
        let len = len.min(FILLER);
        let from = random.random_range(0..=FILLER - len);
        self.filler.slice(from..from + len)
    }

    /// All pairs that have to be there before.
    pub fn pairs(&self) -> Vec<pb::PutRequest> {
        let random = &mut self.state.borrow_mut().random;
        let mut done: Vec<&str> = Vec::new();
        let mut pairs = Vec::new();
        for share in &self.shares {
            if done.contains(&share.prefix.as_str()) {
                continue;
            }
            for number in 0..share.keys {
                pairs.push(pb::PutRequest {
                    key: key(&share.prefix, number),
                    value: self.value(random, share.value_bytes),
                    ..Default::default()
                });
            }
            done.push(&share.prefix);
        }
        pairs
    }

    /// Draws the next operation.
    pub fn next(&self) -> Call {
        let State { random, buffer } = &mut *self.state.borrow_mut();
        let sum: f64 = self.shares.iter().map(|share| share.weight).sum();
        let mut left = random.random::<f64>() * sum;
        let at = self.shares.iter().position(|share| {
            left -= share.weight;
            left < 0.0
        });
        let last = self.shares.len() - 1;
        let share = &self.shares[at.unwrap_or(last)];
        let number = random.random_range(0..share.keys.max(1));
        let key = key(&share.prefix, number);
        let value = match share.op {
            Op::Put | Op::Update => self.value(random, share.value_bytes),
            Op::Get | Op::Range => Bytes::new(),
        };
        let (path, frame) = match share.op {
            Op::Put => (paths::PUT, frame(buffer, &put(key, value))),
            Op::Get => (paths::RANGE, frame(buffer, &read(key, Bytes::new(), 1))),
            Op::Range => {
                let end = format!("{}~", share.prefix).into();
                (paths::RANGE, frame(buffer, &read(key, end, RANGE_KEYS)))
            }
            Op::Update => (paths::TXN, frame(buffer, &update(key, value))),
        };
        Call { path, frame }
    }
}

fn key(prefix: &str, number: usize) -> Bytes {
    format!("{prefix}{number:08}").into()
}

fn put(key: Bytes, value: Bytes) -> pb::PutRequest {
    pb::PutRequest {
        key,
        value,
        ..Default::default()
    }
}

fn read(key: Bytes, range_end: Bytes, limit: i64) -> pb::RangeRequest {
    pb::RangeRequest {
        key,
        range_end,
        limit,
        ..Default::default()
    }
}

/// A write on the condition that the object is there, which reads it where it is not: as much work
/// for the server as the apiserver's, without the need to know each revision.
fn update(key: Bytes, value: Bytes) -> pb::TxnRequest {
    use pb::request_op::Request;
    let op = |request| pb::RequestOp {
        request: Some(request),
    };
    let compare = pb::Compare {
        result: pb::compare::CompareResult::Greater as i32,
        target: pb::compare::CompareTarget::Mod as i32,
        key: key.clone(),
        target_union: Some(pb::compare::TargetUnion::ModRevision(0)),
        ..Default::default()
    };
    pb::TxnRequest {
        compare: vec![compare],
        failure: vec![op(Request::RequestRange(read(
            key.clone(),
            Bytes::new(),
            0,
        )))],
        success: vec![op(Request::RequestPut(put(key, value)))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_is_mixed_as_its_model_says() {
        let model = Model::of_nodes(5000);
        let workload = Workload::kubernetes(&model, 100, 1);
        let draws = 20_000;
        let mut gets = 0;
        for _ in 0..draws {
            gets += usize::from(workload.next().path == paths::RANGE);
        }
        let asked = model.gets_per_second() + model.writes_per_second();
        let expected = model.gets_per_second() / asked * f64::from(draws);
        assert!(
            (gets as f64 / expected - 1.0).abs() < 0.2,
            "{gets} of {expected}"
        );
        // Keys of one type are there once, though they are written and read.
        let pairs = workload.pairs();
        let pods = pairs
            .iter()
            .filter(|pair| pair.key.windows(6).any(|w| w == b"/pods/"));
        assert_eq!(pods.count(), 100);
    }
}
