//! What a user gets for a whole command line.
#![allow(clippy::unwrap_used)]

use super::{AutoCompaction, ClusterState, Config, LogLevel, LogOutput, Parsed, parse};
use std::time::Duration;

fn try_parse(args: &str) -> Result<Parsed, super::ConfigError> {
    let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
    parse(&args, std::iter::empty())
}

pub(crate) fn config(args: &str) -> Config {
    match try_parse(args) {
        Ok(Parsed::Run(config)) => *config,
        other => panic!("{args}: {other:?}"),
    }
}

#[test]
fn the_defaults_are_those_of_etcd_but_for_the_directory() {
    let c = config("");
    assert_eq!(c.name, "default");
    assert!(c.data_dir.is_absolute() && c.data_dir.ends_with("default.stoa"));
    assert_eq!(c.listen_client_urls[0].as_str(), "http://localhost:2379");
    assert_eq!(c.advertise_client_urls[0].as_str(), "http://localhost:2379");
    assert_eq!(c.listen_peer_urls[0].as_str(), "http://localhost:2380");
    assert_eq!(
        c.initial_cluster.to_string(),
        "default=http://localhost:2380"
    );
    assert_eq!(
        (c.cluster_token.as_str(), c.cluster_state),
        ("etcd-cluster", ClusterState::New)
    );
    assert_eq!(
        (c.member_id.0, c.cluster_id.0),
        (0x8e9e_05c5_2164_694d, 0xcdf8_1819_4e3a_8c32)
    );
    assert_eq!(c.quota_bytes, Some(2 << 30));
    assert_eq!((c.max_txn_ops, c.max_request_bytes), (128, 1_572_864));
    assert_eq!(c.snapshot_count, 10_000);
    assert_eq!(c.timing, None, "left to the tuning profile");
    assert_eq!(c.watch_progress_notify_interval, ms(600_000));
    assert_eq!(c.auto_compaction, AutoCompaction::Off);
    assert_eq!(
        (c.log.level, c.log.outputs.as_slice()),
        (LogLevel::Info, &[LogOutput::Stderr][..])
    );
    assert_eq!((c.shards, c.cores, c.notes.len()), (None, None, 0));
    assert!(c.tuning.is_none());
}

#[test]
fn who_may_ask_over_http_is_told_as_in_etcd() {
    let c = config("");
    let all = ["*".to_owned()];
    assert_eq!((c.cors, c.host_whitelist), (all.to_vec(), all.to_vec()));
    assert!(c.grpc_gateway && config("--enable-grpc-gateway").grpc_gateway);
    let c = config("--cors http://a:1,https://b:2 --host-whitelist a,b --enable-grpc-gateway=f");
    assert_eq!(c.cors, ["http://a:1", "https://b:2"]);
    assert_eq!(c.host_whitelist, ["a", "b"]);
    assert!(!c.grpc_gateway);
    // What real etcd refuses, too.
    for wrong in ["a.example:80", "http://a", "http://a:80/", "*,http://a:80"] {
        assert!(try_parse(&format!("--cors={wrong}")).is_err(), "{wrong}");
    }
    assert!(try_parse("--enable-grpc-gateway=maybe").is_err());
}

#[test]
fn the_name_goes_into_directory_and_cluster() {
    let c = config("--name n1 --initial-advertise-peer-urls http://10.0.0.1:2380");
    assert!(c.data_dir.ends_with("n1.stoa"));
    assert_eq!(c.initial_cluster.to_string(), "n1=http://10.0.0.1:2380");
}

#[test]
fn quota_has_a_default_and_can_be_off() {
    assert_eq!(config("--quota-backend-bytes 1000").quota_bytes, Some(1000));
    assert_eq!(config("--quota-backend-bytes=-1").quota_bytes, None);
    assert_eq!(config("--quota-backend-bytes -1").quota_bytes, None);
    assert_eq!(config("--quota-backend-bytes 9663676416").notes.len(), 1);
}

