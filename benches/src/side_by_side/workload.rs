//! What is asked of both servers. Sizes follow etcd's own published load: keys of 32 bytes and
//! values of 256. Read by `load` and `report`.

use bytes::{Bytes, BytesMut};
use loadgen::client::frame;
use proto::etcdserverpb as pb;

/// Bytes of every value.
pub const VALUE_BYTES: usize = 256;
/// Keys over which puts and gets go round.
pub const KEYS: usize = 10_000;
/// Keys that one range answers.
pub const RANGE_KEYS: usize = 1000;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Put over [`KEYS`] keys.
    Put,
    /// Linearizable get of one key.
    Get,
    /// Put if the key's mod revision is the one this client wrote last.
    CompareAndPut,
    /// Linearizable range of [`RANGE_KEYS`] keys with their values.
    Range,
    /// Puts by a few clients, counted at 64 watchers: an operation is one delivered event.
    Watch,
}

/// One measured load.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// As named on the command line.
    pub name: &'static str,
    /// What every client asks.
    pub asks: Asks,
    /// Connections.
    pub connections: usize,
    /// Clients on each connection, each with one request in flight.
    pub clients: usize,
    /// What Stoa has to reach against etcd.
    pub bars: &'static [Bar],
}

/// A figure that both sides are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Operations a second: Stoa / etcd has to be at least the bar.
    Throughput,
    /// Median latency: Stoa / etcd has to be at most the bar.
    P50,
    /// 99th percentile of latency: at most the bar.
    P99,
    /// Server processor time for an operation: at most the bar.
    ServerCpu,
}

/// A ratio to reach, Stoa / etcd.
#[derive(Clone, Copy, Debug)]
pub struct Bar(pub Figure, pub f64);

/// All workloads, in the order in which they run.
pub const ALL: &[Workload] = &[
    Workload {
        name: "put-1",
        asks: Asks::Put,
        connections: 1,
        clients: 1,
        bars: &[Bar(Figure::P50, 1.0)],
    },
    Workload {
        name: "put-64",
        asks: Asks::Put,
        connections: 8,
        clients: 8,
        bars: &[
            Bar(Figure::Throughput, 2.0),
            Bar(Figure::P99, 0.5),
            Bar(Figure::ServerCpu, 0.25),
        ],
    },
    Workload {
        name: "put-512",
        asks: Asks::Put,
        connections: 32,
        clients: 16,
        bars: &[Bar(Figure::Throughput, 2.0), Bar(Figure::P99, 0.5)],
    },
    Workload {
        name: "get-64",
        asks: Asks::Get,
        connections: 8,
        clients: 8,
        bars: &[Bar(Figure::ServerCpu, 0.2)],
    },
    Workload {
        name: "txn-64",
        asks: Asks::CompareAndPut,
        connections: 8,
        clients: 8,
        bars: &[],
    },
    Workload {
        name: "range-1000",
        asks: Asks::Range,
        connections: 4,
        clients: 1,
        bars: &[Bar(Figure::ServerCpu, 0.125)],
    },
    Workload {
        name: "watch-64",
        asks: Asks::Watch,
        connections: 8,
        clients: 8,
        bars: &[],
    },
];

/// The `n`th key of the round.
#[must_use]
pub fn key(n: usize) -> Bytes {
    format!("/bench/key/{:021}", n % KEYS).into()
}

/// The key that only client `n` writes, for compare-and-put.
#[must_use]
pub fn own_key(n: usize) -> Bytes {
    format!("/bench/own/{n:021}").into()
}

/// A value that does not compress to nothing.
#[must_use]
pub fn value(n: usize) -> Bytes {
    let mut state = n as u64 | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..VALUE_BYTES).map(|_| next()).collect()
}

/// One put frame for each key. Also what fills the store before reads.
#[must_use]
pub fn put_frames() -> Vec<Bytes> {
    let mut buffer = BytesMut::with_capacity(KEYS * (VALUE_BYTES + 64));
    (0..KEYS)
        .map(|n| {
            let put = pb::PutRequest {
                key: key(n),
                value: value(n),
                ..Default::default()
            };
            frame(&mut buffer, &put)
        })
        .collect()
}

/// One get frame for each key.
#[must_use]
pub fn get_frames() -> Vec<Bytes> {
    let mut buffer = BytesMut::with_capacity(KEYS * 64);
    (0..KEYS)
        .map(|n| {
            frame(
                &mut buffer,
                &pb::RangeRequest {
                    key: key(n),
                    ..Default::default()
                },
            )
        })
        .collect()
}

/// Ranges of [`RANGE_KEYS`] keys, beginning at different keys.
#[must_use]
pub fn range_frames() -> Vec<Bytes> {
    let mut buffer = BytesMut::new();
    (0..KEYS - RANGE_KEYS)
        .step_by(RANGE_KEYS / 4)
        .map(|n| {
            let (key, range_end) = (key(n), key(n + RANGE_KEYS));
            frame(
                &mut buffer,
                &pb::RangeRequest {
                    key,
                    range_end,
                    ..Default::default()
                },
            )
        })
        .collect()
}

/// A compare-and-put: only if `key` is still at `mod_revision`.
#[must_use]
pub fn compare_and_put(key: &Bytes, value: &Bytes, mod_revision: i64) -> pb::TxnRequest {
    let put = pb::PutRequest {
        key: key.clone(),
        value: value.clone(),
        ..Default::default()
    };
    pb::TxnRequest {
        compare: vec![pb::Compare {
            result: pb::compare::CompareResult::Equal.into(),
            target: pb::compare::CompareTarget::Mod.into(),
            key: key.clone(),
            target_union: Some(pb::compare::TargetUnion::ModRevision(mod_revision)),
            ..Default::default()
        }],
        success: vec![pb::RequestOp {
            request: Some(pb::request_op::Request::RequestPut(put)),
        }],
        failure: Vec::new(),
    }
}
