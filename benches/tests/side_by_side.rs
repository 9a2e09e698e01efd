//! The command that measures Stoa and etcd side by side, run briefly: what it writes, that a
//! throttled disk was one, by the writes that the kernel counted, and how it takes bad input and
//! being told to end.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tests::peer;
use tests::skip::skip;
use tests::target::disk_dir;
use tests::throttle::Throttle;

/// Writes a second of the throttled disk.
const THROTTLE: f64 = 100.0;

fn side_by_side(rounds: u32) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_side_by_side"));
    command.args(["--only", "put-64", "--rounds", &rounds.to_string()]);
    command.args(["--duration", "200ms", "--warm-up", "0s", "--shards", "1"]);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What is left in the directory in which servers have their data and others write.
fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}

fn load<'a>(json: &'a Value, disk: &str) -> &'a Value {
    let disks = json["disks"].as_array().unwrap();
    let disk = disks.iter().find(|d| d["disk"] == disk).unwrap();
    assert_eq!(disk["loads"].as_array().unwrap().len(), 1, "{disk:#}");
    &disk["loads"][0]
}

/// What has to hold of any disk.
fn is_complete(load: &Value) {
    assert_eq!(load["load"], "put-64");
    assert_eq!(load["clients"], 64);
    let round = &load["rounds"][0];
    for side in ["stoa", "etcd"] {
        let sample = &round[side];
        let operations = sample["operations"].as_f64().unwrap();
        let rate = sample["operations_per_second"].as_f64().unwrap();
        let seconds = sample["seconds"].as_f64().unwrap();
        assert!(operations > 0.0, "{load:#}");
        assert!((rate * seconds - operations).abs() < 1.0, "{sample:#}");
        assert!(sample["server_rss_bytes"].as_u64().unwrap() > 1 << 20);
        assert_eq!(sample["latency_us"]["count"], sample["operations"]);
    }
    let rate = |side: &str| round[side]["operations_per_second"].as_f64().unwrap();
    let figures = load["figures"].as_array().unwrap();
    let wanted = |f: &&Value| f["figure"] == "operations_per_second";
    let ratio = &figures.iter().find(wanted).unwrap()["ratio"];
    for key in ["median", "lowest", "highest"] {
        let ratio = ratio[key].as_f64().unwrap();
        assert!((ratio - rate("stoa") / rate("etcd")).abs() < 1e-9);
    }
}

