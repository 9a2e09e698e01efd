//! What the node was asked to be: flags and environment, parsed once into checked types. `main.rs`
//! calls [`parse`]; everything else gets the parts of [`Config`] it needs.

mod argv;
mod check;
pub mod duration;
mod flags;
pub mod identity;
mod known;
pub mod urls;
pub mod version;

use clap::{CommandFactory, FromArgMatches};
use engine::ids::{ClusterId, MemberId};
use std::path::PathBuf;
use std::time::Duration;

pub use identity::InitialCluster;
pub use urls::Url;

/// Why the node cannot start as asked: one line that names the flag and says what to do.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// What to do.
#[derive(Debug)]
pub enum Parsed {
    /// Print this text and leave: `--help` or `--version`.
    Print(String),
    /// Run the node.
    Run(Box<Config>),
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of this member; not empty.
    pub name: String,
    /// Where all data lies; absolute.
    pub data_dir: PathBuf,
    /// Where the log lies, if not in the data directory; absolute.
    pub wal_dir: Option<PathBuf>,
    /// Listeners for clients: each has a [`Url::bind_addr`].
    pub listen_client_urls: Vec<Url>,
    /// What clients are told.
    pub advertise_client_urls: Vec<Url>,
    /// Listeners for other members: each has a [`Url::bind_addr`].
    pub listen_peer_urls: Vec<Url>,
    /// What other members are told; equal to this member's entry in `initial_cluster`.
    pub initial_advertise_peer_urls: Vec<Url>,
    /// Further listeners for `/metrics`, `/health` and the like: each has a [`Url::bind_addr`].
    pub listen_metrics_urls: Vec<Url>,
    /// Origins whose scripts may read answers; `*` is all.
    pub cors: Vec<String>,
    /// Names by which clients may call the node over HTTP/1; `*` is all.
    pub host_whitelist: Vec<String>,
    /// Whether there is a JSON gateway.
    pub grpc_gateway: bool,
    /// The members of a new cluster; this member is one of them.
    pub initial_cluster: InitialCluster,
    /// Whether the cluster is to be made.
    pub cluster_state: ClusterState,
    /// Goes into the ids of a new cluster.
    pub cluster_token: String,
    /// This member's id, by etcd's rule, when the cluster is new.
    pub member_id: MemberId,
    /// The cluster's id, by etcd's rule, when it is new.
    pub cluster_id: ClusterId,
    /// Bytes of data at which writes are refused; none is no limit.
    pub quota_bytes: Option<u64>,
    /// Most operations in each list of one transaction.
    pub max_txn_ops: usize,
    /// Most bytes of one request.
    pub max_request_bytes: usize,
    /// Most streams of one client connection.
    pub max_concurrent_streams: u32,
    /// Applied entries after which a checkpoint is due.
    pub snapshot_count: u64,
    /// How patient members are with each other; none leaves it to the tuning profile.
    pub timing: Option<tuning::Raft>,
    /// Between progress messages on a quiet watch; at least 100 ms.
    pub watch_progress_notify_interval: Duration,
    /// Applying longer than this is worth a warning; zero is never.
    pub warning_apply_duration: Duration,
    /// A request longer than this is worth a warning; zero is never.
    pub warning_unary_request_duration: Duration,
    /// Pings and their bounds on client connections.
    pub keepalive: Keepalive,
    /// What history is dropped by itself.
    pub auto_compaction: AutoCompaction,
    /// What the log says, how, and where to.
    pub log: LogConfig,
    /// Shards of a new cluster; none is one for each core.
    pub shards: Option<u16>,
    /// Executor threads; none is one for each CPU this process may use.
    pub cores: Option<u16>,
    /// Bytes of pages kept in memory; none goes by the machine's memory.
    pub page_cache_bytes: Option<u64>,
    /// Settings of the disk; none leaves the choice to a probe.
    pub tuning: Option<tuning::Profile>,
    /// Warnings to log at start: what was given and changes nothing.
    pub notes: Vec<String>,
}

/// `--initial-cluster-state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// Make the cluster if the data directory is empty.
    New,
    /// The cluster exists; this member joins it or comes back to it.
    Existing,
}

/// gRPC keep-alive on client connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// A client that pings more often is sent away.
    pub min_time: Duration,
    /// Quiet time after which the server pings; zero is never.
    pub interval: Duration,
    /// How long the client has to answer; zero is no limit.
    pub timeout: Duration,
}

/// `--auto-compaction-mode` and `--auto-compaction-retention`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    /// Keep everything.
    Off,
    /// Keep this much time.
    Periodic(Duration),
    /// Keep this many revisions; positive.
    Revision(i64),
}

/// What the log says, how, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The least severe lines written.
    pub level: LogLevel,
    /// Their form.
    pub format: LogFormat,
    /// Where they go; not empty.
    pub outputs: Vec<LogOutput>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            format: LogFormat::Json,
            outputs: vec![LogOutput::Stderr],
        }
    }
}

/// Severity of log lines. etcd's `dpanic`, `panic` and `fatal` count as `Error` here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What an operator wants to read.
    Info,
    /// What may go wrong.
    Warn,
    /// What went wrong.
    Error,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, with etcd's field names.
    Json,
    /// Columns separated by tabs.
    Console,
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// Appended to a file.
    File(PathBuf),
}

/// Reads command line (without the program's name) and environment.
///
/// # Errors
/// One line: what is wrong, with which flag or variable, and what to do.
pub fn parse(
    args: &[String],
    env: impl Iterator<Item = (String, String)>,
) -> Result<Parsed, ConfigError> {
    let settings = match argv::read(args, env)? {
        argv::Request::Help => {
            return Ok(Parsed::Print(
                flags::Flags::command().render_long_help().to_string(),
            ));
        }
        argv::Request::Version => return Ok(Parsed::Print(version::page())),
        argv::Request::Run(settings) => settings,
    };
    let flags = flags::Flags::command()
        .try_get_matches_from(settings.to_argv())
        .and_then(|matches| flags::Flags::from_arg_matches(&matches))
        .map_err(|error| one_line(&error, &settings))?;
    check::check(flags, settings).map(|config| Parsed::Run(Box::new(config)))
}

/// clap's error without its page of hints.
fn one_line(error: &clap::Error, settings: &argv::Settings) -> ConfigError {
    use clap::error::{ContextKind, ContextValue};
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let Some(arg) = text(ContextKind::InvalidArg) else {
        return ConfigError(
            error
                .to_string()
                .lines()
                .next()
                .unwrap_or("bad flags")
                .to_owned(),
        );
    };
    let name = arg
        .trim_start_matches('-')
        .split([' ', '='])
        .next()
        .unwrap_or_default();
    let origin = settings.origin(name);
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let why = match (
        std::error::Error::source(error),
        text(ContextKind::ValidValue),
    ) {
        (Some(source), _) => source.to_string(),
        (None, Some(valid)) => format!("{value:?} is not one of {valid}"),
        (None, None) => format!("{value:?} will not do"),
    };
    match why.contains(&format!("{value:?}")) || value.is_empty() {
        true => ConfigError(format!("{origin}: {why}")),
        false => ConfigError(format!("{origin}: {value:?}: {why}")),
    }
}

#[cfg(test)]
pub(crate) mod tests;
