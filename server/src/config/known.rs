//! Flags of etcd 3.7 that this server does not act on, so that a start script written for etcd
//! either works or is told exactly which flag stands in the way. Read by `argv.rs`.

/// What becomes of a flag set to something else than etcd's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Taken, with a warning that it changes nothing, and why.
    Ignored(&'static str),
    /// Refused, with the reason: doing without it would not be what was asked for.
    Refused(&'static str),
}

/// A flag of etcd that is known and not acted on.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its name, without dashes.
    pub name: &'static str,
    /// Whether it may stand without a value.
    pub is_bool: bool,
    /// etcd's default: given so, the flag asks for nothing and passes silently.
    pub default: &'static str,
    /// What becomes of any other value.
    pub treatment: Treatment,
}

/// Finds a flag by name.
pub fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

/// Feature gates of etcd 3.7; none of them changes anything here.
pub const FEATURE_GATES: [&str; 9] = [
    "InitialCorruptCheck",
    "CompactHashCheck",
    "LeaseCheckpoint",
    "LeaseCheckpointPersist",
    "StopGRPCServiceOnDefrag",
    "TxnModeWriteWithSharedBuffer",
    "SetMemberLocalAddr",
    "FastLeaseKeepAlive",
    "PriorityRequest",
];

const TLS: Treatment = Treatment::Refused("TLS is not yet served");
const DISCOVERY: Treatment = Treatment::Refused("discovery is not yet there; list the members");
const TRACING: Treatment = Treatment::Refused("traces are not yet exported");
const NO_BBOLT: Treatment = Treatment::Ignored("there is no bbolt database here");
const RECYCLED: Treatment = Treatment::Ignored("log segments are recycled");
const OWN_RAFT: Treatment = Treatment::Ignored("elections and catching up have no such setting");
const NO_AUTH: Treatment = Treatment::Ignored("users and roles are not yet there");
const IN_STEPS: Treatment = Treatment::Ignored("compaction works in small steps of its own");
const CHECKED: Treatment = Treatment::Ignored("data is checked whenever it is read from disk");
const TIMEOUTS: Treatment = Treatment::Ignored("links between members have their own deadlines");

const fn text(name: &'static str, default: &'static str, treatment: Treatment) -> Known {
    Known {
        name,
        is_bool: false,
        default,
        treatment,
    }
}

const fn switch(name: &'static str, default: &'static str, treatment: Treatment) -> Known {
    Known {
        name,
        is_bool: true,
        default,
        treatment,
    }
}

