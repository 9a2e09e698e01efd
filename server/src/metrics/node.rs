//! What belongs to the node as a whole: set now and then by whoever knows, mostly core 0.

use super::cell::{Counter, Gauge};
use super::page::Page;
use crate::config::version;

/// Declares the block and how it is shown.
macro_rules! node_metrics {
    ($($(#[doc = $doc:literal])+ $field:ident: $kind:ident => $show:ident $name:literal;)+) => {
        /// The node's gauges. Those that go up only have one writer, the principal's core.
        #[derive(Debug)]
        pub struct NodeMetrics {
            $($(#[doc = $doc])+ pub $field: $kind,)+
            member_id: u64,
        }

        impl NodeMetrics {
            /// Zeroes of the member with this id.
            pub fn new(member_id: u64) -> Self {
                Self { $($field: $kind::default(),)+ member_id }
            }

            fn render_fields(&self, page: &mut Page) {
                $(page.$show($name, concat!($($doc),+), self.$field.get());)+
            }
        }
    };
}

node_metrics! {
    /// Whether a leader is known: 1 or 0.
    has_leader: Gauge => gauge "etcd_server_has_leader";
    /// Whether this member leads: 1 or 0.
    is_leader: Gauge => gauge "etcd_server_is_leader";
    /// Whether this member is a learner: 1 or 0.
    is_learner: Gauge => gauge "etcd_server_is_learner";
    /// Changes of leader seen.
    leader_changes: Counter => counter "etcd_server_leader_changes_seen_total";
    /// Heartbeats that could not be sent in time.
    heartbeat_failures: Counter => counter "etcd_server_heartbeat_send_failures_total";
    /// Changes committed, all groups together.
    proposals_committed: Gauge => gauge "etcd_server_proposals_committed_total";
    /// Changes applied, all groups together.
    proposals_applied: Gauge => gauge "etcd_server_proposals_applied_total";
    /// Bytes of data at which writes are refused; 0 is no limit.
    quota_bytes: Gauge => gauge "etcd_server_quota_backend_bytes";
    /// Bytes of data as the quota counts them.
    data_bytes: Gauge => gauge "etcd_mvcc_db_total_size_in_bytes";
    /// Bytes of data that live keys and kept history need.
    data_in_use_bytes: Gauge => gauge "etcd_mvcc_db_total_size_in_use_in_bytes";
    /// The settled revision.
    current_revision: Gauge => gauge "etcd_debugging_mvcc_current_revision";
    /// The revision below which history is gone.
    compact_revision: Gauge => gauge "etcd_debugging_mvcc_compact_revision";
    /// When compaction last ended, Unix seconds.
    last_compaction_s: Gauge => gauge "etcd_debugging_mvcc_db_compaction_last";
    /// How often the rules of access have changed.
    auth_revision: Gauge => gauge "etcd_debugging_auth_revision";
    /// Health checks that passed.
    health_success: Counter => counter "etcd_server_health_success";
    /// Health checks that failed.
    health_failures: Counter => counter "etcd_server_health_failures";
    /// Snapshots being applied now.
    snapshots_applying: Gauge => gauge "etcd_server_snapshot_apply_in_progress_total";
    /// Defragmentations under way.
    defrags: Gauge => gauge "etcd_disk_defrag_inflight";
    /// Revisions given out and not settled.
    unsettled_revisions: Gauge => gauge "stoa_unsettled_revisions";
    /// The epoch of the principal.
    epoch: Gauge => gauge "stoa_epoch";
    /// Checkpoints written.
    checkpoints: Counter => counter "stoa_checkpoints_total";
}

impl NodeMetrics {
    /// Writes everything.
    pub fn render(&self, page: &mut Page) {
        self.render_fields(page);
        let cluster = version::ETCD_CLUSTER
            .rsplit_once('.')
            .map_or("", |(minor, _)| minor);
        let id = format!("{:x}", self.member_id);
        let facts = [
            (
                "etcd_cluster_version",
                "Version of the cluster; always 1.",
                "cluster_version",
                cluster,
            ),
            (
                "etcd_server_version",
                "Version served; always 1.",
                "server_version",
                version::ETCD,
            ),
            (
                "etcd_server_id",
                "Id of this member; always 1.",
                "server_id",
                &id,
            ),
        ];
        for (name, help, label, value) in facts {
            page.labelled_gauge(name, help, &[(label, value)], 1);
        }
    }
}
