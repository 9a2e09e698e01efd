//! `stoa-loadgen kubernetes` against real servers: it plays what its model says, its caches are
//! what the server lists, and neither a restarted apiserver nor a killed server loses an event.
#![allow(clippy::unwrap_used)]

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::node::loadgen;
use tests::process::Process;
use tests::target::{Kind, Target};

/// How long a run may take beyond its own duration. Long, because the machine may be busy.
const LIMIT: Duration = Duration::from_secs(180);

/// The objectives did not hold: of no interest on a busy machine.
const NOT_HELD: i32 = 3;

/// One run of the program.
struct Game {
    target: Target,
    process: Process,
}

impl Game {
    /// Begins a run against a fresh server, if that is on this machine.
    fn begin(kind: Kind, args: &[&str]) -> Option<Game> {
        let target = Target::start(kind, &[]).unwrap()?;
        let process = play(&target, args);
        Some(Game { target, process })
    }

    /// Waits for its end.
    fn end(&mut self) -> (i32, Value) {
        let status = self.process.wait_exit(LIMIT).unwrap();
        let json = std::fs::read(self.target.home().join("found.json"));
        let log = self.process.log_text();
        let json = json.unwrap_or_else(|e| panic!("{status}, no JSON ({e}):\n{log}"));
        (
            status.code().unwrap_or(-1),
            serde_json::from_slice(&json).unwrap(),
        )
    }

