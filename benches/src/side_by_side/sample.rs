//! What one load gave on one server in one round, and the figures by which servers are compared.

use loadgen::bench::run::Outcome;
use loadgen::report::Latency;
use serde::Serialize;

/// What one run of one workload gave.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Operations that ended well, of those begun in the measured time.
    pub operations: u64,
    /// How long was measured, seconds.
    pub seconds: f64,
    /// Operations a second.
    pub operations_per_second: f64,
    /// Latencies.
    pub latency_us: Latency,
    /// Server processor time for an operation, microseconds.
    pub server_cpu_us_per_operation: Option<f64>,
    /// The load generator's, likewise.
    pub client_cpu_us_per_operation: f64,
    /// The most resident memory that the server was seen with, bytes.
    pub server_rss_bytes: Option<u64>,
}

impl Sample {
    /// What is kept of an outcome.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Sample {
        let server = outcome.server;
        Sample {
            operations: outcome.operations(),
            seconds: outcome.measured.as_secs_f64(),
            operations_per_second: outcome.per_second(),
            latency_us: Latency::from(&outcome.record.all()),
            server_cpu_us_per_operation: server.map(|s| outcome.each(s.cpu_us)),
            client_cpu_us_per_operation: outcome.each(outcome.client_cpu_us),
            server_rss_bytes: server.map(|s| s.rss_bytes),
        }
    }
}

/// A figure that both sides are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Operations a second.
    Throughput,
    /// Median latency, microseconds.
    P50,
    /// 99th percentile of latency, microseconds.
    P99,
    /// Server processor time for an operation, microseconds.
    ServerCpu,
    /// The client's, likewise.
    ClientCpu,
    /// The server's resident memory, MB.
    Memory,
}

impl Figure {
    /// All, in the order in which they are shown.
    pub const ALL: [Figure; 6] = [
        Figure::Throughput,
        Figure::P50,
        Figure::P99,
        Figure::ServerCpu,
        Figure::ClientCpu,
        Figure::Memory,
    ];

    /// Its name in the JSON.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Figure::Throughput => "operations_per_second",
            Figure::P50 => "latency_p50_us",
            Figure::P99 => "latency_p99_us",
            Figure::ServerCpu => "server_cpu_us_per_operation",
            Figure::ClientCpu => "client_cpu_us_per_operation",
            Figure::Memory => "server_rss_mb",
        }
    }

    /// What it is, without its unit.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Figure::Throughput => "throughput",
            Figure::P50 => "p50",
            Figure::P99 => "p99",
            Figure::ServerCpu => "server CPU",
            Figure::ClientCpu => "client CPU",
            Figure::Memory => "server memory",
        }
    }

    /// What it is, with its unit.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Figure::Throughput => "per second",
            Figure::P50 => "p50, us",
            Figure::P99 => "p99, us",
            Figure::ServerCpu => "server CPU each, us",
            Figure::ClientCpu => "client CPU each, us",
            Figure::Memory => "server RSS, MB",
        }
    }

    /// Whether more of it is better; of all others less is.
    #[must_use]
    pub fn is_more_better(self) -> bool {
        self == Figure::Throughput
    }

    /// It in a sample; none where it was not measured.
    #[must_use]
    pub fn of(self, sample: &Sample) -> Option<f64> {
        match self {
            Figure::Throughput => Some(sample.operations_per_second),
            Figure::P50 => Some(sample.latency_us.p50),
            Figure::P99 => Some(sample.latency_us.p99),
            Figure::ServerCpu => sample.server_cpu_us_per_operation,
            Figure::ClientCpu => Some(sample.client_cpu_us_per_operation),
            Figure::Memory => sample.server_rss_bytes.map(|bytes| bytes as f64 / 1e6),
        }
    }
}
