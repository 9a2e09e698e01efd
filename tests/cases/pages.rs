//! The pages beside gRPC on the client port: metrics that move with what clients do, and health,
//! liveness and readiness as probes of Kubernetes read them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tests::client::{Client, create, pb, run};
use tests::target::{Kind, Target};

const LIMIT: Duration = Duration::from_secs(20);

/// Status and body of a page.
fn page(addr: SocketAddr, path: &str) -> (u16, String) {
    tests::page::page(addr, path).unwrap()
}

/// Samples of the metrics page, labels added up under the bare name.
fn samples(addr: SocketAddr) -> BTreeMap<String, f64> {
    let (status, text) = page(addr, "/metrics");
    assert_eq!(status, 200);
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let name = name.split('{').next().unwrap();
        *samples.entry(name.to_owned()).or_insert(0.0) += value.parse::<f64>().unwrap();
    }
    samples
}

/// Reads the page until each of these has at least its value: a core shows what it counted within
/// half a second.
fn wait_for(addr: SocketAddr, wanted: &[(&str, f64)]) -> BTreeMap<String, f64> {
    let began = Instant::now();
    loop {
        let samples = samples(addr);
        let missing: Vec<_> = wanted
            .iter()
            .filter(|(name, least)| {
                let value = samples.get(*name);
                value.unwrap_or_else(|| panic!("no {name}")) < least
            })
            .collect();
        if missing.is_empty() {
            return samples;
        }
        assert!(began.elapsed() < LIMIT, "never came: {missing:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn work(client: &Client) {
    let lease = pb::LeaseGrantRequest {
        ttl: 600,
        ..Default::default()
    };
    let lease = client.lease_grant(&lease).await.unwrap().id;
    for n in 0..20 {
        client.put_pair(format!("k/{n}"), "value").await.unwrap();
    }
    for n in 0..5 {
        let key = format!("k/{n}").into();
        let delete = pb::DeleteRangeRequest {
            key,
            ..Default::default()
        };
        client.delete_range(&delete).await.unwrap();
    }
    for _ in 0..7 {
        client.get("k/7", "").await.unwrap();
    }
    client.txn(&pb::TxnRequest::default()).await.unwrap();
    let revision = client.get("k", "l").await.unwrap().header.unwrap().revision;
    let compaction = pb::CompactionRequest {
        revision,
        physical: true,
    };
    client.compact(&compaction).await.unwrap();
    let revoke = pb::LeaseRevokeRequest { id: lease };
    client.lease_revoke(&revoke).await.unwrap();
    client.defragment(&pb::DefragmentRequest {}).await.unwrap();
}

#[test]
fn metrics_move_with_what_clients_do() {
    let target = Target::start(Kind::Stoa(2), &[]).unwrap().unwrap();
    let addr = target.addr();
    let before = samples(addr);
    assert_eq!(before["etcd_debugging_mvcc_keys_total"], 0.0);
    run(async {
        let client = Client::connect(addr).await.unwrap();
        let (mut requests, mut responses) = client.watch().await.unwrap();
        let watch = pb::WatchCreateRequest {
            key: "k".into(),
            range_end: "l".into(),
            ..Default::default()
        };
        requests.send(&create(watch)).unwrap();
        responses.next_within(LIMIT).await.unwrap().unwrap();
        work(&client).await;
        let mut events = 0;
        while events < 25 {
            let response = responses.next_within(LIMIT).await.unwrap().unwrap();
            events += response.events.len();
        }
        let after = wait_for(
            addr,
            &[
                ("etcd_mvcc_put_total", 20.0),
                ("etcd_mvcc_delete_total", 5.0),
                ("etcd_mvcc_range_total", 8.0),
                ("etcd_mvcc_txn_total", 1.0),
                ("etcd_debugging_mvcc_keys_total", 15.0),
                ("etcd_debugging_mvcc_events_total", 25.0),
                ("etcd_debugging_mvcc_watcher_total", 1.0),
                ("etcd_debugging_mvcc_watch_stream_total", 1.0),
                ("etcd_debugging_mvcc_current_revision", 26.0),
                ("etcd_debugging_mvcc_compact_revision", 26.0),
                ("etcd_debugging_mvcc_db_compaction_keys_total", 9.0),
                ("etcd_debugging_mvcc_total_put_size_in_bytes", 20.0 * 8.0),
                ("etcd_debugging_lease_granted_total", 1.0),
                ("etcd_debugging_lease_revoked_total", 1.0),
                ("etcd_disk_wal_fsync_duration_seconds_count", 10.0),
                ("etcd_disk_wal_write_bytes_total", 1000.0),
                ("etcd_disk_backend_commit_duration_seconds_count", 1.0),
                ("etcd_mvcc_db_total_size_in_bytes", 1.0),
                ("etcd_mvcc_db_total_size_in_use_in_bytes", 1.0),
                ("etcd_server_has_leader", 1.0),
                ("etcd_server_is_leader", 1.0),
                ("etcd_server_proposals_committed_total", 1.0),
                ("etcd_server_proposals_applied_total", 1.0),
                ("etcd_server_quota_backend_bytes", 1.0),
                ("etcd_network_client_grpc_received_bytes_total", 100.0),
                ("etcd_network_client_grpc_sent_bytes_total", 100.0),
                ("grpc_server_started_total", 30.0),
                ("grpc_server_handled_total", 30.0),
                ("process_resident_memory_bytes", 1e6),
                ("stoa_core_batches_total", 10.0),
                ("stoa_core_batched_operations_total", 25.0),
                ("stoa_core_connections", 1.0),
                ("stoa_core_requests_total", 30.0),
                ("stoa_checkpoints_total", 1.0),
            ],
        );
        let puts = after["etcd_mvcc_put_total"] - before["etcd_mvcc_put_total"];
        assert_eq!(puts, 20.0, "each put counts once");
        assert_eq!(after["etcd_debugging_mvcc_keys_total"], 15.0);
        assert_eq!(after["etcd_server_proposals_failed_total"], 0.0);
    });
}

#[test]
fn an_alarm_makes_a_node_unhealthy_and_leaves_it_ready() {
    let target = Target::start(Kind::Stoa(2), &[]).unwrap().unwrap();
    let addr = target.addr();
    let healthy = r#"{"health":"true","reason":""}"#;
    assert_eq!(page(addr, "/health"), (200, healthy.to_owned()));
    for path in ["/livez", "/readyz", "/readyz/linearizable_read"] {
        assert_eq!(page(addr, path), (200, "ok\n".to_owned()), "{path}");
    }
    let (_, checks) = page(addr, "/readyz?verbose");
    for check in ["data_corruption", "serializable_read", "linearizable_read"] {
        assert!(checks.contains(&format!("[+]{check} ok\n")), "{checks}");
    }
    let alarm = |action| pb::AlarmRequest {
        action,
        alarm: 1,
        ..Default::default()
    };
    run(async {
        let client = Client::connect(addr).await.unwrap();
        client.alarm(&alarm(1)).await.unwrap();
        let sick = r#"{"health":"false","reason":"ALARM NOSPACE"}"#;
        assert_eq!(page(addr, "/health"), (503, sick.to_owned()));
        assert_eq!(page(addr, "/health?exclude=NOSPACE").0, 200);
        assert_eq!(page(addr, "/livez").0, 200);
        assert_eq!(page(addr, "/readyz").0, 200);
        client.alarm(&alarm(2)).await.unwrap();
        assert_eq!(page(addr, "/health").0, 200);
    });
    assert_eq!(page(addr, "/nothing").0, 404);
    let samples = samples(addr);
    assert_eq!(samples["etcd_server_health_success"], 3.0);
    assert_eq!(samples["etcd_server_health_failures"], 1.0);
}

#[test]
fn a_node_says_how_it_treats_the_disk_and_keeps_to_it() {
    let mut target = Target::start(Kind::Stoa(2), &[]).unwrap().unwrap();
    let kept = target.data_dir().join("TUNING.toml");
    let text = std::fs::read_to_string(&kept).unwrap();
    assert!(text.contains("durable write takes"), "{text}");
    let log = target.process().log_text();
    let line = log
        .lines()
        .find(|line| line.contains("\"starting\""))
        .unwrap();
    for said in ["cores", "profile", "durable write takes", "durable-writes"] {
        assert!(line.contains(said), "{said} in {line}");
    }
    target.stop().unwrap();
    std::fs::write(&kept, text.replacen("name = \"", "name = \"my-", 1)).unwrap();
    target.restart().unwrap();
    let log = target.process().log_text();
    assert!(log.contains("\"profile\":\"my-"), "{log}");
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        client.put_pair("k", "v").await.unwrap();
    });
}

