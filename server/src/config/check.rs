//! Flags checked against each other and turned into a [`Config`]. Called once, by
//! [`parse`](super::parse).

use engine::limits;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tuning::Raft;

use super::argv::Settings;
use super::flags::Flags;
use super::identity::{self, InitialCluster};
use super::urls::{self, Url};
use super::{
    AutoCompaction, ClusterState, Config, ConfigError, Keepalive, LogConfig, LogFormat, LogLevel,
    LogOutput, duration,
};

/// A quota over this earns a warning in etcd, too.
const QUOTA_BYTES_ADVISED: i64 = 8 << 30;
/// One value has to fit one log entry, with room for what the entry says about it.
const REQUEST_BYTES_MAX: u64 = limits::BATCH_BYTES_MAX as u64 - (64 << 10);
/// etcd's floor under the interval of progress messages.
const PROGRESS_MIN: Duration = Duration::from_millis(100);

/// Checks everything.
///
/// # Errors
/// The first thing that cannot be, in one line.
pub fn check(flags: Flags, settings: Settings) -> Result<Config, ConfigError> {
    let mut notes = settings.notes.clone();
    let explain =
        |name: &str, why: String| ConfigError(format!("{}: {why}", settings.origin(name)));
    if flags.name.is_empty() {
        return Err(explain("name", "a member needs a name".to_owned()));
    }
    let (data_dir, wal_dir) = directories(&flags)?;
    let (listen_client_urls, advertise_client_urls) = client_urls(&flags)?;
    let listen_metrics_urls =
        metrics_urls(&flags).map_err(|why| explain("listen-metrics-urls", why))?;
    check_listeners(
        &listen_client_urls,
        &flags.listen_peer_urls,
        &listen_metrics_urls,
    )?;
    let initial_cluster = cluster(&flags, &settings)?;
    let timing = timing(&flags)?;
    check_sizes(&flags, &mut notes)?;
    let tuning = flags.tuning_profile.as_deref().map(tuning::Profile::load);
    let tuning = tuning
        .transpose()
        .map_err(|error| explain("tuning-profile", error.to_string()))?;
    let keepalive = keepalive(&flags);
    let log = log_config(&flags).map_err(|why| explain("log-outputs", why))?;
    let auto_compaction = auto_compaction(
        &flags.auto_compaction_mode,
        &flags.auto_compaction_retention,
    )
    .map_err(|why| explain("auto-compaction-retention", why))?;
    Ok(Config {
        member_id: identity::member_id(
            &flags.initial_advertise_peer_urls,
            &flags.initial_cluster_token,
            None,
        ),
        cluster_id: initial_cluster.cluster_id(&flags.initial_cluster_token),
        data_dir,
        wal_dir,
        listen_client_urls,
        advertise_client_urls,
        listen_peer_urls: flags.listen_peer_urls,
        initial_advertise_peer_urls: flags.initial_advertise_peer_urls,
        listen_metrics_urls,
        cors: flags.cors,
        host_whitelist: flags.host_whitelist,
        grpc_gateway: flags.enable_grpc_gateway,
        initial_cluster,
        cluster_state: cluster_state(&flags.initial_cluster_state),
        cluster_token: flags.initial_cluster_token,
        quota_bytes: quota(flags.quota_backend_bytes),
        max_txn_ops: flags.max_txn_ops as usize,
        max_request_bytes: flags.max_request_bytes as usize,
        max_concurrent_streams: flags.max_concurrent_streams,
        snapshot_count: flags.snapshot_count,
        timing,
        watch_progress_notify_interval: flags.watch_progress_notify_interval.max(PROGRESS_MIN),
        warning_apply_duration: flags.warning_apply_duration,
        warning_unary_request_duration: flags.warning_unary_request_duration,
        keepalive,
        auto_compaction,
        log,
        shards: flags.shards,
        cores: flags.cores,
        page_cache_bytes: flags.page_cache_bytes,
        tuning,
        name: flags.name,
        notes,
    })
}

fn cluster_state(text: &str) -> ClusterState {
    match text {
        "existing" => ClusterState::Existing,
        _ => ClusterState::New,
    }
}

fn quota(bytes: i64) -> Option<u64> {
    match bytes {
        0 => Some(limits::QUOTA_BYTES_DEFAULT),
        bytes => u64::try_from(bytes).ok(),
    }
}

