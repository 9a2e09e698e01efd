//! Versions: the one of etcd this server answers as, and its own. Read by `--version`, by
//! `/version`, by the Status call and by the metrics page.

/// The etcd version that clients are told. Kubernetes decides by it what it may use.
pub const ETCD: &str = "3.7.1";

/// The cluster version that clients are told.
pub const ETCD_CLUSTER: &str = "3.7.0";

/// The version of this server.
pub const OWN: &str = env!("CARGO_PKG_VERSION");

/// What `--version` prints. The first line is etcd's, because scripts read it.
pub fn page() -> String {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("etcd Version: {ETCD}\nStoa Version: {OWN}\nOS/Arch: {os}/{arch}\n")
}
