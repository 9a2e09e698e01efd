//! `stoa-loadgen bench` as its users run it: against a real Stoa and a real etcd, a server that
//! pauses, one that dies, and one that lies.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::node::loadgen;
use tests::target::{Kind, Target};

fn bench(endpoints: &str, words: &str, json: Option<&Path>) -> Command {
    let mut command = Command::new(loadgen().unwrap());
    command.args(["bench", "--endpoints", endpoints]);
    command.args(words.split_whitespace());
    if let Some(json) = json {
        command.arg("--json").arg(json);
    }
    command
}

fn run(addr: SocketAddr, words: &str) -> (Output, Value) {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("bench.json");
    let output = bench(&format!("http://{addr}"), words, Some(&json))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let text = std::fs::read_to_string(json).unwrap_or_else(|e| panic!("{words}: {e}: {said}"));
    (output, serde_json::from_str(&text).unwrap())
}

fn number(json: &Value, path: &str) -> f64 {
    let found = json.pointer(path).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number at {path}: {json:#}"))
}

fn servers() -> Vec<Target> {
    let kinds = [Kind::Stoa(2), Kind::Etcd].into_iter();
    kinds
        .filter_map(|kind| Target::start(kind, &[]).unwrap())
        .collect()
}

#[test]
fn every_workload_runs_against_stoa_and_etcd_and_is_found_sound() {
    for target in servers() {
        for workload in [
            "put",
            "get",
            "serializable-get",
            "range",
            "range-stream",
            "compare-and-put",
            "delete",
            "txn",
            "watch-fanout",
            "watch-churn",
            "lease-grant",
            "lease-keepalive",
            "lease-expiry",
            "lock",
            "election",
        ] {
            let words = format!(
                "--workload {workload} --clients 4 --conns 2 --keys 200 --duration 300ms --warmup \
                 0s --lease-ttl 1 --watchers 3 --check"
            );
            let (output, json) = run(target.addr(), &words);
            let is_old = target.kind == Kind::Etcd && workload == "range-stream";
            if is_old {
                assert!(number(&json, "/errors_by_code/UNIMPLEMENTED/count") > 0.0);
                continue;
            }
            assert_eq!(output.status.code(), Some(0), "{workload}: {json:#}");
            assert!(number(&json, "/operations") > 0.0, "{workload}: {json:#}");
            assert_eq!(number(&json, "/errors"), 0.0, "{workload}: {json:#}");
            assert_eq!(number(&json, "/check/faults"), 0.0, "{workload}: {json:#}");
            let by_operation = format!("/latency_us_by_operation/{workload}/p50");
            assert!(number(&json, &by_operation) > 0.0);
        }
    }
}

#[test]
fn the_figures_of_a_run_fit_each_other() {
    for target in servers() {
        let (_, json) = run(
            target.addr(),
            "--mix put=1,get=3 --rate 500 --duration 2s --warmup 500ms --keys 100 --seed 7 \
             --key-space zipfian",
        );
        // The clock makes them, whatever the server does.
        assert_eq!(number(&json, "/operations"), 1000.0);
        assert_eq!(number(&json, "/errors"), 0.0);
        assert_eq!(number(&json, "/operations_per_second"), 500.0);
        let puts = number(&json, "/latency_us_by_operation/put/count");
        let gets = number(&json, "/latency_us_by_operation/get/count");
        assert!(puts + gets == 1000.0 && puts > 150.0 && gets > 600.0);
        for pair in [["p50", "p99"], ["p99", "p999"], ["p999", "max"]] {
            let [less, more] = pair.map(|key| number(&json, &format!("/latency_us/{key}")));
            assert!(less <= more, "{pair:?}");
        }
        assert!(number(&json, "/client_cpu_us_per_operation") > 0.0);
        assert!(number(&json, "/server_cpu_us_per_operation") > 0.0);
        assert!(number(&json, "/server_rss_bytes") > 1e6);
        assert_eq!(json["format"], "stoa-loadgen");
        assert_eq!(json["seed"], 7);
        let pieces = json["course"]["pieces"].as_array().unwrap();
        let seen: f64 = pieces.iter().map(|p| number(p, "/operations")).sum();
        assert!(seen > 900.0, "{seen}");
    }
}

#[test]
fn schedules_change_the_rate_on_the_way() {
    let target = Target::start(Kind::Stoa(1), &[]).unwrap().unwrap();
    let ramp: Vec<f64> = (0..10).map(|n| f64::from(120 + 40 * n)).collect();
    for (flag, rates) in [
        ("--steps 100,500", vec![100.0, 500.0]),
        ("--ramp 100..500", ramp),
    ] {
        let page = target.home().join("bench.html");
        let words = format!(
            "--workload get {flag} --duration 2s --warmup 0s --keys 10 --html {}",
            page.display()
        );
        let (output, json) = run(target.addr(), &words);
        let steps = json["steps"].as_array().unwrap();
        let asked: Vec<f64> = steps
            .iter()
            .map(|s| number(s, "/rate_asked").round())
            .collect();
        assert_eq!(asked, rates, "{flag}");
        let length = 2.0 / rates.len() as f64;
        for (n, step) in steps.iter().enumerate() {
            assert_eq!(number(step, "/errors"), 0.0);
            // What is due in a step is told with it, to the nearest whole operation.
            let due = number(step, "/operations");
            assert!((due - rates[n] * length).abs() <= 1.0, "{flag}: {step}");
            assert_eq!(number(step, "/latency_us/count"), due);
            assert!((number(step, "/at_seconds") - n as f64 * length).abs() < 1e-6);
            assert!(number(step, "/latency_us/p50") <= number(step, "/latency_us/max"));
        }
        // Each answer came in one of the steps, but for those that came after the end.
        let came = steps.iter().map(|s| number(s, "/rate_reached") * length);
        let came = came.sum::<f64>().round();
        assert_eq!(came, number(&json, "/operations_in_time"), "{flag}");
        assert_eq!(number(&json, "/operations"), 600.0, "{flag}");
        let pieces = json["course"]["pieces"].as_array().unwrap();
        let half = pieces.len() / 2;
        let sum = |some: &[Value]| some.iter().map(|p| number(p, "/operations")).sum::<f64>();
        assert!(
            sum(&pieces[half..]) > 1.5 * sum(&pieces[..half]),
            "{flag}: {pieces:?}"
        );
        let page = std::fs::read_to_string(page).unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(page.contains("Latency by step") && said.contains("Latency by step"));
    }
}

/// Each of the watchers is told of each put once, however the server packs events and whether they
/// have a stream each or share one.
#[test]
fn every_watcher_of_a_fan_out_is_told_of_every_put() {
    let servers = servers();
    for (target, per_stream) in servers.iter().flat_map(|t| [(t, 1), (t, 3)]) {
        let words = format!(
            "--workload watch-fanout --watchers 7 --watches-per-stream {per_stream} --conns 2 \
             --rate 300 --duration 1s --warmup 200ms --keys 5 --check"
        );
        let (_, json) = run(target.addr(), &words);
        assert_eq!(number(&json, "/operations"), 2100.0, "{json:#}");
        assert_eq!(number(&json, "/errors"), 0.0);
        assert!(
            number(&json, "/latency_us/max") < 60e6,
            "a put's own time: {json:#}"
        );
    }
}

/// Sends a signal to a process of ours.
fn signal(pid: u32, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// A load that has begun: its first puts are there.
fn begun(target: &Target, words: &str, json: &Path) -> Child {
    let child = bench(&format!("http://{}", target.addr()), words, Some(json))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = tests::client::Client::connect(target.addr()).await.unwrap();
        loop {
            let all = client.get("stoa-loadgen/", "stoa-loadgen0").await.unwrap();
            if all.count >= 10 {
                break;
            }
        }
    });
    child
}

