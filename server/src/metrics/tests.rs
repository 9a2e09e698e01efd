//! The page as Prometheus and etcd's dashboards read it.
#![allow(clippy::unwrap_used)]

use super::{MethodLabels, Metrics};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

static METHODS: [MethodLabels; 2] = [
    MethodLabels {
        service: "etcdserverpb.KV",
        method: "Put",
        kind: "unary",
    },
    MethodLabels {
        service: "etcdserverpb.Watch",
        method: "Watch",
        kind: "bidi_stream",
    },
];

fn metrics() -> Metrics {
    Metrics::new(2, &METHODS, 0x8e9e_05c5_2164_694d)
}

/// Samples by name and labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (
                name.to_owned(),
                value.parse().unwrap_or_else(|_| panic!("{line}")),
            )
        })
        .collect()
}

#[test]
fn cores_add_up_under_the_names_of_etcd() {
    let metrics = metrics();
    metrics.core(0).unwrap().puts.add(3);
    metrics.core(1).unwrap().puts.inc();
    metrics.core(0).unwrap().watchers.add(5);
    metrics.core(1).unwrap().watchers.add(-1);
    metrics.core(1).unwrap().connections.set(7);
    metrics.node().has_leader.set(1);
    assert!(metrics.core(2).is_none());
    let samples = samples(&metrics.render());
    assert_eq!(samples["etcd_mvcc_put_total"], 4.0);
    assert_eq!(samples["etcd_debugging_mvcc_watcher_total"], 4.0);
    assert_eq!(samples["stoa_core_connections{core=\"1\"}"], 7.0);
    assert_eq!(samples["stoa_core_connections{core=\"0\"}"], 0.0);
    assert_eq!(samples["etcd_server_has_leader"], 1.0);
    assert_eq!(
        samples["etcd_server_id{server_id=\"8e9e05c52164694d\"}"],
        1.0
    );
    assert_eq!(
        samples["etcd_cluster_version{cluster_version=\"3.7\"}"],
        1.0
    );
}

#[test]
fn histograms_are_cumulative_with_etcds_buckets() {
    let metrics = metrics();
    let core = |i| metrics.core(i).unwrap();
    core(0).wal_fsync.observe(Duration::from_millis(1));
    core(0).wal_fsync.observe(Duration::from_micros(1001));
    core(1).wal_fsync.observe(Duration::from_millis(300));
    core(1).wal_fsync.observe(Duration::from_secs(60));
    let samples = samples(&metrics.render());
    let name = "etcd_disk_wal_fsync_duration_seconds";
    let bucket = |le: &str| samples[&format!("{name}_bucket{{le=\"{le}\"}}")];
    let bounds = [
        "0.001", "0.002", "0.004", "0.008", "0.016", "0.032", "0.064", "0.128", "0.256", "0.512",
        "1.024", "2.048", "4.096", "8.192", "+Inf",
    ];
    let counts: Vec<f64> = bounds.iter().map(|le| bucket(le)).collect();
    let mut expected = vec![1.0];
    expected.extend([2.0; 8]);
    expected.extend([3.0; 5]);
    expected.push(4.0);
    assert_eq!(counts, expected);
    assert_eq!(samples[&format!("{name}_count")], 4.0);
    assert!((samples[&format!("{name}_sum")] - 60.302_001).abs() < 1e-9);
}

#[test]
fn grpc_calls_are_labelled_as_dashboards_expect() {
    let metrics = metrics();
    let grpc = |i| &metrics.core(i).unwrap().grpc;
    grpc(0).started(0, 1);
    grpc(1).started(0, 1);
    grpc(0).handled(0, 0, 1);
    grpc(1).handled(0, 14, 1);
    grpc(1).handled(0, 99, 1);
    grpc(1).handled(9, 0, 1);
    let samples = samples(&metrics.render());
    let labels = "grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"";
    let handled =
        |code| samples[&format!("grpc_server_handled_total{{grpc_code=\"{code}\",{labels}}}")];
    assert_eq!(
        (handled("OK"), handled("Unavailable"), handled("Unknown")),
        (1.0, 1.0, 1.0)
    );
    let started: f64 = samples
        .iter()
        .filter(|(n, _)| n.starts_with("grpc_server_started_total"))
        .map(|s| s.1)
        .sum();
    assert_eq!(started, 2.0);
    let codes = samples
        .keys()
        .filter(|n| n.contains("handled") && n.contains("Watch"))
        .count();
    assert_eq!(codes, 1);
}

/// What the dashboards and alerts of etcd's mixin read, as far as one node has it.
#[test]
fn the_mixins_names_are_all_there() {
    let text = metrics().render();
    for name in [
        "etcd_server_has_leader",
        "etcd_server_leader_changes_seen_total",
        "etcd_server_proposals_committed_total",
        "etcd_server_proposals_applied_total",
        "etcd_server_proposals_failed_total",
        "etcd_server_proposals_pending",
        "etcd_server_quota_backend_bytes",
        "etcd_mvcc_db_total_size_in_bytes",
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "etcd_disk_wal_fsync_duration_seconds",
        "etcd_disk_backend_commit_duration_seconds",
        "etcd_network_client_grpc_received_bytes_total",
        "etcd_network_client_grpc_sent_bytes_total",
        "grpc_server_started_total",
        "grpc_server_handled_total",
        "process_resident_memory_bytes",
    ] {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
    }
}

#[test]
fn the_page_is_well_formed() {
    let text = metrics().render();
    let mut seen = BTreeSet::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            current = rest.split(' ').next().unwrap().to_owned();
            assert!(seen.insert(current.clone()), "{current} comes twice");
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let (_, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty());
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(name.starts_with(&current), "{line} stands under {current}");
        }
    }
    assert!(text.ends_with('\n'));
    let bytes_of_a_block = std::mem::align_of::<super::CoreMetrics>();
    assert_eq!(bytes_of_a_block, 128);
}