#[test]
fn retention_is_read_by_its_mode() {
    let periodic =
        |text: &str| config(&format!("--auto-compaction-retention {text}")).auto_compaction;
    assert_eq!(periodic("5m"), AutoCompaction::Periodic(ms(300_000)));
    assert_eq!(periodic("2"), AutoCompaction::Periodic(ms(7_200_000)));
    assert_eq!(periodic("0"), AutoCompaction::Off);
    let revision = config("--auto-compaction-mode revision --auto-compaction-retention 1000");
    assert_eq!(revision.auto_compaction, AutoCompaction::Revision(1000));
}

#[test]
fn what_cannot_be_is_refused_in_one_line_that_says_what_to_do() {
    for (args, why) in [
        ("--election-timeout 400", "at least 5 times"),
        ("--election-timeout 60000", "at most 50000"),
        ("--election-timeout abc", "--election-timeout: \"abc\""),
        ("--heartbeat-interval 0", "--heartbeat-interval is 0"),
        (
            "--initial-cluster-state maybe",
            "\"maybe\" is not one of new, existing",
        ),
        (
            "--auto-compaction-mode revision --auto-compaction-retention 1h",
            "number of revisions",
        ),
        (
            "--auto-compaction-retention soon",
            "\"soon\" is not a duration",
        ),
        ("--auto-compaction-mode x", "not one of periodic, revision"),
        (
            "--listen-client-urls http://127.0.0.1:1",
            "give --advertise-client-urls",
        ),
        (
            "--listen-peer-urls http://name:1",
            "--listen-peer-urls: \"http://name:1\": give an IP",
        ),
        (
            "--listen-peer-urls http://127.0.0.1:2379",
            "already listened on",
        ),
        (
            "--listen-metrics-urls http://127.0.0.1:2379",
            "already listened on",
        ),
        ("--initial-cluster default=http://h:1", "make them the same"),
        (
            "--name a --initial-cluster b=http://localhost:2380",
            "does not name this member",
        ),
        (
            "--initial-cluster default=http://localhost:2380,b=http://h:1",
            "not yet supported",
        ),
        ("--shards 0", "--shards"),
        ("--shards 1025", "--shards"),
        ("--cores x", "--cores"),
        ("--max-txn-ops 0", "at least 1"),
        ("--max-request-bytes 99999999", "fits a log entry"),
        ("--log-level loud", "\"loud\" is not one of debug, info"),
        ("--log-format xml", "not one of json, console"),
        ("--log-outputs default,stdout", "goes with no other"),
        ("--tuning-profile nosuch", "--tuning-profile"),
        (
            "--data-dir d --wal-dir ./d",
            "--wal-dir is the data directory",
        ),
        ("--name=", "needs a name"),
        (
            "--quota-backend-bytes 1e9",
            "--quota-backend-bytes: \"1e9\"",
        ),
        ("--listen-client-urls ftp://a:1", "--listen-client-urls: "),
    ] {
        let error = try_parse(args).unwrap_err().to_string();
        assert!(error.contains(why), "{args}: {error}");
        assert!(!error.contains('\n'), "{args}: {error}");
    }
}

#[test]
fn a_bad_variable_is_named_as_such() {
    let env = [("ETCD_ELECTION_TIMEOUT".to_owned(), "abc".to_owned())];
    let error = parse(&[], env.into_iter()).unwrap_err().to_string();
    assert!(
        error.starts_with("ETCD_ELECTION_TIMEOUT: \"abc\""),
        "{error}"
    );
}

