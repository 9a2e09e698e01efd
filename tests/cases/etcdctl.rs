//! etcd's own command line, every version found, unchanged: what it prints and how it exits has
//! to be what it is against real etcd, against which every one of these cases runs as well.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use tests::peer;
use tests::process::Process;
use tests::skip::{on_ci, skip};
use tests::target::{Kind, Target};

/// One etcdctl aimed at one server.
struct Ctl<'a> {
    program: PathBuf,
    target: &'a Target,
}

impl Ctl<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.target.endpoint()]);
        command.args(args);
        command
    }

    fn output(&self, args: &[&str], input: &str) -> Output {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    }

    /// What a successful command prints.
    fn ok(&self, args: &[&str]) -> String {
        self.ok_with(args, "")
    }

    fn ok_with(&self, args: &[&str], input: &str) -> String {
        let out = self.output(args, input);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let errors = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.success(),
            "{} {args:?}: {text}{errors}",
            self.program.display()
        );
        text
    }

    /// What a failing command complains of.
    fn fails(&self, args: &[&str]) -> String {
        let out = self.output(args, "");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let errors = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success(), "{args:?} should fail, says {text}");
        text + &errors
    }

    /// The lines of a get, values only.
    fn values(&self, args: &[&str]) -> Vec<String> {
        let mut all = vec!["get", "--print-value-only"];
        all.extend(args);
        self.ok(&all).lines().map(str::to_owned).collect()
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        let mut all = args.to_vec();
        all.extend(["-w", "json"]);
        let text = self.ok(&all);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text}"))
    }

    /// Starts a command that goes on, such as a watch.
    fn start(&self, args: &[&str], log: &str) -> Process {
        let log = self.target.home().join(log);
        let _ = std::fs::remove_file(&log);
        Process::spawn(&mut self.command(args), &log).unwrap()
    }
}

/// Every etcdctl there is; without any the case is skipped.
fn tools() -> Vec<peer::Tool> {
    let tools = peer::etcdctls();
    if tools.is_empty() {
        skip("no etcdctl found");
    }
    tools
}

/// Runs a case with an etcdctl on a fresh server of its own.
fn with_fresh(kind: &Kind, tool: peer::Tool, case: &dyn Fn(&Ctl)) {
    let Some(target) = Target::start(kind.clone(), &[]).unwrap() else {
        return;
    };
    eprintln!("etcdctl {}", tool.version);
    case(&Ctl {
        program: tool.path,
        target: &target,
    });
}

/// Runs a case with every etcdctl.
fn each(kind: &Kind, case: fn(&Ctl)) {
    for tool in tools() {
        with_fresh(kind, tool, &case);
    }
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        mod etcd {$(
            #[test]
            fn $name() { super::each(&super::Kind::Etcd, super::$name); }
        )*}
        mod stoa {$(
            #[test]
            fn $name() { super::each(&super::Kind::Stoa(2), super::$name); }
        )*}
    };
}

cases!(
    put_and_get,
    get_options,
    sorts_and_filters,
    deletes,
    transactions,
    watches,
    leases,
    compaction,
    endpoints,
    maintenance,
    locks,
    elections,
    mirror,
    members,
    snapshot_is_whole,
);

const LIMIT: Duration = Duration::from_secs(20);

