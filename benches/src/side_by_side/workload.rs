//! What is asked of both servers, and what Stoa has to reach. Sizes follow etcd's own published
//! load: keys of 32 bytes and values of 256. Read by `run`, `results` and `show`.

use std::time::Duration;

use loadgen::bench::keys::Space;
use loadgen::bench::load::{Load, Mix, Operation};
use loadgen::bench::schedule::Schedule;

use super::disk::Disk;
use super::sample::Figure;

/// Bytes of every value.
pub const VALUE_BYTES: usize = 256;
/// Keys over which puts and reads go round.
pub const KEYS: u64 = 10_000;
/// Keys that one range answers.
pub const RANGE_KEYS: u64 = 1000;

/// One measured load.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// As named on the command line.
    pub name: &'static str,
    /// In words.
    pub about: &'static str,
    /// What every client asks.
    pub operation: Operation,
    /// Connections.
    pub conns: usize,
    /// Clients, each with one request in flight; those of one connection share it.
    pub clients: usize,
    /// What Stoa has to reach against etcd.
    pub bars: &'static [Bar],
}

/// A ratio to reach, Stoa / etcd: at least or at most so much, as the figure has it.
#[derive(Clone, Copy, Debug)]
pub struct Bar(pub Disk, pub Figure, pub f64);

/// All workloads, in the order in which they run.
pub const ALL: &[Workload] = &[
    Workload {
        name: "put-1",
        about: "puts of 1 client",
        operation: Operation::Put,
        conns: 1,
        clients: 1,
        bars: &[Bar(Disk::Plain, Figure::P50, 1.0)],
    },
    Workload {
        name: "put-64",
        about: "puts of 64 clients",
        operation: Operation::Put,
        conns: 8,
        clients: 64,
        bars: &[
            Bar(Disk::Plain, Figure::Throughput, 2.0),
            Bar(Disk::Plain, Figure::P99, 0.5),
            Bar(Disk::Plain, Figure::ServerCpu, 0.25),
            Bar(Disk::Throttled, Figure::Throughput, 3.0),
        ],
    },
    Workload {
        name: "put-512",
        about: "puts of 512 clients",
        operation: Operation::Put,
        conns: 32,
        clients: 512,
        bars: &[
            Bar(Disk::Plain, Figure::Throughput, 2.0),
            Bar(Disk::Plain, Figure::P99, 0.5),
        ],
    },
    Workload {
        name: "get-64",
        about: "linearizable gets of 64 clients",
        operation: Operation::Get,
        conns: 8,
        clients: 64,
        bars: &[Bar(Disk::Plain, Figure::ServerCpu, 0.2)],
    },
    Workload {
        name: "txn-64",
        about: "puts of 64 clients if nobody has changed the key, in a transaction",
        operation: Operation::CompareAndPut,
        conns: 8,
        clients: 64,
        bars: &[],
    },
    Workload {
        name: "range-1000",
        about: "linearizable ranges of 1000 keys by 4 clients",
        operation: Operation::Range,
        conns: 4,
        clients: 4,
        bars: &[Bar(Disk::Plain, Figure::ServerCpu, 0.125)],
    },
    Workload {
        name: "watch-64",
        about: "events told to 64 watchers of what 8 clients put",
        operation: Operation::WatchFanout,
        conns: 8,
        clients: 8,
        bars: &[],
    },
];

impl Workload {
    /// The bars on `disk`.
    pub fn bars_on(&self, disk: Disk) -> impl Iterator<Item = Bar> + '_ {
        self.bars.iter().copied().filter(move |bar| bar.0 == disk)
    }

    /// Connections and clients in words.
    #[must_use]
    pub fn clients_text(&self) -> String {
        let each = self.clients / self.conns;
        format!(
            "{} on {} connections, {each} on each",
            self.clients, self.conns
        )
    }

    /// It as a load for `duration` after `warmup`.
    #[must_use]
    pub fn load(&self, warmup: Duration, duration: Duration, seed: u64) -> Load {
        Load {
            mix: Mix(vec![(self.operation, 1)]),
            schedule: Schedule::Closed,
            clients: self.clients,
            conns: self.conns,
            duration,
            warmup,
            value_size: VALUE_BYTES,
            keys: KEYS,
            key_size: 32,
            space: Space::Sequential,
            range_keys: RANGE_KEYS,
            txn_keys: 1,
            watchers: 64,
            watches_per_stream: 1,
            lease_ttl: 2,
            seed,
            check: false,
        }
    }
}

/// The workloads for `disk`: those named in `only`, else all on a plain disk and the puts on
/// others, where nothing but writes depends on the disk.
#[must_use]
pub fn chosen(disk: Disk, only: &[String]) -> Vec<&'static Workload> {
    let is_chosen = |w: &&Workload| {
        if only.is_empty() {
            disk == Disk::Plain || w.operation == Operation::Put
        } else {
            only.iter().any(|name| name == w.name)
        }
    };
    ALL.iter().filter(is_chosen).collect()
}

/// Reads the name of a workload; for clap.
///
/// # Errors
/// A text that says which there are.
pub fn named(text: &str) -> Result<String, String> {
    if ALL.iter().any(|w| w.name == text) {
        return Ok(text.to_owned());
    }
    let names: Vec<&str> = ALL.iter().map(|w| w.name).collect();
    Err(format!("there are {}", names.join(", ")))
}
