//! Carries what a core counted into the block of the metrics page that belongs to it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use engine::env::Env;
use engine::shard::core::Core;
use engine::wal::Stage;

use crate::grpc::{Code, Counters, Method};
use crate::metrics::{CoreMetrics, MethodLabels, Metrics};
use crate::runtime::watchdog::StallCounts;

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

/// Has the core's log put the time of each round into the core's histograms.
pub fn time_log<E: Env>(core: &Core<E>, metrics: &Metrics) {
    let Some(block) = metrics.core(core.desk().core.0).cloned() else {
        return;
    };
    let began = Cell::new(Instant::now());
    let Some(lane) = core.lane() else { return };
    lane.observe(Rc::new(move |stage| match stage {
        Stage::RoundBegins => began.set(Instant::now()),
        Stage::RoundEnds { .. } => {
            let took = began.get().elapsed();
            block.wal_fsync.observe(took);
            block.wal_fsync_fine.observe(took);
        }
    }));
}

/// What was published before: the counters there only go up by differences.
#[derive(Default)]
pub struct Published {
    before: RefCell<Vec<u64>>,
    stalls: Option<StallCounts>,
}

/// Turns counts since the start into what was added since the last time. Each count has to come
/// at the same place in every round.
struct Grown<'a> {
    before: &'a mut Vec<u64>,
    at: usize,
}

impl Grown<'_> {
    fn by(&mut self, now: u64) -> u64 {
        if self.at == self.before.len() {
            self.before.push(0);
        }
        let by = now.saturating_sub(self.before[self.at]);
        self.before[self.at] = now;
        self.at += 1;
        by
    }
}

impl Published {
    /// Nothing yet; the watchdog's counts are published, too.
    pub fn new(stalls: StallCounts) -> Self {
        Self {
            before: RefCell::default(),
            stalls: Some(stalls),
        }
    }

    /// Publishes the present state.
    pub async fn publish<E: Env>(&self, core: &Core<E>, metrics: &Metrics, counters: &Counters) {
        let desk = core.desk();
        let Some(block) = metrics.core(desk.core.0) else {
            return;
        };
        {
            let mut before = self.before.borrow_mut();
            let mut grown = Grown {
                before: &mut before,
                at: 0,
            };
            publish_calls(block, counters, &mut grown);
            publish_counts(block, core, &mut grown);
            publish_shards(block, core, &mut grown);
            let stalls = self.stalls.as_ref().map_or(0, |all| all.stalls(desk.core));
            block.watchdog_wakeups.add(grown.by(stalls));
            if desk.core.0 == 0 {
                let checkpoints = grown.by(desk.counts.checkpoints.get());
                metrics.node().checkpoints.add(checkpoints);
            }
        }
        let watch = desk.watching.with(|hub| hub.counts());
        block.watchers.set(watch.watchers as i64);
        block.watch_streams.set(watch.streams as i64);
        block.slow_watchers.set(watch.slow as i64);
        block.pending_events.set(watch.pending_events as i64);
        block.proposals_pending.set(desk.waiting() as i64);
        block.connections.set(counters.connections.get() as i64);
        for ns in desk.counts.take_seals() {
            block.page_commit.observe(Duration::from_nanos(ns));
        }
        if desk.core.0 == 0 {
            publish_node(core, metrics).await;
        }
    }
}

fn publish_calls(block: &CoreMetrics, counters: &Counters, grown: &mut Grown<'_>) {
    let received = grown.by(counters.received_bytes.get());
    block.client_received_bytes.add(received);
    let sent = grown.by(counters.sent_bytes.get());
    block.client_sent_bytes.add(sent);
    for (index, (_, method)) in counters.rows().enumerate() {
        let started = grown.by(method.started.get());
        block.grpc.started(index, started);
        block.requests.add(started);
        let grpc = &block.grpc;
        grpc.message_received(index, grown.by(method.received.get()));
        grpc.message_sent(index, grown.by(method.sent.get()));
        for code in &Code::ALL {
            let ended = grown.by(method.handled(*code));
            grpc.handled(index, *code as u32, ended);
            if *code == Code::ResourceExhausted {
                block.requests_refused.add(ended);
            }
        }
    }
}

fn publish_counts<E: Env>(block: &CoreMetrics, core: &Core<E>, grown: &mut Grown<'_>) {
    let counts = &core.desk().counts;
    for (counter, count) in [
        (&block.puts, &counts.puts),
        (&block.deletes, &counts.deletes),
        (&block.ranges, &counts.ranges),
        (&block.txns, &counts.txns),
        (&block.events, &counts.events),
        (&block.compacted_keys, &counts.compacted),
        (&block.leases_granted, &counts.leases_granted),
        (&block.leases_renewed, &counts.leases_renewed),
        (&block.leases_revoked, &counts.leases_revoked),
        (&block.leases_expired, &counts.leases_expired),
        (&block.batches, &counts.batches),
        (&block.batched_operations, &counts.batched),
        (&block.proposals_failed, &counts.failed),
        (&block.mail_sent, &counts.mail),
    ] {
        counter.add(grown.by(count.get()));
    }
    block.put_bytes.set(counts.put_bytes.get() as i64);
    let logged = core.lane().map_or(0, |lane| lane.stats().bytes);
    block.wal_bytes.set(logged as i64);
}

fn publish_shards<E: Env>(block: &CoreMetrics, core: &Core<E>, grown: &mut Grown<'_>) {
    let (mut keys, mut cached) = (0, 0);
    for shard in core.owned() {
        let store = shard.store.borrow();
        let pages = store.pages.stats();
        keys += store.index.stats().live_keys as i64;
        cached += pages.cached_bytes as i64;
        block.page_hits.add(grown.by(pages.hits));
        block.page_misses.add(grown.by(pages.reads));
    }
    block.keys.set(keys);
    block.page_cache_bytes.set(cached);
}

async fn publish_node<E: Env>(core: &Core<E>, metrics: &Metrics) {
    let node = metrics.node();
    let Ok(status) = core.status().await else {
        return;
    };
    let order = &core.desk().order;
    node.has_leader.set(i64::from(status.leader != 0));
    node.is_leader
        .set(i64::from(status.leader == core.about().member));
    node.proposals_committed.set(status.raft_index as i64);
    node.proposals_applied.set(status.raft_applied_index as i64);
    node.quota_bytes.set(status.quota as i64);
    node.data_bytes.set(status.db_size);
    node.data_in_use_bytes.set(status.db_size_in_use);
    node.current_revision.set(status.revision);
    node.compact_revision.set(order.compacted());
    node.unsettled_revisions.set(order.last() - order.settled());
}