fn put_and_get(ctl: &Ctl) {
    assert_eq!(ctl.ok(&["put", "a", "1"]), "OK\n");
    assert_eq!(ctl.ok(&["put", "a", "2", "--prev-kv"]), "OK\na\n1\n");
    assert_eq!(ctl.ok(&["get", "a"]), "a\n2\n");
    assert_eq!(ctl.ok(&["get", "none"]), "");
    assert_eq!(ctl.ok_with(&["put", "piped"], "from stdin"), "OK\n");
    assert_eq!(
        ctl.ok(&["get", "piped", "--print-value-only"]),
        "from stdin\n"
    );
    ctl.ok(&["put", "a", "--ignore-value"]);
    assert_eq!(ctl.values(&["a"]), ["2"]);
    let error = ctl.fails(&["put", "none", "--ignore-value"]);
    assert!(error.contains("etcdserver: key not found"), "{error}");
    assert!(
        ctl.fails(&["put", "a", "1", "--lease", "77"])
            .contains("requested lease not found")
    );
    assert_eq!(ctl.ok(&["get", "a", "--hex"]), "\\x61\n\\x32\n");
    let fields = ctl.ok(&["get", "a", "-w", "fields"]);
    for line in [
        "\"Key\" : \"a\"",
        "\"Value\" : \"2\"",
        "\"Version\" : 3",
        "\"Count\" : 1",
    ] {
        assert!(fields.contains(line), "{line} in {fields}");
    }
    let json = ctl.json(&["get", "a"]);
    assert_eq!(json["kvs"][0]["key"], "YQ==");
    assert_eq!(json["kvs"][0]["create_revision"], 2);
    assert_eq!(json["kvs"][0]["mod_revision"], 5);
    assert_eq!(json["header"]["revision"], 5);
    assert!(json["header"]["cluster_id"].as_u64().unwrap() > 0);
    // More than one frame and more than one page.
    let big = "x".repeat(1_000_000);
    ctl.ok_with(&["put", "big"], &big);
    assert_eq!(ctl.values(&["big"]), [big]);
    let error = ctl.output(&["put", "huge"], &"x".repeat(1_600_000));
    let error = String::from_utf8_lossy(&error.stderr).into_owned();
    assert!(
        error.contains("etcdserver: request is too large"),
        "{error}"
    );
}

fn get_options(ctl: &Ctl) {
    for (key, value) in [("k1", "a"), ("k2", "b"), ("k3", "c"), ("m", "d")] {
        ctl.ok(&["put", key, value]);
    }
    assert_eq!(ctl.values(&["k", "--prefix"]), ["a", "b", "c"]);
    assert_eq!(ctl.values(&["k2", "--from-key"]), ["b", "c", "d"]);
    assert_eq!(ctl.values(&["k1", "k3"]), ["a", "b"]);
    assert_eq!(ctl.values(&["", "--prefix", "--limit", "2"]), ["a", "b"]);
    assert_eq!(ctl.values(&["k1", "--rev", "2"]), ["a"]);
    assert_eq!(ctl.values(&["k2", "--rev", "2"]), [""; 0]);
    assert_eq!(
        ctl.ok(&["get", "k", "--prefix", "--keys-only"]),
        "k1\n\nk2\n\nk3\n\n"
    );
    // Not every etcdctl has it.
    if ctl.ok(&["get", "--help"]).contains("count-only") {
        let count = ctl.ok(&["get", "k", "--prefix", "--count-only", "-w", "fields"]);
        assert!(count.contains("\"Count\" : 3"), "{count}");
    }
    let json = ctl.json(&["get", "k", "--prefix", "--limit", "1"]);
    assert_eq!(
        (json["count"].as_i64(), json["more"].as_bool()),
        (Some(3), Some(true))
    );
    assert_eq!(ctl.values(&["k1", "--consistency", "s"]), ["a"]);
    assert_eq!(ctl.values(&["k1", "--consistency", "l"]), ["a"]);
    let error = ctl.fails(&["get", "k1", "--rev", "99"]);
    assert!(
        error.contains("mvcc: required revision is a future revision"),
        "{error}"
    );
}

fn sorts_and_filters(ctl: &Ctl) {
    for (key, value) in [("k1", "z"), ("k2", "y"), ("k3", "x"), ("k1", "m")] {
        ctl.ok(&["put", key, value]);
    }
    let sorted =
        |by: &str, order: &str| ctl.values(&["k", "--prefix", "--sort-by", by, "--order", order]);
    assert_eq!(sorted("KEY", "DESCEND"), ["x", "y", "m"]);
    assert_eq!(sorted("VALUE", "ASCEND"), ["m", "x", "y"]);
    assert_eq!(sorted("MODIFY", "DESCEND"), ["m", "x", "y"]);
    assert_eq!(sorted("CREATE", "ASCEND"), ["m", "y", "x"]);
    assert_eq!(sorted("VERSION", "DESCEND")[0], "m");
    let first = [
        "k",
        "--prefix",
        "--sort-by",
        "MODIFY",
        "--order",
        "DESCEND",
        "--limit",
        "1",
    ];
    assert_eq!(ctl.values(&first), ["m"]);
    // Not every etcdctl has the filters.
    if ctl.ok(&["get", "--help"]).contains("min-mod-rev") {
        assert_eq!(ctl.values(&["k", "--prefix", "--min-mod-rev", "5"]), ["m"]);
        assert_eq!(
            ctl.values(&["k", "--prefix", "--max-create-rev", "3"]),
            ["m", "y"]
        );
    }
}

