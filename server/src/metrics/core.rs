//! What each core counts for itself. The page adds the cores up under etcd's names; what is worth
//! seeing core by core is shown so under `stoa_core_`.

use super::cell::{Counter, DISK_BOUNDS, FINE_BOUNDS, Gauge, Histogram, Snapshot};
use super::grpc::{GrpcMetrics, MethodLabels};
use super::page::Page;

/// Declares the block, and how each field is shown: `sum` over the cores under one name, or
/// `each` core by itself with a label `core`.
macro_rules! core_metrics {
    ($(
        $(#[doc = $doc:literal])+
        $field:ident: $kind:ident $(($bounds:ident))? => $show:ident $name:literal;
    )+) => {
        /// One core's counters. Only this core writes them, any may read. Aligned, so that no two
        /// cores share a cache line.
        #[derive(Debug)]
        #[repr(align(128))]
        pub struct CoreMetrics {
            $($(#[doc = $doc])+ pub $field: $kind,)+
            /// gRPC calls by method and code.
            pub grpc: GrpcMetrics,
        }

        impl CoreMetrics {
            /// Zeroes, counting calls of these gRPC methods.
            pub fn new(methods: &'static [MethodLabels]) -> Self {
                Self {
                    $($field: core_metrics!(@new $kind $($bounds)?),)+
                    grpc: GrpcMetrics::new(methods),
                }
            }
        }

        /// Writes all but the gRPC calls.
        pub fn render(cores: &[&CoreMetrics], page: &mut Page) {
            $(core_metrics!(
                @$show $kind, page, cores, $field, $name, concat!($($doc),+) $(, $bounds)?
            );)+
        }
    };
    (@new Histogram $bounds:ident) => { Histogram::new(&$bounds) };
    (@new $kind:ident) => { $kind::default() };
    (@sum Counter, $page:ident, $cores:ident, $field:ident, $name:literal, $help:expr) => {
        $page.counter($name, $help, $cores.iter().map(|core| core.$field.get()).sum());
    };
    (@sum Gauge, $page:ident, $cores:ident, $field:ident, $name:literal, $help:expr) => {
        let sum: i64 = $cores.iter().map(|core| core.$field.get()).sum();
        $page.gauge($name, $help, sum);
    };
    (
        @sum Histogram, $page:ident, $cores:ident, $field:ident, $name:literal, $help:expr,
        $bounds:ident
    ) => {
        let mut all = Snapshot::empty(&$bounds);
        $cores.iter().for_each(|core| all.merge(&core.$field.snapshot()));
        $page.histogram($name, $help, &all);
    };
    (@each $kind:ident, $page:ident, $cores:ident, $field:ident, $name:literal, $help:expr) => {
        $page.head($name, $help, core_metrics!(@word $kind));
        for (i, core) in $cores.iter().enumerate() {
            $page.sample($name, &[("core", &i.to_string())], core.$field.get());
        }
    };
    (@word Counter) => { "counter" };
    (@word Gauge) => { "gauge" };
}

core_metrics! {
    /// Puts applied on this member.
    puts: Counter => sum "etcd_mvcc_put_total";
    /// Deletes applied on this member.
    deletes: Counter => sum "etcd_mvcc_delete_total";
    /// Ranges answered by this member.
    ranges: Counter => sum "etcd_mvcc_range_total";
    /// Transactions applied on this member.
    txns: Counter => sum "etcd_mvcc_txn_total";
    /// Keys that exist now.
    keys: Gauge => sum "etcd_debugging_mvcc_keys_total";
    /// Events sent to watchers.
    events: Counter => sum "etcd_debugging_mvcc_events_total";
    /// Events waiting to be sent to watchers.
    pending_events: Gauge => sum "etcd_debugging_mvcc_pending_events_total";
    /// Bytes of keys and values put.
    put_bytes: Gauge => sum "etcd_debugging_mvcc_total_put_size_in_bytes";
    /// Versions of keys forgotten by compaction.
    compacted_keys: Counter => sum "etcd_debugging_mvcc_db_compaction_keys_total";
    /// Watchers.
    watchers: Gauge => sum "etcd_debugging_mvcc_watcher_total";
    /// Watch streams.
    watch_streams: Gauge => sum "etcd_debugging_mvcc_watch_stream_total";
    /// Watchers that read history because they fell behind.
    slow_watchers: Gauge => sum "etcd_debugging_mvcc_slow_watcher_total";
    /// Leases granted.
    leases_granted: Counter => sum "etcd_debugging_lease_granted_total";
    /// Leases revoked.
    leases_revoked: Counter => sum "etcd_debugging_lease_revoked_total";
    /// Leases renewed.
    leases_renewed: Counter => sum "etcd_debugging_lease_renewed_total";
    /// Leases that expired.
    leases_expired: Counter => sum "etcd_debugging_server_lease_expired_total";
    /// Changes that failed.
    proposals_failed: Counter => sum "etcd_server_proposals_failed_total";
    /// Changes waiting to be committed.
    proposals_pending: Gauge => sum "etcd_server_proposals_pending";
    /// Changes that took longer to apply than --warning-apply-duration.
    slow_applies: Counter => sum "etcd_server_slow_apply_total";
    /// Reads whose confirmation of leadership was slow.
    slow_read_indexes: Counter => sum "etcd_server_slow_read_indexes_total";
    /// Reads whose confirmation of leadership failed.
    read_indexes_failed: Counter => sum "etcd_server_read_indexes_failed_total";
    /// Seconds to make a batch of the write-ahead log durable.
    wal_fsync: Histogram(DISK_BOUNDS) => sum "etcd_disk_wal_fsync_duration_seconds";
    /// Bytes written to the write-ahead log.
    wal_bytes: Gauge => sum "etcd_disk_wal_write_bytes_total";
    /// Seconds to seal staged changes into pages: what comes nearest to a backend commit.
    page_commit: Histogram(DISK_BOUNDS) => sum "etcd_disk_backend_commit_duration_seconds";
    /// Seconds to make a batch of the write-ahead log durable, in finer steps.
    wal_fsync_fine: Histogram(FINE_BOUNDS) => sum "stoa_wal_sync_duration_seconds";
    /// Bytes received from clients.
    client_received_bytes: Counter => sum "etcd_network_client_grpc_received_bytes_total";
    /// Bytes sent to clients.
    client_sent_bytes: Counter => sum "etcd_network_client_grpc_sent_bytes_total";
    /// Client connections open on this core.
    connections: Gauge => each "stoa_core_connections";
    /// Requests taken in on this core.
    requests: Counter => each "stoa_core_requests_total";
    /// Requests refused because a queue was full.
    requests_refused: Counter => each "stoa_core_requests_refused_total";
    /// Messages sent to other cores.
    mail_sent: Counter => each "stoa_core_mail_sent_total";
    /// Raft entries proposed; the operations they carry are in stoa_core_batched_operations_total.
    batches: Counter => each "stoa_core_batches_total";
    /// Operations carried by proposed Raft entries.
    batched_operations: Counter => each "stoa_core_batched_operations_total";
    /// Page reads answered from memory.
    page_hits: Counter => each "stoa_core_page_hits_total";
    /// Page reads that went to the disk.
    page_misses: Counter => each "stoa_core_page_misses_total";
    /// Bytes of pages in memory.
    page_cache_bytes: Gauge => each "stoa_core_page_cache_bytes";
    /// Times the watchdog woke this core because it had stopped turning.
    watchdog_wakeups: Counter => each "stoa_core_watchdog_wakeups_total";
}