#[test]
fn variables_are_shown_as_etcd_shows_them() {
    for kind in [Kind::Etcd, Kind::Stoa(2)] {
        let is_stoa = kind != Kind::Etcd;
        let Some(target) = Target::start(kind, &[]).unwrap() else {
            return;
        };
        let (status, text) = page(target.addr(), "/debug/vars");
        assert_eq!(status, 200);
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        let command = all["cmdline"].as_array().unwrap();
        assert!(command.iter().any(|part| part == "--data-dir"), "{text}");
        assert!(all["file_descriptor_limit"].as_u64().unwrap() > 0);
        let raft = &all["raft.status"];
        assert_eq!(raft["raftState"], "StateLeader", "{raft}");
        assert_eq!(raft["id"], raft["lead"]);
        assert!(raft["term"].as_u64().unwrap() > 0 && raft["commit"].as_u64().unwrap() > 0);
        // Go's heap.
        assert_eq!(all["memstats"].is_object(), !is_stoa);
    }
}

/// Metrics of etcd 3.5 that Stoa has none of, and why.
const NO_SUCH_METRICS: &[(&str, &str)] = &[
    ("go_", "there is no Go in it"),
    ("promhttp_", "of Go's library"),
    ("process_virtual_memory_max_bytes", "of Go's library"),
    ("etcd_server_go_version", "there is no Go in it"),
    ("etcd_grpc_proxy_", "there is no proxy"),
    ("etcd_debugging_store_", "of the v2 API"),
    (
        "etcd_debugging_disk_backend_commit_",
        "steps of a commit of bbolt",
    ),
    ("etcd_debugging_snap_", "files of raft snapshots"),
    ("etcd_snap_", "files of raft snapshots"),
    (
        "etcd_mvcc_db_open_read_transactions",
        "reads take no transaction of a file",
    ),
    (
        "etcd_disk_backend_snapshot_duration_seconds",
        "streamed, not written",
    ),
    (
        "etcd_disk_backend_defrag_duration_seconds",
        "space is given back all the time",
    ),
    ("etcd_mvcc_hash_duration_seconds", "nothing hashes a file"),
    ("etcd_mvcc_hash_rev_duration_seconds", "not timed"),
    ("etcd_server_apply_duration_seconds", "not timed"),
    (
        "etcd_server_client_requests_total",
        "counted by clients' versions, which few send",
    ),
    ("etcd_server_learner_promote_successes", "no learners yet"),
    ("etcd_debugging_lease_ttl_total", "not kept"),
    (
        "etcd_debugging_mvcc_db_compaction_pause_",
        "a compaction pauses nobody",
    ),
    (
        "etcd_debugging_mvcc_db_compaction_total_duration_",
        "not timed",
    ),
    (
        "etcd_debugging_mvcc_index_compaction_pause_",
        "a compaction pauses nobody",
    ),
    (
        "etcd_debugging_mvcc_range_total",
        "was replaced by etcd_mvcc_range_total in 3.4",
    ),
];

/// Names and types on the metrics page.
fn types(addr: SocketAddr) -> Vec<String> {
    let text = page(addr, "/metrics").1;
    let lines = text.lines().filter_map(|l| l.strip_prefix("# TYPE "));
    lines.map(str::to_owned).collect()
}

#[test]
fn metrics_have_the_names_and_types_of_etcds() {
    let Some(etcd) = Target::start(Kind::Etcd, &[]).unwrap() else {
        return;
    };
    let stoa = Target::start(Kind::Stoa(1), &[]).unwrap().unwrap();
    let (theirs, ours) = (types(etcd.addr()), types(stoa.addr()));
    for wanted in &theirs {
        let excused = NO_SUCH_METRICS
            .iter()
            .any(|(name, _)| wanted.starts_with(name));
        assert_ne!(ours.contains(wanted), excused, "{wanted}");
    }
    assert!(theirs.len() > 50, "{theirs:?}");
}