fn deletes(ctl: &Ctl) {
    for key in ["a1", "a2", "b", "c", "d"] {
        ctl.ok(&["put", key, key]);
    }
    assert_eq!(ctl.ok(&["del", "none"]), "0\n");
    assert_eq!(ctl.ok(&["del", "a1", "--prev-kv"]), "1\na1\na1\n");
    assert_eq!(ctl.ok(&["del", "a", "--prefix"]), "1\n");
    assert_eq!(ctl.ok(&["del", "b", "c"]), "1\n");
    assert_eq!(ctl.ok(&["del", "c", "--from-key"]), "2\n");
    assert_eq!(ctl.ok(&["get", "", "--prefix"]), "");
}

fn transactions(ctl: &Ctl) {
    ctl.ok(&["put", "k", "1"]);
    let yes = "value(\"k\") = \"1\"\nmod(\"k\") > \"0\"\n\nput k 2\nget k\n\nput k 3\n\n";
    assert_eq!(ctl.ok_with(&["txn"], yes), "SUCCESS\n\nOK\n\nk\n2\n");
    let no = "version(\"k\") = \"9\"\n\nput k 4\n\ndel k\nget k\n\n";
    assert_eq!(ctl.ok_with(&["txn"], no), "FAILURE\n\n1\n\n");
    let json = ctl.json(&["get", "k"]);
    assert_eq!(json["header"]["revision"], 4);
    let twice = ctl.output(&["txn"], "\nput a 1\nput a 2\n\n\n");
    let error = String::from_utf8_lossy(&twice.stderr).into_owned();
    assert!(
        error.contains("etcdserver: duplicate key given in txn request"),
        "{error}"
    );
}

fn watches(ctl: &Ctl) {
    ctl.ok(&["put", "w1", "old"]);
    ctl.ok(&["put", "w1", "new"]);
    ctl.ok(&["del", "w1"]);
    let mut history = ctl.start(&["watch", "w1", "--rev", "2", "--prev-kv"], "history");
    history
        .wait_for_line("DELETE\nw1\nnew\nw1\n", 0, LIMIT)
        .unwrap();
    let text = history.log_text();
    let lines: Vec<&str> = text.lines().filter(|l| !l.is_empty()).collect();
    let all = "PUT w1 old PUT w1 old w1 new DELETE w1 new w1";
    assert_eq!(lines.join(" "), all);
    let mut live = ctl.start(
        &["watch", "--prefix", "w", "--rev", "5", "-w", "json"],
        "live",
    );
    ctl.ok(&["put", "other", "1"]);
    ctl.ok(&["put", "w2", "live"]);
    live.wait_for_line("\"mod_revision\":6", 0, LIMIT).unwrap();
    assert!(
        !live.log_text().contains("b3RoZXI="),
        "told of a key outside the range"
    );
    ctl.ok(&["compact", "5"]);
    let mut gone = ctl.start(&["watch", "w1", "--rev", "2"], "gone");
    gone.wait_for_line("required revision has been compacted", 0, LIMIT)
        .unwrap();
    let mut exec = ctl.start(&["watch", "w2", "--rev", "6", "--", "env"], "exec");
    exec.wait_for_line("ETCD_WATCH_VALUE=\"live\"", 0, LIMIT)
        .unwrap();
}

/// The lease id in `lease 694d… granted with TTL(…)`.
fn grant(ctl: &Ctl, ttl: &str) -> String {
    let text = ctl.ok(&["lease", "grant", ttl]);
    assert!(
        text.contains(&format!("granted with TTL({ttl}s)")),
        "{text}"
    );
    text.split_whitespace().nth(1).unwrap().to_owned()
}