fn keepalive(flags: &Flags) -> Keepalive {
    Keepalive {
        min_time: flags.grpc_keepalive_min_time,
        interval: flags.grpc_keepalive_interval,
        timeout: flags.grpc_keepalive_timeout,
    }
}

fn log_config(flags: &Flags) -> Result<LogConfig, String> {
    Ok(LogConfig {
        level: log_level(&flags.log_level),
        format: match flags.log_format.as_str() {
            "console" => LogFormat::Console,
            _ => LogFormat::Json,
        },
        outputs: log_outputs(&flags.log_outputs)?,
    })
}

/// Data and log directory, absolute: the executors open directories by absolute path only.
fn directories(flags: &Flags) -> Result<(PathBuf, Option<PathBuf>), ConfigError> {
    let absolute = |path: &Path| {
        std::path::absolute(path)
            .map_err(|error| ConfigError(format!("{}: {error}", path.display())))
    };
    let data_dir = match flags.data_dir.as_str() {
        "" => absolute(Path::new(&format!("{}.stoa", flags.name)))?,
        dir => absolute(Path::new(dir))?,
    };
    let wal_dir = match flags.wal_dir.as_str() {
        "" => None,
        dir => Some(absolute(Path::new(dir))?),
    };
    if wal_dir.as_ref() == Some(&data_dir) {
        return Err(ConfigError(
            "--wal-dir is the data directory; leave it out or name another directory".to_owned(),
        ));
    }
    Ok((data_dir, wal_dir))
}

/// As in etcd: who listens somewhere else has to say what clients should be told.
fn client_urls(flags: &Flags) -> Result<(Vec<Url>, Vec<Url>), ConfigError> {
    let default = || {
        urls::parse_list("http://localhost:2379").expect("the default client URL is well formed")
    };
    match (&flags.listen_client_urls, &flags.advertise_client_urls) {
        (Some(_), None) => Err(ConfigError(
            "--listen-client-urls is given, so give --advertise-client-urls, too".to_owned(),
        )),
        (listen, advertise) => Ok((
            listen.clone().unwrap_or_else(default),
            advertise.clone().unwrap_or_else(default),
        )),
    }
}

fn metrics_urls(flags: &Flags) -> Result<Vec<Url>, String> {
    match flags.listen_metrics_urls.as_str() {
        "" => Ok(Vec::new()),
        text => urls::parse_list(text),
    }
}

/// Listeners have addresses, and no two the same one. Port 0 is any free port, so never the same.
fn check_listeners(clients: &[Url], peers: &[Url], metrics: &[Url]) -> Result<(), ConfigError> {
    let all = clients
        .iter()
        .map(|url| ("--listen-client-urls", url))
        .chain(peers.iter().map(|url| ("--listen-peer-urls", url)))
        .chain(metrics.iter().map(|url| ("--listen-metrics-urls", url)));
    let mut taken = std::collections::BTreeMap::new();
    for (flag, url) in all {
        let address = url
            .bind_addr()
            .map_err(|why| ConfigError(format!("{flag}: {why}")))?;
        if address.port() == 0 {
            continue;
        }
        if let Some(other) = taken.insert(address, flag) {
            return Err(ConfigError(format!(
                "{flag}: {address} is already listened on by {other}; give each its own port"
            )));
        }
    }
    Ok(())
}

/// The members, this one among them. Without `--initial-cluster` it is this member alone.
fn cluster(flags: &Flags, settings: &Settings) -> Result<InitialCluster, ConfigError> {
    if flags.initial_cluster.is_empty() {
        return Ok(InitialCluster::single(
            &flags.name,
            &flags.initial_advertise_peer_urls,
        ));
    }
    let origin = settings.origin("initial-cluster");
    let cluster = InitialCluster::parse(&flags.initial_cluster)
        .map_err(|why| ConfigError(format!("{origin}: {why}")))?;
    identity::check_self(&cluster, &flags.name, &flags.initial_advertise_peer_urls)
        .map_err(ConfigError)?;
    if cluster.members().len() > 1 {
        return Err(ConfigError(format!(
            "{origin} names {} members; clusters of several members are not yet supported, name \
             this one only",
            cluster.members().len()
        )));
    }
    Ok(cluster)
}

