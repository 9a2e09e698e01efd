//! Saving and restoring snapshots with etcd's own tools and with `stoa`. For the cases `snapshot`
//! and the program `snapshot_bars`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::peer::{self, Tool};
use crate::skip::skip;
use crate::target::Target;

/// The version of etcd whose tools read and restore what Stoa writes.
pub const TOOLS: &str = "3.5";

fn tool(name: &str, all: Vec<Tool>) -> Option<PathBuf> {
    let found = all.into_iter().find(|tool| tool.version.starts_with(TOOLS));
    if found.is_none() {
        skip(&format!("no {name} {TOOLS} found"));
    }
    found.map(|tool| tool.path)
}

/// etcdctl, etcdutl and etcd 3.5; a note on why where one is missing.
#[must_use]
pub fn tools() -> Option<[PathBuf; 3]> {
    let ctl = tool("etcdctl", peer::etcdctls())?;
    let utl = tool("etcdutl", peer::etcdutls())?;
    let etcd = tool("etcd", peer::etcds())?;
    Some([ctl, utl, etcd])
}

/// A command of one of the tools.
#[must_use]
pub fn command(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.env("ETCDCTL_API", "3").args(args);
    command
}

/// All that a command printed.
#[must_use]
pub fn text(out: &Output) -> String {
    let (text, errors) = (&out.stdout, &out.stderr);
    String::from_utf8_lossy(text).into_owned() + &String::from_utf8_lossy(errors)
}

/// What a command that succeeds prints to standard output.
///
/// # Errors
/// It cannot be started, or fails; then with what it said.
pub fn said(mut command: Command) -> io::Result<String> {
    let out = command.output()?;
    if !out.status.success() {
        return Err(io::Error::other(format!("{command:?}: {}", text(&out))));
    }
    String::from_utf8(out.stdout).map_err(io::Error::other)
}

/// `etcdctl snapshot save` into the home of the server.
#[must_use]
pub fn save_command(target: &Target, etcdctl: &Path, file: &Path) -> Command {
    let mut command = command(etcdctl, &["--endpoints", &target.endpoint()]);
    command.args(["snapshot", "save"]).arg(file);
    command
}

/// `snapshot restore` of `etcdutl` or `stoa`, into the data directory of a server that was
/// prepared and never started.
#[must_use]
pub fn restore_command(target: &Target, program: &Path, file: &Path, more: &[&str]) -> Command {
    let server = target.command();
    let args: Vec<_> = server.get_args().collect();
    let mut command = command(program, &["snapshot", "restore"]);
    command.arg(file);
    for name in [
        "--name",
        "--data-dir",
        "--initial-cluster",
        "--initial-advertise-peer-urls",
    ] {
        let pairs = args.windows(2).filter(|pair| pair[0] == name);
        command.args(pairs.flatten());
    }
    command.args(more);
    command
}
