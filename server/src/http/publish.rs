//! Carries what a core counted into the block of the metrics page that belongs to it.

use std::cell::RefCell;

use engine::env::Env;
use engine::shard::core::Core;

use crate::grpc::{Code, Counters, Method};
use crate::metrics::{MethodLabels, Metrics};

/// The methods counted, in the order of [`Method::ALL`].
pub fn labels() -> &'static [MethodLabels] {
    static LABELS: std::sync::OnceLock<Vec<MethodLabels>> = std::sync::OnceLock::new();
    LABELS.get_or_init(|| {
        let label = |method: &Method| MethodLabels {
            service: method.service(),
            method: method.name(),
            kind: method.kind().label(),
        };
        Method::ALL.iter().map(label).collect()
    })
}

/// What was published before: the counters there only go up by differences.
#[derive(Debug, Default)]
pub struct Published {
    calls: RefCell<Vec<u64>>,
}

impl Published {
    /// Publishes the present state.
    pub async fn publish<E: Env>(&self, core: &Core<E>, metrics: &Metrics, counters: &Counters) {
        let desk = core.desk();
        let Some(block) = metrics.core(desk.core.0) else {
            return;
        };
        self.publish_calls(block, counters);
        let watch = desk.watching.with(|hub| hub.counts());
        block.watchers.set(watch.watchers as i64);
        block.watch_streams.set(watch.streams as i64);
        block.slow_watchers.set(watch.slow as i64);
        block.pending_events.set(watch.pending_events as i64);
        block.proposals_pending.set(desk.waiting() as i64);
        if desk.core.0 == 0 {
            Self::publish_node(core, metrics).await;
        }
    }

    fn publish_calls(&self, block: &crate::metrics::CoreMetrics, counters: &Counters) {
        let mut before = self.calls.borrow_mut();
        let mut at = 0;
        let mut grown = |now: u64| {
            if at == before.len() {
                before.push(0);
            }
            let by = now.saturating_sub(before[at]);
            before[at] = now;
            at += 1;
            by
        };
        block
            .client_received_bytes
            .add(grown(counters.received_bytes.get()));
        block
            .client_sent_bytes
            .add(grown(counters.sent_bytes.get()));
        for (index, (_, method)) in counters.rows().enumerate() {
            block.grpc.started(index, grown(method.started.get()));
            block
                .grpc
                .message_received(index, grown(method.received.get()));
            block.grpc.message_sent(index, grown(method.sent.get()));
            for code in &Code::ALL {
                block
                    .grpc
                    .handled(index, *code as u32, grown(method.handled(*code)));
            }
        }
    }

    async fn publish_node<E: Env>(core: &Core<E>, metrics: &Metrics) {
        let node = metrics.node();
        let Ok(status) = core.status().await else {
            return;
        };
        node.has_leader.set(i64::from(status.leader != 0));
        node.is_leader
            .set(i64::from(status.leader == core.about().member));
        node.proposals_committed.set(status.raft_index as i64);
        node.proposals_applied.set(status.raft_applied_index as i64);
        node.quota_bytes.set(status.quota as i64);
        node.data_bytes.set(status.db_size);
        node.data_in_use_bytes.set(status.db_size_in_use);
        node.current_revision.set(status.revision);
        node.compact_revision.set(core.desk().order.compacted());
        let order = &core.desk().order;
        node.unsettled_revisions.set(order.last() - order.settled());
    }
}
