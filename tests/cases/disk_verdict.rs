//! `stoa-loadgen disk` on this machine's disk as it is and slowed down: the verdict, the exit code
//! and the profile follow; nothing is left on the disk, also when the run is ended early; and
//! records promised before a cut are checked over the wire.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tests::node::loadgen;
use tests::skip::skip;
use tests::target::{Kind, Target, disk_dir};
use tests::throttle::Throttle;

/// One at a time: each case would disturb what another measures.
fn alone() -> MutexGuard<'static, ()> {
    static RUNNING: Mutex<()> = Mutex::new(());
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn dir_on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in(disk_dir()).unwrap()
}

/// Runs `stoa-loadgen disk` with the given command, on `dir`.
fn qualify(mut command: Command, dir: &Path, duration: &str) -> (Output, Value, Value) {
    let out = tempfile::tempdir().unwrap();
    let (json, profile) = (out.path().join("disk.json"), out.path().join("disk.toml"));
    command
        .args(["disk", "--duration", duration, "--dir"])
        .arg(dir);
    command
        .arg("--json")
        .arg(&json)
        .arg("--profile-out")
        .arg(&profile);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let text = fs::read_to_string(json).unwrap_or_else(|e| panic!("{e}: {said}"));
    let json: Value = serde_json::from_str(&text).unwrap();
    let disk = json["disks"][0].clone();
    // The server takes it.
    let profile = profile.to_str().unwrap();
    let read = tuning::Profile::load(profile).unwrap();
    assert_eq!(disk["profile"]["settings"]["name"], read.name);
    let server = Target::start(Kind::Stoa(1), &["--tuning-profile", profile]);
    assert!(server.unwrap().is_some());
    (output, json, disk)
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}

/// The rate of a pattern of 4 KiB.
fn rate(disk: &Value, pattern: &str, depth: u64) -> f64 {
    let measurements = disk["measurements"].as_array().unwrap();
    let wanted = |m: &&Value| {
        m["pattern"] == pattern && m["block_bytes"] == 4096 && m["depth"] == depth && m["logs"] == 1
    };
    let mut found = measurements.iter().filter(wanted);
    let measured = found.next().unwrap_or_else(|| panic!("no {pattern}"));
    assert!(found.next().is_none(), "{pattern} is there twice");
    let latency = &measured["latency_us"];
    for pair in [["p50", "p99"], ["p99", "p999"], ["p999", "max"]] {
        let [less, more] = pair.map(|key| latency[key].as_f64().unwrap());
        assert!(less <= more, "{pair:?}: {latency}");
    }
    measured["per_second"].as_f64().unwrap()
}

#[test]
fn a_throttled_disk_is_told_from_the_plain_one_and_the_verdict_flips() {
    let _alone = alone();
    let dir = dir_on_disk();
    let throttle = match Throttle::new(dir.path(), 150) {
        Ok(throttle) => throttle,
        Err(why) => return skip(&why),
    };
    let program = loadgen().unwrap();
    // Somebody else may hold the disk up for a while; nothing but this throttle does so thrice.
    let plainly = || qualify(Command::new(&program), dir.path(), "5s");
    let mut runs = (0..3).map(|_| plainly());
    let fit = runs.find(|(_, _, disk)| disk["verdict"] != "unfit");
    let (output, _, plain) = fit.expect("the plain disk is unfit three times");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}: {plain:#}",
        plain["reason"]
    );
    assert_ne!(plain["profile"]["name"], "spinning");
    assert!(is_empty(dir.path()), "left something behind");

    let (output, _, slow) = qualify(throttle.command(&program), dir.path(), "5s");
    assert_eq!(output.status.code(), Some(3), "{}", slow["reason"]);
    assert_eq!(slow["verdict"], "unfit", "{}", slow["reason"]);
    assert!(is_empty(dir.path()), "left something behind");
    // Numbers of a class of their own, though both are the same device with the same facts.
    assert_eq!(slow["device"], plain["device"]);
    let (fast, throttled) = (
        rate(&plain, "direct-dsync", 1),
        rate(&slow, "direct-dsync", 1),
    );
    assert!(
        throttled < 250.0,
        "{throttled} a second with 150 let through"
    );
    assert!(fast > throttled, "{fast} and {throttled}");
    // In bursts or evenly, as the kernel has it: either way it is said.
    let findings = slow["findings"].as_array().unwrap();
    let is_said = |finding: &Value| finding["name"] == "bursts" || finding["name"] == "stalls";
    assert!(findings.iter().any(is_said), "{findings:?}");
    assert!(
        slow["timeouts"]["heartbeat_ms"].as_u64() >= Some(150),
        "{}",
        slow["timeouts"]
    );
}

