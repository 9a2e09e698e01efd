//! The JSON gateway: the same HTTP requests to real etcd and to Stoa, and the same answers.
#![allow(clippy::unwrap_used)]

#[path = "gateway/doors.rs"]
mod doors;
#[path = "gateway/wire.rs"]
mod wire;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::target::{Kind, Target};
use wire::Http;

const LIMIT: Duration = Duration::from_secs(60);

/// Requests in their order, after `/v3/`, whose answers are compared whole.
const STEPS: &[(&str, &str)] = &[
    ("kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#),
    ("kv/put", r#"{"key":"Zm9v","value":"YmF6","prev_kv":true}"#),
    ("kv/put", r#"{"key":"Zm9vMg==","value":"+/8="}"#),
    ("kv/put", r#"{"key":"Zm9v","lease":"77"}"#),
    ("kv/put", r#"{"value":"YmFy"}"#),
    ("kv/range", r#"{"key":"Zm9v"}"#),
    (
        "kv/range",
        r#"{"key":"Zm9v","range_end":"Zm9w","limit":"1"}"#,
    ),
    (
        "kv/range",
        r#"{"key":"Zm9v","rangeEnd":"Zm9w","sort_order":"DESCEND","countOnly":false}"#,
    ),
    (
        "kv/range",
        r#"{"key":"Zm9v","range_end":"Zm9w","sort_order":2,"sort_target":"MOD"}"#,
    ),
    (
        "kv/range",
        r#"{"key":"Zm9v","range_end":"Zm9w","count_only":true}"#,
    ),
    ("kv/range", r#"{"key":"Zm9v","no_such_field":{"a":[1]}}"#),
    ("kv/range", r#"{"key":"Zm9v"} and more"#),
    ("kv/range", r#"{"key":null}"#),
    ("kv/range", r#"{"key":"bm9uZQ=="}"#),
    ("kv/range", r#"{"key":"Zm9v","revision":99}"#),
    ("kv/range", ""),
    (
        "kv/txn",
        r#"{"compare":[{"key":"Zm9v","result":"EQUAL","target":"VERSION","version":"0"}],
        "success":[{"request_put":{"key":"YQ=="}}],
        "failure":[{"request_range":{"key":"Zm9v"}},{"requestDeleteRange":{"key":"Zm9v"}},
            {"request_txn":{}},{"request_put":{"key":"YQ==","value":"MQ=="}}]}"#,
    ),
    (
        "kv/txn",
        r#"{"compare":[{"key":"YQ==","result":3,"target":"VALUE","value":"MA=="}]}"#,
    ),
    (
        "kv/txn",
        r#"{"success":[{"request_put":{"key":"YQ=="}},{"request_put":{"key":"YQ=="}}]}"#,
    ),
    ("kv/txn", "{}"),
    ("kv/deleterange", r#"{"key":"Zm9vMg==","prev_kv":true}"#),
    ("kv/deleterange", r#"{"key":"Zm9vMg=="}"#),
    ("kv/deleterange", "{}"),
    ("kv/compaction", r#"{"revision":"3","physical":true}"#),
    ("kv/compaction", r#"{"revision":3}"#),
    ("kv/compaction", r#"{"revision":99}"#),
    ("kv/range", r#"{"key":"Zm9v","revision":"2"}"#),
    ("lease/grant", r#"{"TTL":"600","ID":"7"}"#),
    ("lease/grant", r#"{"TTL":600,"ID":7}"#),
    ("lease/grant", r#"{"TTL":"9000000001"}"#),
    ("lease/grant", r#"{"TTL":600,"ID":-9}"#),
    ("kv/put", r#"{"key":"bGVhc2Vk","lease":7}"#),
    ("lease/timetolive", r#"{"ID":"7","keys":true}"#),
    ("kv/lease/timetolive", r#"{"ID":"7"}"#),
    ("lease/timetolive", r#"{"ID":"78"}"#),
    ("lease/keepalive", r#"{"ID":"7"}{"ID":78}"#),
    ("lease/keepalive", r#"{"ID":"7"}  {"ID":"x"} {"ID":"7"}"#),
    ("lease/keepalive", ""),
    ("lease/leases", "{}"),
    ("kv/lease/leases", "{}"),
    ("lease/revoke", r#"{"ID":"78"}"#),
    ("kv/lease/revoke", r#"{"ID":"-9"}"#),
    ("lease/revoke", r#"{"ID":"7"}"#),
    ("maintenance/alarm", r#"{"action":"GET"}"#),
    (
        "maintenance/alarm",
        r#"{"action":"ACTIVATE","alarm":"NOSPACE"}"#,
    ),
    ("kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#),
    ("maintenance/alarm", "{}"),
    ("maintenance/defragment", "{}"),
    (
        "maintenance/alarm",
        r#"{"action":"DEACTIVATE","alarm":"NOSPACE"}"#,
    ),
    ("maintenance/alarm", r#"{"action":"ACTIVATE"}"#),
    ("maintenance/alarm", "{}"),
    (
        "maintenance/alarm",
        r#"{"action":"ACTIVATE","alarm":"CORRUPT"}"#,
    ),
    ("kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#),
    ("kv/put", "{}"),
    ("kv/range", r#"{"key":"Zm9v"}"#),
    ("kv/range", r#"{"key":"Zm9v","serializable":true}"#),
    (
        "kv/txn",
        r#"{"success":[{"request_range":{"key":"Zm9v"}}]}"#,
    ),
    (
        "kv/txn",
        r#"{"success":[{"request_delete_range":{"key":"bm9uZQ=="}}]}"#,
    ),
    ("kv/deleterange", r#"{"key":"bm9uZQ=="}"#),
    ("kv/compaction", r#"{"revision":1}"#),
    ("lease/grant", r#"{"TTL":600,"ID":7}"#),
    ("lease/revoke", r#"{"ID":"78"}"#),
    ("lease/timetolive", r#"{"ID":"78"}"#),
    (
        "maintenance/alarm",
        r#"{"action":"DEACTIVATE","alarm":"CORRUPT"}"#,
    ),
    ("kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#),
    ("maintenance/transfer-leadership", "{}"),
    ("maintenance/transfer-leadership", r#"{"targetID":"5"}"#),
    // What both refuse: a step up, two steps down, no version. Stoa also refuses one step down, as
    // no etcd can read its data directory.
    ("maintenance/downgrade", r#"{"version":"3.9.0"}"#),
    (
        "maintenance/downgrade",
        r#"{"action":"ENABLE","version":"3.1.0"}"#,
    ),
    ("maintenance/downgrade", r#"{"version":"3"}"#),
    ("maintenance/downgrade", r#"{"version":"3.6.0.1"}"#),
    ("maintenance/downgrade", r#"{"version":"3.06.0"}"#),
    ("maintenance/downgrade", r#"{"version":"3.1.0-rc.1"}"#),
    ("maintenance/downgrade", r#"{"version":"v3.1.0"}"#),
    ("maintenance/downgrade", r#"{"version":""}"#),
    ("maintenance/downgrade", r#"{"action":"CANCEL"}"#),
    ("auth/status", "{}"),
    ("auth/authenticate", r#"{"name":"a","password":"b"}"#),
    ("election/leader", r#"{"name":"dm90ZQ=="}"#),
    ("election/proclaim", r#"{"value":"YQ=="}"#),
    ("election/campaign", r#"{"name":"dm90ZQ==","lease":77}"#),
    (
        "election/resign",
        r#"{"leader":{"name":"dm90ZQ==","key":"eA==","rev":"1","lease":"7"}}"#,
    ),
    ("lock/lock", r#"{"name":"ZG9vcg==","lease":77}"#),
    ("lock/unlock", r#"{"key":"ZG9vcg=="}"#),
    ("lock/unlock", "{}"),
    ("kv/nothing", "{}"),
    ("", "{}"),
];

/// Requests that are malformed: the texts are each server's own.
const MALFORMED: &[(&str, &str)] = &[
    ("kv/range", r#"{"key":"Zm9v""#),
    ("kv/range", "[]"),
    ("kv/range", "7"),
    ("kv/range", r#"{"key":1}"#),
    ("kv/range", r#"{"key":"!"}"#),
    ("kv/range", r#"{"key":"Zm9v","limit":"x"}"#),
    ("kv/range", r#"{"key":"Zm9v","limit":1.5}"#),
    (
        "kv/range",
        r#"{"key":"Zm9v","limit":"9223372036854775808"}"#,
    ),
    ("kv/range", r#"{"key":"Zm9v","sort_order":"UP"}"#),
    ("kv/range", r#"{"key":"Zm9v","serializable":"yes"}"#),
    ("kv/txn", r#"{"success":{}}"#),
    ("election/observe", r#"{"name":"#),
];

/// The same where many messages may come: the code is another one there.
const MALFORMED_STREAMS: &[(&str, &str)] = &[
    ("watch", r#"{"create_request":"#),
    ("watch", r#"{"create_request":7}"#),
    ("lease/keepalive", r#"{"ID":true}"#),
];

/// What real etcd answers and Stoa does not serve.
const UNSERVED: &[&str] = &[
    "cluster/member/remove",
    "cluster/member/update",
    "cluster/member/promote",
    "auth/enable",
    "auth/user/add",
    "auth/user/get",
    "auth/user/list",
    "auth/user/delete",
    "auth/user/changepw",
    "auth/user/grant",
    "auth/user/revoke",
    "auth/role/add",
    "auth/role/get",
    "auth/role/list",
    "auth/role/delete",
    "auth/role/grant",
    "auth/role/revoke",
];

/// Takes out what differs between any two clusters, or between levels of etcd.
fn settle(value: &mut Value) {
    if let Value::Object(members) = value {
        for name in [
            "cluster_id",
            "member_id",
            "memberID",
            "raft_term",
            "hash_revision",
        ] {
            members.remove(name);
        }
        if members.contains_key("grantedTTL") {
            members.remove("TTL");
        }
        members.values_mut().for_each(settle);
    }
    if let Value::Array(elements) = value {
        elements.iter_mut().for_each(settle);
        // Leases come in the order in which they end.
        elements.sort_by_key(|e| e.get("ID").map(ToString::to_string));
    }
}

/// A body, line by line.
fn lines(body: &str) -> Vec<Value> {
    let line = |line: &str| {
        let mut value = serde_json::from_str(line).unwrap_or_else(|_| json!(line));
        settle(&mut value);
        value
    };
    body.lines().map(line).collect()
}

/// Starts both servers, those that are there, and gives what `story` says of each.
fn both<R>(story: impl Fn(SocketAddr, bool) -> R) -> Vec<R> {
    both_with(&[], story)
}

/// The same with flags.
fn both_with<R>(flags: &[&str], story: impl Fn(SocketAddr, bool) -> R) -> Vec<R> {
    let started = [Kind::Etcd, Kind::Stoa(3)].map(|kind| Target::start(kind, flags).unwrap());
    let servers = started.iter().flatten();
    servers.map(|t| story(t.addr(), t.is_stoa())).collect()
}

#[test]
fn requests_are_answered_as_etcd_answers_them() {
    let stories = both(|addr, _| {
        let mut http = Http::connect(addr);
        let mut answers = Vec::new();
        for (path, body) in STEPS {
            let (head, answer) = http.post(&format!("/v3/{path}"), body);
            let kind = head.header("content-type").unwrap_or_default().to_owned();
            let origin = head.header("access-control-allow-origin");
            assert_eq!(origin, Some("*"), "{path}");
            answers.push((head.status, kind, lines(&answer)));
        }
        answers
    });
    let [theirs, ours] = &stories[..] else { return };
    for ((step, theirs), ours) in STEPS.iter().zip(theirs).zip(ours) {
        assert_eq!(theirs, ours, "{step:?}");
    }
}

#[test]
fn what_is_malformed_is_refused_as_etcd_refuses_it() {
    both(|addr, _| {
        let mut http = Http::connect(addr);
        let unary = MALFORMED.iter().map(|step| (step, 400, 3));
        let streams = MALFORMED_STREAMS.iter().map(|step| (step, 500, 2));
        for ((path, body), status, code) in unary.chain(streams) {
            let (head, answer) = http.post(&format!("/v3/{path}"), body);
            assert_eq!(head.status, status, "{path} {body}: {answer}");
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer["code"], code, "{body}");
            assert!(answer["error"].is_string() && answer["error"] == answer["message"]);
        }
        let (head, _) = http.post("/v3alpha/kv/range", r#"{"key":"Zm9v"}"#);
        assert_eq!(head.status, 404, "an old prefix");
        let (head, _) = http.post("/v3beta/kv/range", r#"{"key":"Zm9v"}"#);
        assert_eq!(head.status, 200, "an old prefix that is kept");
        for (method, status) in [("GET", 405), ("PUT", 405), ("OPTIONS", 200)] {
            http.send(method, "/v3/kv/range", "", "");
            let head = http.head();
            assert_eq!(head.status, status, "{method}");
            http.body(&head);
        }
        // As large as a gRPC message may be, and larger.
        for (len, status) in [(1 << 20, 200), (5 << 19, 429)] {
            let value = "QUFB".repeat(len / 3);
            let put = format!(r#"{{"key":"Zm9v","value":"{value}"}}"#);
            let (head, answer) = http.post("/v3/kv/put", &put);
            assert_eq!(head.status, status, "{answer}");
        }
    });
}

#[test]
fn what_is_not_served_is_said_to_be_so() {
    both(|addr, is_stoa| {
        let mut http = Http::connect(addr);
        // etcd is not asked: it may never answer a change of a member that there is not, when raft
        // lets it fall behind another change.
        for path in UNSERVED.iter().filter(|_| is_stoa) {
            let (head, answer) = http.post(&format!("/v3/{path}"), "{}");
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!((head.status, &answer["code"]), (501, &json!(12)), "{path}");
        }
        let served = [
            "maintenance/status",
            "cluster/member/list",
            "maintenance/hash",
        ];
        // etcd 3.5.1 has this one under another path.
        let hash_kv = is_stoa.then_some("maintenance/hashkv");
        for path in served.into_iter().chain(hash_kv) {
            let (head, answer) = http.post(&format!("/v3/{path}"), "{}");
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(head.status, 200, "{path}");
            assert!(answer["header"]["member_id"].is_string(), "{answer}");
        }
    });
}

/// Reads events until there are as many; the lines before the first are given, too.
fn events(mut next: impl FnMut() -> Value, count: usize) -> (Vec<Value>, Vec<Value>) {
    let (mut before, mut events) = (Vec::new(), Vec::new());
    while events.len() < count {
        let mut line = next();
        settle(&mut line);
        match line["result"]["events"].as_array() {
            Some(some) => events.extend(some.iter().cloned()),
            None => before.push(line),
        }
    }
    (before, events)
}

#[test]
fn a_watch_comes_line_by_line() {
    let stories = both(|addr, _| {
        let mut http = Http::connect(addr);
        for value in ["MQ==", "Mg=="] {
            http.post(
                "/v3/kv/put",
                &format!(r#"{{"key":"dw==","value":"{value}"}}"#),
            );
        }
        let mut watch = Http::connect(addr);
        let two = r#"{"create_request":{"key":"dw==","start_revision":"1","prev_kv":true}}
            {"create_request":{"key":"dg==","watch_id":5}}"#;
        watch.send("POST", "/v3/watch", "", two);
        let head = watch.head();
        assert_eq!(
            (head.status, head.header("content-type")),
            (200, Some("application/json"))
        );
        let mut next = || {
            let chunk = watch.chunk().expect("the watch goes on");
            assert!(chunk.ends_with('\n'), "{chunk:?}");
            serde_json::from_str(&chunk).unwrap()
        };
        let (mut before, old) = events(&mut next, 2);
        // The request is long over; the watch goes on.
        http.post("/v3/kv/deleterange", r#"{"key":"dw=="}"#);
        http.post("/v3/kv/put", r#"{"key":"dg=="}"#);
        let (late, new) = events(&mut next, 2);
        before.extend(late);
        before.sort_by_key(|line| line["result"]["watch_id"].to_string());
        (before, old, new)
    });
    if let [theirs, ours] = &stories[..] {
        assert_eq!(theirs, ours);
    }
}

#[test]
fn a_websocket_carries_a_watch_and_other_calls() {
    let stories = both(|addr, is_stoa| {
        let mut http = Http::connect(addr);
        let mut socket = Http::connect(addr);
        let head = socket.upgrade("/v3/watch");
        let accept = head.header("sec-websocket-accept");
        assert_eq!(
            (head.status, accept),
            (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        );
        socket.frame(1, r#"{"create_request":{"key":"dw=="}}"#);
        let mut told = vec![socket.next_text()];
        http.post("/v3/kv/put", r#"{"key":"dw==","value":"MQ=="}"#);
        told.push(socket.next_text());
        socket.frame(9, "still there?");
        assert_eq!(socket.next_frame(), Some((10, b"still there?".to_vec())));
        socket.frame(1, r#"{"cancel_request":{"watch_id":0}}"#);
        told.push(socket.next_text());
        if is_stoa {
            socket.frame(8, "");
            assert_eq!(
                socket.next_frame(),
                Some((8, 1000u16.to_be_bytes().to_vec()))
            );
            assert_eq!(socket.next_frame(), None);
            // etcd waits for the end of the request, which a websocket does not have.
            for (ask, count) in [(r#"{"key":"dw=="}"#, json!("1")), ("{}", Value::Null)] {
                let mut socket = Http::connect(addr);
                socket.upgrade("/v3/kv/range");
                socket.frame(1, ask);
                let answer = socket.next_text();
                assert_eq!(answer["count"], count, "{answer}");
                assert_eq!(answer["code"].is_null(), !count.is_null(), "{answer}");
            }
        }
        told.iter_mut().for_each(settle);
        told
    });
    if let [theirs, ours] = &stories[..] {
        assert_eq!(theirs, ours);
    }
}

#[test]
fn an_observer_is_told_and_a_client_that_leaves_stands_in_no_queue() {
    let stories = both(|addr, _| {
        let mut http = Http::connect(addr);
        for id in [7, 8] {
            http.post("/v3/lease/grant", &format!(r#"{{"TTL":600,"ID":{id}}}"#));
        }
        let (_, won) = http.post("/v3/election/campaign", r#"{"name":"dg==","lease":7}"#);
        let mut observer = Http::connect(addr);
        observer.send("POST", "/v3/election/observe", "", r#"{"name":"dg=="}"#);
        assert_eq!(observer.head().status, 200);
        let told = observer.chunk().unwrap();

        http.post("/v3/lock/lock", r#"{"name":"ZA==","lease":7}"#);
        let mut waiter = Http::connect(addr);
        waiter.send("POST", "/v3/lock/lock", "", r#"{"name":"ZA==","lease":8}"#);
        // The key d/8.
        let mut until = |count: &str| {
            let began = Instant::now();
            loop {
                let (_, found) = http.post("/v3/kv/range", r#"{"key":"ZC84"}"#);
                let found: Value = serde_json::from_str(&found).unwrap();
                if found["count"].as_str().unwrap_or("0") == count {
                    return;
                }
                assert!(began.elapsed() < LIMIT, "never {count} of the waiter's key");
            }
        };
        until("1");
        drop(waiter);
        until("0");
        [lines(&won), lines(&told)]
    });
    if let [theirs, ours] = &stories[..] {
        assert_eq!(theirs, ours);
    }
}
