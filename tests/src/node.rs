//! Where the binaries `stoa` and `stoa-loadgen` are. Called by `target`, the cases of the load
//! generator and the side-by-side bench.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `stoa` executable: `STOA_BIN`, else the one in the target directory which the running
/// executable came from; it is built there when it is missing or may be old.
///
/// # Errors
/// When it is missing and cannot be built. The result is found once for each process.
pub fn stoa() -> io::Result<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND
        .get_or_init(|| find("STOA_BIN", "server", "stoa").map_err(|e| e.to_string()))
        .clone()
        .map_err(io::Error::other)
}

/// The `stoa-loadgen` executable: `STOA_LOADGEN_BIN`, else as [`stoa`].
///
/// # Errors
/// As [`stoa`].
pub fn loadgen() -> io::Result<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            find("STOA_LOADGEN_BIN", "loadgen", "stoa-loadgen").map_err(|e| e.to_string())
        })
        .clone()
        .map_err(io::Error::other)
}

fn find(variable: &str, package: &str, name: &str) -> io::Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Path::new(&path).canonicalize();
    }
    let exe = std::env::current_exe()?;
    // target/<profile>/deps/case-1234 or target/<profile>/side_by_side
    let profile = exe
        .ancestors()
        .skip(1)
        .find(|d| d.file_name().is_some_and(|n| n != "deps"))
        .ok_or_else(|| io::Error::other("the running executable has no directory"))?;
    let binary = profile.join(name);
    // Under `cargo test` always: an old binary would be tested instead of the code at hand.
    if !binary.exists() || std::env::var_os("CARGO").is_some() {
        build(profile, package, name)?;
    }
    binary.canonicalize().map_err(|e| {
        io::Error::new(
            e.kind(),
            format!("{}: {e} (set {variable})", binary.display()),
        )
    })
}

fn build(profile: &Path, package: &str, name: &str) -> io::Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "-p", package, "--bin", name]);
    if profile.file_name().is_some_and(|n| n == "release") {
        cargo.arg("--release");
    }
    if let Some(target) = profile.parent() {
        cargo.arg("--target-dir").arg(target);
    }
    let status = cargo.status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("building {name}: {status}")))
}