/// Every flag of etcd 3.7 that is not among the flags proper.
pub const KNOWN: &[Known] = &[
    text(
        "config-file",
        "",
        Treatment::Refused("give flags or ETCD_ variables instead"),
    ),
    text("snapshot-catchup-entries", "5000", OWN_RAFT),
    switch("initial-election-tick-advance", "true", OWN_RAFT),
    text(
        "listen-client-http-urls",
        "",
        Treatment::Refused("HTTP and gRPC share the client port"),
    ),
    text("max-snapshots", "5", RECYCLED),
    text("max-wals", "5", RECYCLED),
    switch(
        "memory-mlock",
        "false",
        Treatment::Ignored("only I/O buffers are locked in memory"),
    ),
    text("backend-bbolt-freelist-type", "map", NO_BBOLT),
    text("backend-batch-interval", "0s", NO_BBOLT),
    text("backend-batch-limit", "0", NO_BBOLT),
    text("bootstrap-defrag-threshold-megabytes", "0", NO_BBOLT),
    switch(
        "socket-reuse-port",
        "false",
        Treatment::Ignored("every core has its own listener"),
    ),
    switch(
        "socket-reuse-address",
        "false",
        Treatment::Ignored("it is always set"),
    ),
    text("raft-read-timeout", "5s", TIMEOUTS),
    text("raft-write-timeout", "5s", TIMEOUTS),
    text("discovery-token", "", DISCOVERY),
    text("discovery-endpoints", "", DISCOVERY),
    text("discovery-dial-timeout", "2s", DISCOVERY),
    text("discovery-request-timeout", "5s", DISCOVERY),
    text("discovery-keepalive-time", "2s", DISCOVERY),
    text("discovery-keepalive-timeout", "6s", DISCOVERY),
    switch("discovery-insecure-transport", "true", DISCOVERY),
    switch("discovery-insecure-skip-tls-verify", "false", DISCOVERY),
    text("discovery-cert", "", DISCOVERY),
    text("discovery-key", "", DISCOVERY),
    text("discovery-cacert", "", DISCOVERY),
    text("discovery-user", "", DISCOVERY),
    text("discovery-password", "", DISCOVERY),
    text("discovery-srv", "", DISCOVERY),
    text("discovery-srv-name", "", DISCOVERY),
    switch(
        "strict-reconfig-check",
        "true",
        Treatment::Ignored("changes are always checked"),
    ),
    switch(
        "pre-vote",
        "true",
        Treatment::Ignored("elections always begin with a pre-vote"),
    ),
    text(
        "v2-deprecation",
        "gone",
        Treatment::Ignored("there never was a v2 store here"),
    ),
    text("cert-file", "", TLS),
    text("key-file", "", TLS),
    switch("client-cert-auth", "false", TLS),
    text("client-cert-file", "", TLS),
    text("client-key-file", "", TLS),
    text("client-crl-file", "", TLS),
    text("client-cert-allowed-hostname", "", TLS),
    text("trusted-ca-file", "", TLS),
    switch("auto-tls", "false", TLS),
    text("peer-cert-file", "", TLS),
    text("peer-key-file", "", TLS),
    switch("peer-client-cert-auth", "false", TLS),
    text("peer-client-cert-file", "", TLS),
    text("peer-client-key-file", "", TLS),
    text("peer-trusted-ca-file", "", TLS),
    text("peer-crl-file", "", TLS),
    text("peer-cert-allowed-cn", "", TLS),
    text("peer-cert-allowed-hostname", "", TLS),
    switch("peer-auto-tls", "false", TLS),
    switch("peer-skip-client-san-verification", "false", TLS),
    text("self-signed-cert-validity", "1", TLS),
    text("cipher-suites", "", TLS),
    text("tls-min-version", "TLS1.2", TLS),
    text("tls-max-version", "", TLS),
    text(
        "auth-token",
        "simple",
        Treatment::Refused("users and roles are not yet there"),
    ),
    text("bcrypt-cost", "10", NO_AUTH),
    text("auth-token-ttl", "300", NO_AUTH),
    switch(
        "enable-pprof",
        "false",
        Treatment::Ignored("there is no Go runtime to profile"),
    ),
    text(
        "metrics",
        "basic",
        Treatment::Ignored("there is one level of metrics"),
    ),
    switch("enable-distributed-tracing", "false", TRACING),
    text("distributed-tracing-address", "localhost:4317", TRACING),
    text("distributed-tracing-service-name", "etcd", TRACING),
    text("distributed-tracing-instance-id", "", TRACING),
    text("distributed-tracing-sampling-rate", "0", TRACING),
    text(
        "logger",
        "zap",
        Treatment::Refused("zap names the only form of log there is"),
    ),
    switch(
        "enable-log-rotation",
        "false",
        Treatment::Refused("rotate the file from outside"),
    ),
    text(
        "log-rotation-config-json",
        r#"{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}"#,
        Treatment::Ignored("log files are not rotated"),
    ),
    switch(
        "disable-log-sampling",
        "false",
        Treatment::Ignored("log lines are not sampled"),
    ),
    text("corrupt-check-time", "0s", CHECKED),
    text("compact-hash-check-time", "1m", CHECKED),
    text("compaction-batch-limit", "1000", IN_STEPS),
    text("compaction-sleep-interval", "10ms", IN_STEPS),
    text("max-learners", "1", OWN_RAFT),
    text(
        "downgrade-check-time",
        "5s",
        Treatment::Ignored("there is nothing to downgrade to"),
    ),
    switch(
        "force-new-cluster",
        "false",
        Treatment::Refused("it is not yet there"),
    ),
    switch(
        "unsafe-no-fsync",
        "false",
        Treatment::Ignored("writes are always synced"),
    ),
    text(
        "feature-gates",
        "",
        Treatment::Ignored("no such gate changes anything here"),
    ),
];