/// Latency counts from when an operation was due: those that were due while the server stood still
/// waited for it, also those that a closed loop would not have sent.
#[test]
fn a_pause_of_the_server_is_in_the_latencies_of_all_that_were_due_in_it() {
    for target in servers() {
        let dir = tempfile::tempdir().unwrap();
        let json = dir.path().join("bench.json");
        let words = "--workload put --rate 1000 --duration 10s --warmup 0s";
        let mut child = begun(&target, words, &json);
        let pid = target.process().pid();
        signal(pid, "-STOP");
        std::thread::sleep(Duration::from_millis(500));
        signal(pid, "-CONT");
        assert!(child.wait().unwrap().success());
        let json: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
        assert_eq!(number(&json, "/operations"), 10_000.0);
        // 500 of 10,000 were due in the pause, so that one in a hundred waited 400 ms or more.
        assert!(number(&json, "/latency_us/p99") > 300_000.0, "{json:#}");
        assert!(number(&json, "/latency_us/max") > 480_000.0);
        let stalls = json["stalls"].as_array().unwrap();
        let longest = stalls.iter().map(|stall| number(stall, "/seconds"));
        assert!(longest.fold(0.0, f64::max) > 0.45, "{stalls:?}");
    }
}

#[test]
fn a_server_that_dies_and_comes_back_is_counted_and_the_run_goes_on() {
    for mut target in servers() {
        let dir = tempfile::tempdir().unwrap();
        let json = dir.path().join("bench.json");
        let words = "--workload put --clients 8 --duration 6s --warmup 0s --check";
        let mut child = begun(&target, words, &json);
        target.kill();
        target.restart().unwrap();
        let code = child.wait().unwrap().code();
        let json: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
        assert!(number(&json, "/errors_by_code/UNAVAILABLE/count") >= 1.0);
        // What was acknowledged before and after it died is there.
        assert_eq!(
            (code, number(&json, "/check/faults")),
            (Some(0), 0.0),
            "{json:#}"
        );
        let pieces = json["course"]["pieces"].as_array().unwrap();
        let last = number(pieces.last().unwrap(), "/at_seconds");
        assert!(last > 5.0, "nothing was answered after {last} s");
    }
}