fn leases(ctl: &Ctl) {
    let id = grant(ctl, "600");
    ctl.ok(&["put", "held", "1", "--lease", &id]);
    ctl.ok(&["put", "also", "1", "--lease", &id]);
    let left = ctl.ok(&["lease", "timetolive", &id, "--keys"]);
    assert!(
        left.contains("granted with TTL(600s), remaining("),
        "{left}"
    );
    // etcd names them in no order.
    let keys = ["attached keys([also held])", "attached keys([held also])"];
    assert!(keys.iter().any(|k| left.contains(k)), "{left}");
    assert!(ctl.ok(&["lease", "list"]).contains(&id));
    let renewed = ctl.ok(&["lease", "keep-alive", "--once", &id]);
    assert_eq!(renewed, format!("lease {id} keepalived with TTL(600)\n"));
    ctl.ok(&["put", "also", "2", "--ignore-lease"]);
    assert_eq!(
        ctl.ok(&["lease", "revoke", &id]),
        format!("lease {id} revoked\n")
    );
    assert_eq!(ctl.ok(&["get", "", "--prefix"]), "");
    assert!(
        ctl.fails(&["lease", "revoke", &id])
            .contains("requested lease not found")
    );
    let expired = ctl.ok(&["lease", "timetolive", &id]);
    assert_eq!(expired, format!("lease {id} already expired\n"));
    // A lease that ends by itself takes its keys along, and a watcher is told.
    let short = grant(ctl, "2");
    ctl.ok(&["put", "brief", "1", "--lease", &short]);
    let mut watch = ctl.start(&["watch", "brief", "--rev", "1"], "brief");
    watch.wait_for_line("DELETE\nbrief", 0, LIMIT).unwrap();
    assert_eq!(ctl.ok(&["get", "brief"]), "");
}

fn compaction(ctl: &Ctl) {
    for n in 0..10 {
        ctl.ok(&["put", "k", &n.to_string()]);
    }
    assert_eq!(ctl.ok(&["compaction", "5"]), "compacted revision 5\n");
    assert_eq!(ctl.values(&["k", "--rev", "5"]), ["3"]);
    assert!(
        ctl.fails(&["get", "k", "--rev", "4"])
            .contains("has been compacted")
    );
    assert!(
        ctl.fails(&["compaction", "5"])
            .contains("has been compacted")
    );
    assert!(
        ctl.fails(&["compaction", "99"])
            .contains("is a future revision")
    );
    assert_eq!(
        ctl.ok(&["compaction", "--physical", "8"]),
        "compacted revision 8\n"
    );
    assert_eq!(ctl.values(&["k"]), ["9"]);
}

fn endpoints(ctl: &Ctl) {
    assert!(ctl.output(&["endpoint", "health"], "").status.success());
    let status = ctl.json(&["endpoint", "status"]);
    let status = &status[0]["Status"];
    let version = status["version"].as_str().unwrap_or("none");
    assert!(version.starts_with("3."), "{version}");
    assert_eq!(status["leader"], status["header"]["member_id"]);
    assert!(status["dbSize"].as_u64() > Some(0), "{status}");
    assert!(status["raftIndex"].as_u64() > Some(0), "{status}");
    let before = ctl.json(&["endpoint", "hashkv"]);
    ctl.ok(&["put", "k", "1"]);
    let after = ctl.json(&["endpoint", "hashkv"]);
    assert_ne!(before[0]["HashKV"]["hash"], after[0]["HashKV"]["hash"]);
    let table = ctl.ok(&["endpoint", "status", "-w", "table"]);
    assert!(
        table.contains("IS LEADER") && table.contains("true"),
        "{table}"
    );
    assert!(
        ctl.output(&["endpoint", "health", "--cluster"], "")
            .status
            .success()
    );
}

fn maintenance(ctl: &Ctl) {
    ctl.ok(&["put", "k", "1"]);
    assert_eq!(ctl.ok(&["alarm", "list"]), "");
    assert_eq!(ctl.ok(&["alarm", "disarm"]), "");
    assert!(
        ctl.ok(&["defrag"])
            .starts_with("Finished defragmenting etcd member[")
    );
    assert_eq!(ctl.values(&["k"]), ["1"]);
}

