//! Where the `stoa-loadgen` binary is, and how a case runs it. Found as `node` finds `stoa`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `stoa-loadgen` executable: `STOA_LOADGEN_BIN`, else the one in the target directory which
/// the running executable came from; it is built there when it is missing or may be old.
///
/// # Errors
/// When it is missing and cannot be built. The result is found once for each process.
pub fn stoa_loadgen() -> io::Result<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND
        .get_or_init(|| find().map_err(|e| e.to_string()))
        .clone()
        .map_err(io::Error::other)
}

fn find() -> io::Result<PathBuf> {
    if let Some(path) = std::env::var_os("STOA_LOADGEN_BIN") {
        return Path::new(&path).canonicalize();
    }
    let exe = std::env::current_exe()?;
    // target/<profile>/deps/case-1234
    let profile = exe
        .ancestors()
        .skip(1)
        .find(|d| d.file_name().is_some_and(|n| n != "deps"))
        .ok_or_else(|| io::Error::other("the running executable has no directory"))?;
    let program = profile.join("stoa-loadgen");
    if !program.exists() || std::env::var_os("CARGO").is_some() {
        build(profile)?;
    }
    program.canonicalize()
}

fn build(profile: &Path) -> io::Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "-p", "loadgen", "--bin", "stoa-loadgen"]);
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
    Err(io::Error::other(format!("building stoa-loadgen: {status}")))
}
