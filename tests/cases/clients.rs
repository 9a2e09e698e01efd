//! Client libraries as their users have them, and Patroni, against Stoa and against real etcd:
//! each story in `tests/clients` has to hold with both, which also proves the story.
//!
//! Libraries come from their registries by pinned versions, into the target directory: nothing
//! that lies about on the machine is used but the tools themselves.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tests::skip::skip;
use tests::target::{Kind, Target, disk_dir};

/// Where the stories lie.
fn story(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("clients")
        .join(path)
}

/// A directory of this file's, kept from run to run, so that libraries are fetched once.
fn kept(name: &str) -> PathBuf {
    let dir = disk_dir().with_file_name("clients").join(name);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// Whether a tool is there. Where it is not, the case is skipped.
fn has(tool: &str, args: &[&str]) -> bool {
    let there = Command::new(tool)
        .args(args)
        .output()
        .is_ok_and(|out| out.status.success());
    if !there {
        skip(&format!("no {tool} that answers {args:?}"));
    }
    there
}

fn said(out: &Output) -> String {
    let [out, err] = [&out.stdout, &out.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

fn run(command: &mut Command, what: &str) {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{what}: {}", said(&out));
}

/// Runs a story against each kind of server, fresh ones, with the port as its last argument.
fn holds(command: impl Fn() -> Command) {
    for kind in [Kind::Etcd, Kind::Stoa(1), Kind::Stoa(3)] {
        let Some(server) = Target::start(kind.clone(), &[]).unwrap() else {
            continue;
        };
        let port = server.addr().port().to_string();
        run(command().arg(port), &format!("the story with {kind:?}"));
    }
}

/// The Python of a virtual environment with what `requirements.txt` lists. Made anew when that
/// has changed; by one case at a time, for which the others wait.
fn python() -> Option<PathBuf> {
    static MADE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    if !has("python3", &["-c", "import venv, ensurepip"]) {
        return None;
    }
    let _one = MADE.lock().unwrap_or_else(|broken| broken.into_inner());
    let (wanted, dir) = (story("python/requirements.txt"), kept("python"));
    let (python, stamp) = (dir.join("bin/python"), dir.join("requirements.txt"));
    let wanted_text = fs::read(&wanted).unwrap();
    if fs::read(&stamp).is_ok_and(|made| made == wanted_text) {
        return Some(python);
    }
    let made = ["-m", "venv", "--clear"];
    run(
        Command::new("python3").args(made).arg(&dir),
        "making the environment",
    );
    let install = ["-m", "pip", "install", "--quiet", "--requirement"];
    run(
        Command::new(&python).args(install).arg(&wanted),
        "installing into it",
    );
    fs::write(stamp, wanted_text).unwrap();
    Some(python)
}

/// A command that runs a Python story.
fn python_story(python: &Path, script: &str) -> Command {
    let mut command = Command::new(python);
    // What etcd3 has generated is too old for protobuf's faster readers.
    command.env("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python");
    command.arg(story("python").join(script));
    command
}

#[test]
fn python_etcd3() {
    let Some(python) = python() else { return };
    holds(|| python_story(&python, "etcd3_story.py"));
}

#[test]
fn patroni() {
    let Some(python) = python() else { return };
    holds(|| python_story(&python, "patroni_story.py"));
}

#[test]
fn node_etcd3() {
    if !has("node", &["--version"]) || !has("npm", &["--version"]) {
        return;
    }
    let dir = kept("node");
    for name in ["package.json", "package-lock.json", "story.js"] {
        fs::copy(story("node").join(name), dir.join(name)).unwrap();
    }
    let wanted = fs::read(dir.join("package-lock.json")).unwrap();
    let stamp = dir.join("installed-lock.json");
    if !fs::read(&stamp).is_ok_and(|made| made == wanted) {
        let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        run(
            Command::new("npm").args(install).current_dir(&dir),
            "npm ci",
        );
        fs::write(stamp, wanted).unwrap();
    }
    holds(|| {
        let mut command = Command::new("node");
        command.arg(dir.join("story.js"));
        command
    });
}

#[test]
fn rust_etcd_client() {
    // The crate's build makes code out of .proto files.
    if !has("protoc", &["--version"]) {
        return;
    }
    let dir = kept("rust");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--locked", "--manifest-path"]);
    build.arg(story("rust/Cargo.toml"));
    build.arg("--target-dir").arg(&dir);
    run(&mut build, "building with etcd-client");
    holds(|| Command::new(dir.join("debug/etcd-client-story")));
}