#[test]
fn both_servers_are_measured_on_every_disk_and_a_throttled_one_is_slow() {
    if peer::system_etcd().is_none() {
        return skip("no etcd found (set STOA_PEER_ETCD)");
    }
    let home = tempfile::tempdir_in(disk_dir()).unwrap();
    let dir = home.path().join("data");
    fs::create_dir(&dir).unwrap();
    let can_throttle = match Throttle::new(&dir, 150) {
        Ok(_) => true,
        Err(why) => {
            skip(&why);
            false
        }
    };
    let disks = if can_throttle {
        "plain,throttled,busy"
    } else {
        "plain,busy"
    };
    let file = |name: &str| home.path().join(name);
    let output = side_by_side(1)
        .args(["--disk", disks, "--throttle", &THROTTLE.to_string()])
        .arg("--dir")
        .arg(&dir)
        .arg("--json")
        .arg(file("json"))
        .arg("--html")
        .arg(file("html"))
        .arg("--markdown")
        .arg(file("md"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(is_empty(&dir));
    let read = |name: &str| fs::read_to_string(file(name)).unwrap();
    let json: Value = serde_json::from_str(&read("json")).unwrap();
    assert_eq!(json["command"], "side-by-side");
    assert_eq!(json["is_whole"], true);
    for disk in disks.split(',') {
        is_complete(load(&json, disk));
    }
    assert_eq!(load(&json, "plain")["bars"].as_array().unwrap().len(), 3);
    for life in json["lives"].as_array().unwrap() {
        let number = |key: &str| life[key].as_f64();
        let disk = life["disk"].as_str().unwrap();
        // Nothing but the throttled disk's writes can be counted.
        assert_eq!(number("disk_writes").is_some(), disk == "throttled");
        assert_eq!(life["beside"].is_object(), disk == "busy");
        assert_eq!(life["profile"].is_string(), life["server"] == "stoa");
        let Some(writes) = number("disk_writes") else {
            continue;
        };
        // The kernel lets no more through than it was told; it counts a write when it is asked for.
        let lived = number("seconds").unwrap();
        assert!(writes <= THROTTLE * (lived + 0.2) + 64.0, "{life:#}");
        // Each of the 64 clients waits for a write that comes after its put.
        let side = life["server"].as_str().unwrap();
        let sample = &load(&json, disk)["rounds"][0][side];
        let puts = sample["operations"].as_f64().unwrap();
        assert!(puts <= 64.0 * writes, "{puts} puts: {life:#}");
    }
    let (html, markdown) = (read("html"), read("md"));
    for text in ["side by side", "<svg", "put-64", "99th percentile"] {
        assert!(html.contains(text), "{text}");
    }
    assert!(
        markdown.starts_with("## Side by side with etcd\n"),
        "{markdown}"
    );
    assert!(
        markdown.contains("\n| put-64 | per second | "),
        "{markdown}"
    );
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("What was aimed at"), "{shown}");
    // A report may be published: nothing in it says where files are on this machine.
    assert!(!markdown.contains(home.path().to_str().unwrap()));
}

#[test]
fn told_to_end_it_reports_what_was_measured_and_leaves_nothing() {
    if peer::system_etcd().is_none() {
        return skip("no etcd found (set STOA_PEER_ETCD)");
    }
    let home = tempfile::tempdir_in(disk_dir()).unwrap();
    let dir = home.path().join("data");
    fs::create_dir(&dir).unwrap();
    let json = home.path().join("json");
    let mut running = side_by_side(1000)
        .arg("--dir")
        .arg(&dir)
        .arg("--json")
        .arg(&json)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let told = BufReader::new(running.stderr.take().unwrap());
    let mut lines = told.lines().map(Result::unwrap);
    // One side of the second round is measured then, and the other's server may be starting.
    lines
        .find(|line| line.contains("round 2 of 1000, etcd: put-64"))
        .unwrap();
    let pid = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = lines.collect();
    let status = running.wait().unwrap();
    assert!(status.success(), "{status}: {rest:?}");
    assert!(is_empty(&dir));
    let json: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(json["is_whole"], false);
    let warnings = json["summary"]["warnings"].to_string();
    assert!(warnings.contains("ended before its time"), "{warnings}");
    assert!(load(&json, "plain")["rounds"][0]["stoa"].is_object());
}

#[test]
fn a_wrong_command_line_is_answered_in_one_line() {
    let script = tempfile::tempdir().unwrap();
    let script = script.path().join("etcd");
    fs::write(&script, "#!/bin/sh\nexec etcd \"$@\"\n").unwrap();
    let script = script.to_str().unwrap();
    for (args, says) in [
        (&["--duration", "1ms"][..], "at least 100ms"),
        (&["--dir", "/nowhere/at/all"][..], "/nowhere/at/all"),
        (&["--etcd", "/nowhere/at/all"][..], "--etcd /nowhere"),
        (&["--etcd", script][..], "name the etcd itself"),
        (&["--etcd", "/bin/true"][..], "tells no version"),
        (&["--stoa", "/bin/true"][..], "is no Stoa"),
        (&["--html", "-"][..], "--html takes a file"),
        (&["--json", "-", "--markdown", "-"][..], "only one of"),
        (&["--json", "/nowhere/at/all"][..], "/nowhere/at/all"),
        (&["--markdown", "/nowhere/at/all"][..], "/nowhere/at/all"),
    ] {
        let program = env!("CARGO_BIN_EXE_side_by_side");
        let output = Command::new(program).args(args).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
    }
}
