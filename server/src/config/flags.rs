//! The flags this server takes, with etcd's names, defaults and meaning. `argv.rs` turns command
//! line and environment into the form clap reads here; `check.rs` turns the result into a
//! [`Config`](super::Config).

use clap::{ArgAction, Parser};
use std::time::Duration;

use super::duration;
use super::urls::{self, Url};

/// URLs of one flag. An alias, so that clap takes the list as one value.
pub type Urls = Vec<Url>;

/// Origins of one flag, likewise.
pub type Origins = Vec<String>;

/// What was asked for, each value checked by itself and not yet against the others.
#[derive(Debug, Parser)]
#[command(
    name = "stoa",
    about = "An etcd v3 server, one core a column",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    after_help = "Flags take one or two dashes, as in etcd. Each can also be set in the \
                  environment: ETCD_ and its name in capitals (ETCD_DATA_DIR); the flag wins.\n\
                  --version prints the versions, --help this page."
)]
pub struct Flags {
    /// Name of this member.
    #[arg(long, default_value = "default")]
    pub name: String,
    /// Directory of all data [default: NAME.stoa]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub data_dir: String,
    /// Directory of the write-ahead log, where it should not lie in the data directory.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub wal_dir: String,
    /// Where to listen for clients: IP addresses or localhost, separated by commas.
    #[arg(long, value_parser = urls::parse_list, value_name = "URLS")]
    pub listen_client_urls: Option<Urls>,
    /// Client URLs that the other members and clients are told.
    #[arg(long, value_parser = urls::parse_list, value_name = "URLS")]
    pub advertise_client_urls: Option<Urls>,
    /// Where to listen for other members.
    #[arg(long, value_parser = urls::parse_list, value_name = "URLS",
          default_value = "http://localhost:2380")]
    pub listen_peer_urls: Urls,
    /// Peer URLs that the other members are told.
    #[arg(long, value_parser = urls::parse_list, value_name = "URLS",
          default_value = "http://localhost:2380")]
    pub initial_advertise_peer_urls: Urls,
    /// Where else to serve /metrics, /health and the like.
    #[arg(
        long,
        value_name = "URLS",
        default_value = "",
        hide_default_value = true
    )]
    pub listen_metrics_urls: String,
    /// Origins whose scripts may read answers: * (all) or URLs, separated by commas.
    #[arg(long, value_parser = urls::parse_origins, value_name = "ORIGINS", default_value = "*")]
    pub cors: Origins,
    /// Names by which the node may be called in the Host header: * (all) or hosts.
    #[arg(long, value_name = "HOSTS", value_delimiter = ',', default_value = "*")]
    pub host_whitelist: Vec<String>,
    /// Whether etcd's calls are served as JSON below /v3/.
    #[arg(long, value_parser = super::argv::go_bool, value_name = "BOOL",
          action = ArgAction::Set, default_value = "true")]
    pub enable_grpc_gateway: bool,
    /// Members of the new cluster, as NAME=URL,NAME=URL [default: this member alone]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub initial_cluster: String,
    /// Whether the cluster is new or existing.
    #[arg(long, value_parser = ["new", "existing"], value_name = "STATE", default_value = "new")]
    pub initial_cluster_state: String,
    /// Token that goes into the ids of a new cluster.
    #[arg(long, value_name = "TOKEN", default_value = "etcd-cluster")]
    pub initial_cluster_token: String,
    /// Bytes of data at which writes are refused; 0 is 2 GiB, a negative number is no limit.
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub quota_backend_bytes: i64,
    /// Most operations in one transaction.
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub max_txn_ops: u32,
    /// Most bytes of one request.
    #[arg(long, value_name = "BYTES", default_value_t = 1_572_864)]
    pub max_request_bytes: u64,
    /// Most streams that one client connection may have open.
    #[arg(long, value_name = "N", default_value_t = u32::MAX)]
    pub max_concurrent_streams: u32,
    /// Applied entries after which a checkpoint is written.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub snapshot_count: u64,
    /// Milliseconds between heartbeats [default: 100, or the tuning profile's].
    #[arg(long, value_name = "MS")]
    pub heartbeat_interval: Option<u64>,
    /// Milliseconds without a leader before an election [default: 1000, or the tuning profile's].
    #[arg(long, value_name = "MS")]
    pub election_timeout: Option<u64>,
    /// How often a quiet watch is told the current revision.
    #[arg(long, value_parser = duration::parse, value_name = "DURATION", default_value = "10m")]
    pub watch_progress_notify_interval: Duration,
    /// Warn of changes that take longer than this to apply.
    #[arg(long, value_parser = duration::parse, value_name = "DURATION", default_value = "100ms")]
    pub warning_apply_duration: Duration,
    /// Warn of requests that take longer than this.
    #[arg(long, value_parser = duration::parse, value_name = "DURATION", default_value = "300ms")]
    pub warning_unary_request_duration: Duration,
    /// Clients that ping more often than this are sent away.
    #[arg(long, value_parser = duration::parse, value_name = "DURATION", default_value = "5s")]
    pub grpc_keepalive_min_time: Duration,
    /// How often a quiet client connection is pinged; 0 is never.
    #[arg(long, value_parser = duration::parse, value_name = "DURATION", default_value = "2h")]
    pub grpc_keepalive_interval: Duration,
    /// How long a pinged client has to answer; 0 is no limit.
    #[arg(long, value_parser = duration::parse, value_name = "DURATION", default_value = "20s")]
    pub grpc_keepalive_timeout: Duration,
    /// What --auto-compaction-retention counts: periodic (time) or revision.
    #[arg(long, value_parser = ["periodic", "revision"], value_name = "MODE",
          default_value = "periodic")]
    pub auto_compaction_mode: String,
    /// How much history to keep: 5m, 1h or hours as a number (periodic), revisions (revision);
    /// 0 keeps everything.
    #[arg(long, value_name = "RETENTION", default_value = "0")]
    pub auto_compaction_retention: String,
    /// Least severe log lines that are written.
    #[arg(long, value_name = "LEVEL", default_value = "info",
          value_parser = ["debug", "info", "warn", "error", "dpanic", "panic", "fatal"])]
    pub log_level: String,
    /// Form of the log lines.
    #[arg(long, value_parser = ["json", "console"], value_name = "FORMAT", default_value = "json")]
    pub log_format: String,
    /// Where log lines go: stderr (default), stdout, or files, separated by commas.
    #[arg(long, value_name = "OUTPUTS", default_value = "default")]
    pub log_outputs: String,
    /// Shards of a new cluster, 1 to 1024 [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub shards: Option<u16>,
    /// Executor threads, 1 to 1024 [default: the CPUs this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub cores: Option<u16>,
    /// Bytes of data kept in memory for reading [default: a quarter of the memory that this process
    /// may use, at most the quota]
    #[arg(long, value_name = "BYTES")]
    pub page_cache_bytes: Option<u64>,
    /// How to treat the disk: the name of a built-in profile or a file [default: found by a probe]
    #[arg(long, value_name = "PROFILE")]
    pub tuning_profile: Option<String>,
}

const _: () = assert!(engine::limits::SHARDS_MAX == 1024);
const _: () = assert!(engine::limits::TXN_OPS_DEFAULT == 128);
const _: () = assert!(engine::limits::REQUEST_BYTES_DEFAULT == 1_572_864);