#[test]
fn help_lists_the_flags_and_version_both_versions() {
    let text = |args| match try_parse(args).unwrap() {
        Parsed::Print(text) => text,
        other => panic!("{other:?}"),
    };
    for flag in ["--listen-client-urls", "--shards", "--tuning-profile"] {
        assert!(text("--help").contains(flag));
    }
    let version = text("--version");
    assert!(version.starts_with("etcd Version: 3.7"), "{version}");
    assert!(version.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn log_outputs_may_be_several() {
    let c = config("--log-outputs stdout,/tmp/x.log,stdout");
    assert_eq!(
        c.log.outputs,
        [LogOutput::Stdout, LogOutput::File("/tmp/x.log".into())]
    );
}

#[test]
fn a_profile_is_read_at_once() {
    let c = config("--tuning-profile spinning");
    assert_eq!(c.tuning.unwrap().name, "spinning");
}

#[test]
fn the_documentation_lists_every_flag() {
    use clap::CommandFactory;
    let page = include_str!("../../../docs/flags.md");
    let (acted_on, known) = page
        .split_once("## Flags of etcd that are refused")
        .unwrap();
    let (refused, ignored) = known
        .split_once("## Flags of etcd that change nothing")
        .unwrap();
    for arg in super::flags::Flags::command().get_arguments() {
        let name = arg.get_long().unwrap();
        assert!(
            acted_on.contains(&format!("\n| `--{name}` |")),
            "--{name} is not documented"
        );
    }
    for known in super::known::KNOWN {
        let (part, why) = match known.treatment {
            super::known::Treatment::Ignored(why) => (ignored, why),
            super::known::Treatment::Refused(why) => (refused, why),
        };
        let line = part
            .lines()
            .find(|line| line.contains(&format!("`--{}`", known.name)));
        assert!(
            line.is_some_and(|line| line.contains(why)),
            "--{} is not documented",
            known.name
        );
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Command lines of today, word by word.
const LINES: [&str; 4] = [
    "--name n1 --data-dir d --listen-client-urls http://127.0.0.1:2379,http://[::1]:2379 \
     --advertise-client-urls http://10.0.0.1:2379",
    "--initial-cluster n1=http://10.0.0.1:2380 --name n1 --initial-cluster-token t \
     --initial-advertise-peer-urls http://10.0.0.1:2380",
    "--quota-backend-bytes 8589934592 --auto-compaction-mode periodic \
     --auto-compaction-retention 1h30m --max-txn-ops 128 --shards 4 --cores 2",
    "--grpc-keepalive-interval=1.5h --snapshot-count=5 --log-level=debug \
     --watch-progress-notify-interval=300ms",
];

#[test]
fn mutated_command_lines_are_refused_in_one_line_or_followed() {
    let mut dice = crate::testing::Dice(8);
    let mut followed = 0;
    for case in 0..4_000 {
        let mut words: Vec<String> = LINES[case % 4]
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        for _ in 0..=dice.below(2) {
            let at = dice.below(words.len());
            let changed = dice.mutate(words[at].as_bytes());
            words[at] = String::from_utf8_lossy(&changed).into_owned();
        }
        match parse(&words, std::iter::empty()) {
            Ok(Parsed::Run(config)) => {
                followed += 1;
                assert!(!config.listen_client_urls.is_empty(), "{words:?}");
                assert!(
                    config.cores != Some(0) && config.shards != Some(0),
                    "{words:?}"
                );
            }
            Ok(Parsed::Print(_)) => {}
            Err(error) => {
                let line = crate::fatal::Exit::from(error).line();
                assert!(!line.contains('\n'), "{line}");
            }
        }
    }
    assert!(followed > 100, "{followed}: too wild to test anything");
}

#[test]
fn mutated_variables_are_refused_or_followed() {
    let good = [
        ("ETCD_NAME", "n1"),
        ("ETCD_ELECTION_TIMEOUT", "1000"),
        ("ETCD_LISTEN_CLIENT_URLS", "http://127.0.0.1:2379"),
        ("ETCD_AUTO_COMPACTION_RETENTION", "5m"),
    ];
    let mut dice = crate::testing::Dice(9);
    for _ in 0..2_000 {
        let env: Vec<(String, String)> = good
            .iter()
            .map(|(name, value)| {
                let value = match dice.below(3) {
                    0 => dice.mutate(value.as_bytes()),
                    _ => value.as_bytes().to_vec(),
                };
                let value = String::from_utf8_lossy(&value).into_owned();
                ((*name).to_owned(), value)
            })
            .collect();
        if let Ok(Parsed::Run(config)) = parse(&[], env.clone().into_iter()) {
            assert!(!config.name.is_empty(), "{env:?}");
        }
    }
}