    /// Waits until what is measured has begun, which is seen by events being there.
    fn wait_for_events(&mut self) {
        let began = Instant::now();
        while count(&self.target, "/registry/events/") == 0 {
            assert!(began.elapsed() < LIMIT, "{}", self.process.log_text());
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "{}", self.process.log_text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn play(target: &Target, args: &[&str]) -> Process {
    let mut command = Command::new(loadgen().unwrap());
    command
        .arg("kubernetes")
        .args(["--endpoints", &target.endpoint()]);
    command.arg("--json").arg(target.home().join("found.json"));
    command
        .args(["--html"])
        .arg(target.home().join("found.html"));
    command.args(args);
    Process::spawn(&mut command, &target.home().join("loadgen.log")).unwrap()
}

fn count(target: &Target, prefix: &str) -> i64 {
    use tests::client::{Client, pb, run};
    run(async {
        let Ok(client) = Client::connect(target.addr()).await else {
            return 0;
        };
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().unwrap() += 1;
        let request = pb::RangeRequest {
            key: prefix.as_bytes().to_vec().into(),
            range_end: end.into(),
            count_only: true,
            ..Default::default()
        };
        client
            .with_limit(LIMIT)
            .range(&request)
            .await
            .map_or(0, |answer| answer.count)
    })
}

fn number(json: &Value, key: &str) -> f64 {
    json[key]
        .as_f64()
        .unwrap_or_else(|| panic!("{key}: {}", json[key]))
}

/// Every cache is what the server lists, and nothing came out of order.
fn assert_caches(json: &Value, apiservers: usize) {
    let caches = json["caches"].as_array().unwrap();
    assert_eq!(caches.len(), apiservers * 7);
    for cache in caches {
        assert_eq!(cache["equal"], true, "{cache}");
    }
    assert_eq!(json["caches_equal"], true);
    assert_eq!(number(json, "gaps"), 0.0);
    assert_eq!(number(json, "lost"), 0.0);
}

fn kinds() -> [Kind; 2] {
    [Kind::Stoa(2), Kind::Etcd]
}

/// A small cluster, played for some time.
fn small(duration: &'static str, more: &[&'static str]) -> Vec<&'static str> {
    let mut args = vec![
        "--nodes",
        "20",
        "--pods-per-node",
        "15",
        "--apiservers",
        "2",
    ];
    args.extend(["--changes", "20", "--node-bytes", "2000", "--seed", "7"]);
    args.extend(["--duration", duration]);
    args.extend(more);
    args
}

#[test]
fn the_model_is_what_is_played_and_every_cache_is_as_listed() {
    for kind in kinds() {
        let Some(mut game) = Game::begin(kind, &small("8s", &["--compact-every", "2s"])) else {
            continue;
        };
        let (code, json) = game.end();
        assert!(
            code == 0 || code == NOT_HELD,
            "{code}: {}",
            game.process.log_text()
        );
        assert_eq!(json["command"], "kubernetes");
        assert_eq!(
            (number(&json, "nodes"), number(&json, "pods")),
            (20.0, 300.0)
        );
        assert_caches(&json, 2);
        assert_eq!(number(&json, "errors"), 0.0, "{json:#}");
        // Each cache has all: 20 leases, 20 nodes, 300 pods, 3 for each of 20 apps, events.
        let objects = |resource: &str| {
            let caches = json["caches"].as_array().unwrap();
            let of = caches.iter().filter(|c| c["resource"] == resource);
            of.map(|c| c["objects"].as_u64().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(objects("leases"), [20, 20]);
        assert_eq!(objects("pods"), [300, 300]);
        assert_eq!(objects("endpointslices"), [20, 20]);
        let events = count(&game.target, "/registry/events/").unsigned_abs();
        assert_eq!(objects("events"), [events, events]);
        // What was replaced was replaced in all the model's steps. How many were is chance.
        let by = json["by_resource"].as_array().unwrap();
        let done = |resource: &str, verb: &str| {
            let of = by
                .iter()
                .find(|w| w["resource"] == resource && w["verb"] == verb);
            of.map_or(0, |w| w["count"].as_u64().unwrap())
        };
        let replaced = done("pods", "create");
        assert!((20..200).contains(&replaced), "{replaced} of about 80");
        assert_eq!(done("pods", "update"), replaced * 6);
        assert_eq!(done("pods", "delete"), replaced);
        assert_eq!(done("events", "create"), replaced * 5);
        assert_eq!(done("deployments", "update"), replaced * 2);
        // Every node renews its lease once in 10 s; 8 s are less than one round.
        assert!((1..=20).contains(&done("leases", "update")));
        // Every write is seen by every cache.
        let writes = number(&json, "writes");
        assert_eq!(
            json["watch_lag_us"]["count"].as_f64().unwrap(),
            writes * 2.0
        );
        // The first compaction only learns the present; one of two apiservers wins each turn.
        let compactions = json["apiservers"].as_array().unwrap().iter();
        let compactions: u64 = compactions
            .map(|a| a["compactions"].as_u64().unwrap())
            .sum();
        assert!((1..=3).contains(&compactions), "{compactions}");
        assert!(
            number(&json, "server_rss_bytes") > 1e6,
            "a local server is found"
        );
        let html = std::fs::read_to_string(game.target.home().join("found.html")).unwrap();
        assert!(html.contains("watch lag"));
    }
}

#[test]
fn an_apiserver_that_restarts_lists_all_again() {
    let more = ["--restart-apiserver-every", "2s", "--range-stream"];
    for kind in kinds() {
        let Some(mut game) = Game::begin(kind, &small("8s", &more)) else {
            continue;
        };
        let (code, json) = game.end();
        assert!(
            code == 0 || code == NOT_HELD,
            "{code}: {}",
            game.process.log_text()
        );
        assert_caches(&json, 2);
        assert_eq!(number(&json, "errors"), 0.0, "{json:#}");
        let lists: u64 = (0..2)
            .map(|n| json["apiservers"][n]["lists"].as_u64().unwrap())
            .sum();
        // Two begin with 7 each; restarts after 2, 4 and 6 seconds.
        assert!(lists >= 14 + 7, "{lists}");
        assert_eq!(lists % 7, 0);
    }
}

#[test]
fn a_killed_server_costs_errors_but_no_event() {
    for kind in kinds() {
        let Some(mut game) = Game::begin(kind, &small("12s", &[])) else {
            continue;
        };
        game.wait_for_events();
        game.target.kill();
        game.target.restart().unwrap();
        let (code, json) = game.end();
        assert_eq!(code, NOT_HELD, "{}", game.process.log_text());
        assert_caches(&json, 2);
        assert!(json["errors_by_code"]["UNAVAILABLE"].as_u64().unwrap() > 0);
        for apiserver in json["apiservers"].as_array().unwrap() {
            assert!(apiserver["resumes"].as_u64().unwrap() >= 7, "{apiserver}");
            assert_eq!(apiserver["lists"], 7, "watches went on without a list");
        }
    }
}

#[test]
fn ctrl_c_ends_with_what_was_measured() {
    let args = small("10m", &[]);
    let mut game = Game::begin(Kind::Stoa(2), &args).unwrap();
    game.wait_for_events();
    game.process.signal(libc::SIGINT).unwrap();
    let (code, json) = game.end();
    assert!(code == 0 || code == NOT_HELD, "{code}");
    assert_eq!(json["ended_early"], true);
    assert!(number(&json, "measured_seconds") < 600.0);
    assert!(number(&json, "writes") > 0.0);
    assert_caches(&json, 2);
}

#[test]
fn it_does_not_write_over_another_cluster() {
    let mut game = Game::begin(Kind::Stoa(2), &small("1s", &[])).unwrap();
    let _ = game.end();
    let mut again = play(&game.target, &small("1s", &[]));
    assert_eq!(again.wait_exit(LIMIT).unwrap().code(), Some(1));
    let text = again.log_text();
    assert!(text.contains("keys below /registry/"), "{text}");
    assert!(text.contains("--wipe"), "{text}");
    let mut again = play(&game.target, &small("1s", &["--wipe"]));
    let code = again.wait_exit(LIMIT).unwrap().code();
    assert!(
        code == Some(0) || code == Some(NOT_HELD),
        "{}",
        again.log_text()
    );
}

#[test]
fn what_cannot_be_meant_is_refused_in_a_line() {
    let bad = [
        (vec!["--nodes", "0"], "--nodes"),
        (vec!["--duration", "5"], "500ms, 60s, 5m or 1h"),
        (vec!["--duration", "10ms"], "a second at least"),
        (vec!["--changes=-1"], "--changes has to be"),
        (vec!["--endpoints", "ftp://localhost"], "http or https"),
        (
            vec!["--endpoints", "http://127.0.0.1:1"],
            "cannot connect to 127.0.0.1:1",
        ),
    ];
    for (args, words) in bad {
        let out = Command::new(loadgen().unwrap())
            .arg("kubernetes")
            .args(&args)
            .output()
            .unwrap();
        assert!(!out.status.success());
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(text.contains(words), "{args:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}
