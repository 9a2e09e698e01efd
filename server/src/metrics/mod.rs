//! What the node counts, and the page that shows it at `/metrics`. Every core bumps counters of
//! its own; any core can render the page.
//!
//! [`Metrics`] is made once by the boot. Core i gets `metrics.core(i)`, an `Arc` to a block that
//! only it writes: no lock and no locked instruction on the way of a request. What belongs to the
//! node as a whole is in [`NodeMetrics`]. Names, types and buckets are those of etcd 3.7, so that
//! its dashboards and alerts work; what etcd has no name for begins with `stoa_`.

pub mod cell;
mod core;
mod grpc;
mod node;
mod page;
mod process;

use std::sync::Arc;

pub use self::core::CoreMetrics;
pub use grpc::{GrpcMetrics, MethodLabels};
pub use node::NodeMetrics;

use crate::config::version;
use page::Page;

/// Everything that is counted.
#[derive(Clone, Debug)]
pub struct Metrics {
    node: Arc<NodeMetrics>,
    cores: Vec<Arc<CoreMetrics>>,
    started_s: f64,
}

impl Metrics {
    /// Zeroes for `cores` cores, which count calls of these gRPC `methods`. `member_id` is this
    /// member's.
    pub fn new(cores: u16, methods: &'static [MethodLabels], member_id: u64) -> Self {
        let core = || Arc::new(CoreMetrics::new(methods));
        Self {
            node: Arc::new(NodeMetrics::new(member_id)),
            cores: (0..cores).map(|_| core()).collect(),
            started_s: process::start_time_s(),
        }
    }

    /// What belongs to the node as a whole.
    pub fn node(&self) -> &Arc<NodeMetrics> {
        &self.node
    }

    /// The block of one core; only this core may write it. None if there is no such core.
    pub fn core(&self, core: u16) -> Option<&Arc<CoreMetrics>> {
        self.cores.get(usize::from(core))
    }

    /// The page in Prometheus' text format (version 0.0.4). Takes some 100 us: values are read
    /// one by one while cores go on counting.
    pub fn render(&self) -> String {
        let mut page = Page::default();
        let cores: Vec<&CoreMetrics> = self.cores.iter().map(Arc::as_ref).collect();
        self.node.render(&mut page);
        core::render(&cores, &mut page);
        grpc::render(cores.iter().map(|core| &core.grpc), &mut page);
        process::render(self.started_s, &mut page);
        let dropped = crate::log::dropped_lines();
        page.counter(
            "stoa_log_lines_dropped_total",
            "Log lines dropped at a full queue.",
            dropped,
        );
        page.labelled_gauge(
            "stoa_build_info",
            "The version of this server; always 1.",
            &[("version", version::OWN), ("etcd_version", version::ETCD)],
            1,
        );
        page.finish()
    }
}

/// The content type of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests;