fn locks(ctl: &Ctl) {
    assert_eq!(ctl.ok(&["lock", "l", "echo", "inside"]), "inside\n");
    let mut first = ctl.start(&["lock", "l"], "first");
    first.wait_for_line("l/", 0, LIMIT).unwrap();
    let mut second = ctl.start(&["lock", "l"], "second");
    // Both wait in line by create revision; the second has its key and not the lock.
    while ctl.json(&["get", "l/", "--prefix"])["count"] != 2 {}
    assert_eq!(second.log_text(), "");
    first.stop(LIMIT).unwrap();
    second.wait_for_line("l/", 0, LIMIT).unwrap();
}

fn elections(ctl: &Ctl) {
    let mut leader = ctl.start(&["elect", "e", "one"], "leader");
    leader.wait_for_line("one", 0, LIMIT).unwrap();
    let mut observer = ctl.start(&["elect", "-l", "e"], "observer");
    observer.wait_for_line("one", 0, LIMIT).unwrap();
    let mut next = ctl.start(&["elect", "e", "two"], "next");
    while ctl.json(&["get", "e/", "--prefix"])["count"] != 2 {}
    assert_eq!(next.log_text(), "");
    leader.stop(LIMIT).unwrap();
    next.wait_for_line("two", 0, LIMIT).unwrap();
    observer.wait_for_line("two", 0, LIMIT).unwrap();
}

fn mirror(ctl: &Ctl) {
    let Some(other) = Target::start(ctl.target.kind.clone(), &[]).unwrap() else {
        return;
    };
    let there = Ctl {
        program: ctl.program.clone(),
        target: &other,
    };
    ctl.ok(&["put", "m1", "before"]);
    let end = other.endpoint();
    let end = end.trim_start_matches("http://");
    let args = ["make-mirror", "--prefix", "m", "--dest-prefix", "c", end];
    let mut running = ctl.start(&args, "mirror");
    let mut watch = there.start(&["watch", "--prefix", "c", "--rev", "1"], "mirrored");
    watch.wait_for_line("c1\nbefore", 0, LIMIT).unwrap();
    ctl.ok(&["put", "m2", "live"]);
    watch.wait_for_line("c2\nlive", 0, LIMIT).unwrap();
    ctl.ok(&["del", "m1"]);
    watch.wait_for_line("DELETE\nc1", 0, LIMIT).unwrap();
    assert!(
        running.try_wait().unwrap().is_none(),
        "{}",
        running.log_text()
    );
}

fn members(ctl: &Ctl) {
    let list = ctl.ok(&["member", "list"]);
    assert!(list.contains(", started, m1, http://127.0.0.1:"), "{list}");
    let json = ctl.json(&["member", "list"]);
    assert_eq!(json["members"].as_array().unwrap().len(), 1);
    assert_eq!(json["members"][0]["clientURLs"][0], ctl.target.endpoint());
}

fn snapshot_is_whole(ctl: &Ctl) {
    ctl.ok(&["put", "k", "1"]);
    let file = ctl.target.home().join("copy.db");
    let file = file.to_str().unwrap();
    // etcdctl itself holds the sum at the end against the bytes.
    ctl.ok(&["snapshot", "save", file]);
    let status = ctl.json(&["snapshot", "status", file]);
    assert_eq!(status["revision"], 2, "{status}");
}

/// A minute for each version and server, whatever the server does: all at once.
#[test]
fn check_perf() {
    if std::env::var_os("STOA_CHECK_PERF").is_none() && !on_ci() {
        eprintln!("skipped: takes 60 s; set STOA_CHECK_PERF=1");
        return;
    }
    let check = |ctl: &Ctl| {
        let out = ctl.output(&["check", "perf", "--load", "s"], "");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(text.contains("PASS: Throughput is"), "{text}");
    };
    thread::scope(|scope| {
        for kind in [Kind::Etcd, Kind::Stoa(2)] {
            for tool in tools() {
                let kind = kind.clone();
                scope.spawn(move || with_fresh(&kind, tool, &check));
            }
        }
    });
}