/// A client has keys of its own; what one kind of operation does to its key is no news to another.
#[test]
fn kinds_of_operations_in_a_mix_keep_apart() {
    for target in servers() {
        let words = "--mix compare-and-put=1,watch-churn=1 --clients 4 --duration 1s --warmup 0s \
                     --check";
        let (output, json) = run(target.addr(), words);
        assert_eq!(number(&json, "/errors"), 0.0, "{json:#}");
        assert_eq!(number(&json, "/check/faults"), 0.0, "{json:#}");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn what_was_measured_is_told_although_the_server_stays_away() {
    let mut target = Target::start(Kind::Stoa(1), &[]).unwrap().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("bench.json");
    let words = "--workload put --rate 200 --duration 4s --warmup 0s --check";
    let mut child = begun(&target, words, &json);
    target.kill();
    assert_eq!(child.wait().unwrap().code(), Some(2));
    let json: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let [well, badly] = ["/operations", "/errors"].map(|key| number(&json, key));
    assert!(well >= 1.0 && badly >= 1.0, "{json:#}");
    let told = json["check"]["first_faults"].to_string();
    assert!(told.contains("cannot be read back"), "{told}");
}

#[test]
fn ctrl_c_ends_a_run_with_what_was_measured() {
    let target = Target::start(Kind::Stoa(1), &[]).unwrap().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("bench.json");
    let mut child = begun(&target, "--workload put --duration 1h --warmup 0s", &json);
    signal(child.id(), "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let json: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert!(number(&json, "/operations") >= 10.0);
    assert!(number(&json, "/measured_seconds") < 600.0);
}

/// Passes connections on to a server, and turns some bytes of what it answers into others.
fn lying_door(behind: SocketAddr, from: &'static [u8], to: &'static [u8]) -> SocketAddr {
    use std::io::{Read, Write};
    assert_eq!(from.len(), to.len());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = std::net::TcpStream::connect(behind).unwrap();
            let (mut reads, mut writes) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut reads, &mut writes));
            let (mut server, mut client) = (server, client);
            std::thread::spawn(move || {
                let mut buffer = vec![0; 1 << 16];
                let lies = Cell::new(0);
                while let Ok(n @ 1..) = server.read(&mut buffer) {
                    let mut at = 0;
                    while at + from.len() <= n {
                        if buffer[at..].starts_with(from) {
                            buffer[at..at + from.len()].copy_from_slice(to);
                            lies.set(lies.get() + 1);
                        }
                        at += 1;
                    }
                    if client.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    addr
}

#[test]
fn a_server_that_shows_another_value_is_caught() {
    let target = Target::start(Kind::Stoa(1), &[]).unwrap().unwrap();
    // The seed is a part of every value.
    let (seed, other) = (&[0xa1; 8], &[0xa2; 8]);
    let door = lying_door(target.addr(), seed, other);
    let words = format!(
        "--workload put --clients 4 --keys 50 --duration 500ms --warmup 0s --check --seed {}",
        u64::from_be_bytes(*seed)
    );
    let (output, json) = run(door, &words);
    assert_eq!(output.status.code(), Some(2), "{json:#}");
    assert!(number(&json, "/check/faults") >= 1.0);
    let told = json["check"]["first_faults"].to_string();
    assert!(told.contains("another value"), "{told}");
    let (output, _) = run(target.addr(), &words);
    assert_eq!(output.status.code(), Some(0), "the server itself is sound");
}

#[test]
fn what_cannot_be_run_is_refused_on_one_line() {
    let port = tests::process::free_port().unwrap();
    let gone = format!("http://127.0.0.1:{port}");
    for (endpoints, words, wanted) in [
        (gone.as_str(), "--workload put", "cannot connect to"),
        ("ftp://127.0.0.1", "--workload put", "is no endpoint"),
        (gone.as_str(), "--workload nothing", "invalid value"),
        (gone.as_str(), "--mix put=0", "share above 0"),
        (gone.as_str(), "", "--workload"),
        (gone.as_str(), "--workload put --rate 0", "is no rate"),
        (
            gone.as_str(),
            "--workload put --rate 5 --steps 1,2",
            "cannot be used with",
        ),
        (gone.as_str(), "--workload put --clients 0", "at least 1"),
        (
            gone.as_str(),
            "--workload watch-fanout --value-size 4",
            "at least 8",
        ),
        (
            gone.as_str(),
            "--workload put --duration 5",
            "no span of time",
        ),
    ] {
        let output = bench(endpoints, words, None).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{words}");
        assert!(said.contains(wanted), "{words}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}