/// What was asked for, if anything was: with one of the two flags the other is etcd's default.
fn timing(flags: &Flags) -> Result<Option<Raft>, ConfigError> {
    let given = (flags.heartbeat_interval, flags.election_timeout);
    if given == (None, None) {
        return Ok(None);
    }
    let default = Raft::default();
    let heartbeat = given.0.unwrap_or(default.heartbeat_interval_ms);
    let election = given.1.unwrap_or(default.election_timeout_ms);
    if heartbeat == 0 {
        return Err(ConfigError(
            "--heartbeat-interval is 0; give milliseconds".to_owned(),
        ));
    }
    if election > Raft::ELECTION_MS_MAX {
        return Err(ConfigError(format!(
            "--election-timeout is {election} ms; give at most {}",
            Raft::ELECTION_MS_MAX
        )));
    }
    if election < heartbeat.saturating_mul(5) {
        return Err(ConfigError(format!(
            "--election-timeout is {election} ms; it has to be at least 5 times \
             --heartbeat-interval ({heartbeat} ms)"
        )));
    }
    Ok(Some(Raft {
        heartbeat_interval_ms: heartbeat,
        election_timeout_ms: election,
    }))
}

fn check_sizes(flags: &Flags, notes: &mut Vec<String>) -> Result<(), ConfigError> {
    if flags.max_txn_ops == 0 {
        return Err(ConfigError(
            "--max-txn-ops is 0; give at least 1".to_owned(),
        ));
    }
    if flags.max_request_bytes == 0 || flags.max_request_bytes > REQUEST_BYTES_MAX {
        return Err(ConfigError(format!(
            "--max-request-bytes is {}; give 1 to {REQUEST_BYTES_MAX}, so that it fits a log entry",
            flags.max_request_bytes
        )));
    }
    if flags.max_concurrent_streams == 0 {
        return Err(ConfigError(
            "--max-concurrent-streams is 0; give at least 1".to_owned(),
        ));
    }
    if flags.snapshot_count == 0 {
        return Err(ConfigError(
            "--snapshot-count is 0; give at least 1".to_owned(),
        ));
    }
    if flags.quota_backend_bytes > QUOTA_BYTES_ADVISED {
        notes.push(format!(
            "--quota-backend-bytes={} is over the 8 GiB that etcd advises",
            flags.quota_backend_bytes
        ));
    }
    Ok(())
}

/// Retention by mode. A bare number of the periodic mode is hours, as in etcd.
fn auto_compaction(mode: &str, retention: &str) -> Result<AutoCompaction, String> {
    let number = retention.parse::<u32>().ok();
    match (mode, number) {
        (_, Some(0)) => Ok(AutoCompaction::Off),
        ("revision", Some(count)) => Ok(AutoCompaction::Revision(i64::from(count))),
        ("revision", None) => Err(format!(
            "{retention:?} is not a number of revisions (mode revision)"
        )),
        (_, Some(hours)) => Ok(AutoCompaction::Periodic(Duration::from_secs(
            u64::from(hours) * 3600,
        ))),
        (_, None) => match duration::parse(retention)? {
            Duration::ZERO => Ok(AutoCompaction::Off),
            time => Ok(AutoCompaction::Periodic(time)),
        },
    }
}

fn log_level(text: &str) -> LogLevel {
    match text {
        "debug" => LogLevel::Debug,
        "info" => LogLevel::Info,
        "warn" => LogLevel::Warn,
        _ => LogLevel::Error,
    }
}

fn log_outputs(text: &str) -> Result<Vec<LogOutput>, String> {
    let mut outputs = Vec::new();
    for part in text.split(',').map(str::trim) {
        let output = match part {
            "" => return Err("an output is empty; give stderr, stdout or a file".to_owned()),
            "default" if text.trim() != "default" => {
                return Err("default goes with no other output; write stderr instead".to_owned());
            }
            "default" | "stderr" => LogOutput::Stderr,
            "stdout" => LogOutput::Stdout,
            "systemd/journal" => {
                return Err("the journal takes lines from stderr; write stderr".to_owned());
            }
            file => LogOutput::File(PathBuf::from(file)),
        };
        if !outputs.contains(&output) {
            outputs.push(output);
        }
    }
    Ok(outputs)
}