#[test]
fn ctrl_c_ends_a_run_with_what_was_measured_and_leaves_nothing_behind() {
    let _alone = alone();
    let dir = dir_on_disk();
    let out = tempfile::tempdir().unwrap();
    let json = out.path().join("disk.json");
    let mut command = Command::new(loadgen().unwrap());
    command
        .args(["disk", "--duration", "60s", "--dir"])
        .arg(dir.path());
    command
        .arg("--json")
        .arg(&json)
        .stderr(Stdio::null())
        .stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    // The second pattern writes to a file of its own: then the first was measured.
    wait_until(&mut child, || has_file(dir.path(), "direct-0"));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(5), "too little for a verdict");
    let json: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(json["interrupted"], true);
    assert!(rate(&json["disks"][0], "overwrite-fdatasync", 1) > 0.0);
    assert!(is_empty(dir.path()), "left something behind");
}

/// Whether a work directory below `dir` has a file called so.
fn has_file(dir: &Path, name: &str) -> bool {
    let mut works = fs::read_dir(dir).unwrap().flatten();
    works.any(|work| work.path().join(name).exists())
}

/// Looks again and again, until the child ends.
fn wait_until(child: &mut Child, mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::yield_now();
    }
}

#[test]
fn promised_records_are_checked_with_what_the_observer_heard() {
    let _alone = alone();
    let dir = dir_on_disk();
    let program = loadgen().unwrap();
    let mut observer = Command::new(&program)
        .args(["disk", "power-cut-observer", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(observer.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line.split([' ', ';']).nth(2).unwrap().to_owned();
    let run = |command: &str, more: &[&str]| {
        let mut run = Command::new(&program);
        run.args(["disk", command, "--dir"]).arg(dir.path());
        run.args(["--observer", &address])
            .args(more)
            .output()
            .unwrap()
    };
    let wrote = run("power-cut", &["--records", "200"]);
    assert!(wrote.status.success(), "{wrote:?}");
    let verified = run("power-cut-verify", &[]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    // A disk that lost the last promised record in the cut.
    let file = fs::OpenOptions::new()
        .write(true)
        .open(dir.path().join("stoa-power-cut.records"));
    std::os::unix::fs::FileExt::write_all_at(&file.unwrap(), &[0; 512], 200 * 4096).unwrap();
    let verified = run("power-cut-verify", &[]);
    assert_eq!(verified.status.code(), Some(4), "{verified:?}");
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(said.contains("LOST: 1 of 200"), "{said}");
    // A writer that is killed: what it had promised is there, as after any end but a cut.
    let mut writer = Command::new(&program);
    writer.args(["disk", "power-cut", "--observer", &address, "--dir"]);
    let mut writer = writer
        .arg(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let said = writer.stdout.as_mut().unwrap();
    BufReader::new(said).read_line(&mut line).unwrap();
    let mut verified = run("power-cut-verify", &[]);
    while String::from_utf8_lossy(&verified.stdout).contains("last 0 records") {
        verified = run("power-cut-verify", &[]);
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    let verified = run("power-cut-verify", &[]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    observer.kill().unwrap();
    observer.wait().unwrap();
}

#[test]
fn a_wrong_command_line_is_answered_in_one_line() {
    let program = loadgen().unwrap();
    let run = |args: &[&str]| {
        Command::new(&program)
            .arg("disk")
            .args(args)
            .output()
            .unwrap()
    };
    for (args, code, says) in [
        (&[][..], 2, "give --dir"),
        (&["--dir", "/nowhere/at/all"][..], 1, "/nowhere/at/all"),
        (&["--dir", "/tmp", "--duration", "1s"][..], 2, "give 5s"),
        (&["--dir", "/proc"][..], 1, "/proc"),
        // Before an hour was measured for nothing.
        (
            &["--dir", "/tmp", "--profile-out", "/nowhere/at/all/p"][..],
            1,
            "/nowhere/at/all/p",
        ),
    ] {
        let output = run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
    }
}
