//! How requests come in: under which Host and from which origin, in one piece or in chunks, one
//! after the other or all at once.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::wire::{Head, Http};
use super::{both, both_with, lines};

const ASK: &str = r#"{"key":"Zm9v"}"#;

/// What a client or a browser acts on.
const HEADERS: [&str; 6] = [
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "content-type",
    "grpc-metadata-content-type",
    "x-content-type-options",
];

/// A status and the headers named above.
type Told = (u16, [Option<String>; 6]);

fn told(head: &Head) -> Told {
    (
        head.status,
        HEADERS.map(|name| head.header(name).map(str::to_owned)),
    )
}

/// A request with this Host and further headers.
fn request(method: &str, path: &str, host: &str, headers: &str, body: &str) -> String {
    let len = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {len}\r\n\r\n{body}"
    )
}

fn agree<A: PartialEq + std::fmt::Debug>(stories: &[Vec<A>]) {
    let [theirs, ours] = stories else { return };
    assert_eq!(theirs.len(), ours.len());
    for (theirs, ours) in theirs.iter().zip(ours) {
        assert_eq!(theirs, ours);
    }
}

/// Answers to OPTIONS, to a call and to a path that nobody serves, from each of some origins.
fn asked_from(addr: SocketAddr, origins: &[&str]) -> Vec<(String, Told)> {
    let mut http = Http::connect(addr);
    let mut answers = Vec::new();
    for origin in origins {
        let headers = match *origin {
            "" => String::new(),
            origin => format!("Origin: {origin}\r\n"),
        };
        for (method, path) in [
            ("OPTIONS", "/v3/kv/range"),
            ("OPTIONS", "/health"),
            ("OPTIONS", "/nowhere"),
            ("POST", "/v3/kv/range"),
            ("GET", "/nowhere"),
            ("GET", "/version"),
        ] {
            let body = if method == "POST" { ASK } else { "" };
            http.raw(&request(method, path, "localhost", &headers, body));
            let head = http.head();
            http.body(&head);
            answers.push((format!("{method} {path} from {origin}"), told(&head)));
        }
    }
    answers
}

#[test]
fn scripts_of_all_origins_may_read_or_of_those_that_are_named() {
    let origins = [
        "",
        "http://a.example:80",
        "http://A.example:80",
        "http://evil.example:80",
    ];
    agree(&both(|addr, _| asked_from(addr, &origins)));
    let flags = ["--cors=http://a.example:80,https://b.example:443"];
    let stories = both_with(&flags, |addr, _| asked_from(addr, &origins));
    agree(&stories);
    for story in stories {
        let origin = |at: usize| story[at].1.1[2].as_deref();
        assert_eq!(origin(6), Some("http://a.example:80"), "{:?}", story[6]);
        assert_eq!(origin(18), None, "{:?}", story[18]);
    }
}

#[test]
fn a_host_that_is_not_listed_is_misdirected() {
    let flags = ["--host-whitelist=a.example,localhost,::1"];
    let stories = both_with(&flags, |addr, _| {
        let mut http = Http::connect(addr);
        let hosts = [
            "localhost",
            "localhost:99",
            "a.example",
            "a.example:77",
            "[::1]:2379",
            "[::1]",
            "evil.example",
            "evil.example:80",
            "A.example",
            "127.0.0.1:2379",
            "",
        ];
        let mut answers = Vec::new();
        for host in hosts {
            for (method, path) in [("POST", "/v3/kv/range"), ("GET", "/health")] {
                http.raw(&request(
                    method,
                    path,
                    host,
                    "",
                    if path == "/health" { "" } else { ASK },
                ));
                let head = http.head();
                let body = http.body(&head);
                let mut told = told(&head);
                if head.status == 421 {
                    assert!(body.contains("--host-whitelist"), "{body}");
                } else if path == "/health" {
                    // 3.5.1 gives it no type of its own.
                    told.1[3] = None;
                }
                answers.push((host, path, told));
            }
        }
        answers
    });
    agree(&stories);
    for story in stories {
        assert_eq!((story[0].2.0, story[12].2.0), (200, 421));
    }
}

#[test]
fn without_the_gateway_its_paths_are_nowhere() {
    agree(&both_with(&["--enable-grpc-gateway=false"], |addr, _| {
        let mut http = Http::connect(addr);
        let mut answers = Vec::new();
        for (method, path) in [
            ("POST", "/v3/kv/range"),
            ("POST", "/v3beta/kv/range"),
            ("OPTIONS", "/v3/kv/range"),
            ("GET", "/v3/watch"),
        ] {
            http.raw(&request(
                method,
                path,
                "localhost",
                "Upgrade: websocket\r\n",
                ASK,
            ));
            let head = http.head();
            answers.push((path, told(&head), http.body(&head)));
        }
        answers
    }));
}

fn chunked(path: &str, chunks: &[&str], end: &str) -> String {
    let head = format!("POST {path} HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunks = chunks.iter().map(|c| format!("{:x}\r\n{c}\r\n", c.len()));
    chunks.fold(head, |wire, chunk| wire + &chunk) + end
}

#[test]
fn a_body_may_come_in_chunks_and_requests_without_waiting() {
    let stories = both(|addr, _| {
        let put = r#"{"key":"Zm9v","value":"YmFy"}"#;
        let end = "0\r\n\r\n";
        let mut http = Http::connect(addr);
        let wire = [
            chunked("/v3/kv/put", &[put], end),
            chunked(
                "/v3/kv/range",
                &[r#"{"key":"#, r#""Zm"#, r#"9v"}"#],
                "0;x\r\nA: b\r\n\r\n",
            ),
            chunked("/v3/kv/range", &[], end),
            chunked("/v3/kv/range", &[ASK, "and more"], end),
            chunked(
                "/v3/lease/keepalive",
                &[r#"{"ID":"1"}{"#, r#""ID":"2"}"#],
                end,
            ),
            chunked(
                "/v3/lease/keepalive",
                &[r#"{"ID":"1"}"#, r#"{"ID":x}"#],
                end,
            ),
            request("POST", "/v3/kv/range", "l", "", ASK),
            request("GET", "/nowhere", "l", "", ""),
            chunked("/v3/kv/range", &[r#"{"key":7}"#], end),
        ];
        let mut answers = Vec::new();
        http.raw(&wire.concat());
        for sent in &wire {
            let head = http.head();
            let body = lines(&http.body(&head));
            let body = if head.status == 400 { Vec::new() } else { body };
            answers.push((sent.clone(), told(&head), body));
        }
        // Not well formed.
        for (wire, status) in [
            (chunked("/v3/kv/range", &[], "zz\r\n\r\n"), 400),
            (chunked("/v3/lease/keepalive", &[], "zz\r\n\r\n"), 0),
            (
                request(
                    "POST",
                    "/v3/kv/range",
                    "l",
                    "Transfer-Encoding: gzip\r\n",
                    ASK,
                ),
                501,
            ),
        ] {
            let mut http = Http::connect(addr);
            http.raw(&wire);
            let head = http.head();
            assert!(status == 0 || head.status == status, "{wire}: {head:?}");
            assert!(head.status >= 400, "{wire}: {head:?}");
        }
        answers
    });
    agree(&stories);
}

/// etcd answers when the body has ended, Stoa at once; the answers are the same.
#[test]
fn a_body_may_go_on_while_it_is_answered() {
    let stories = both(|addr, is_stoa| {
        let mut http = Http::connect(addr);
        let mut watch = Http::connect(addr);
        let create = |id: i32| format!(r#"{{"create_request":{{"key":"dw==","watch_id":{id}}}}}"#);
        watch.raw(&chunked("/v3/watch", &[&create(5)], ""));
        let mut told: Vec<Value> = Vec::new();
        let chunk = |watch: &mut Http, told: &mut Vec<Value>| {
            told.extend(lines(&watch.chunk().expect("the watch goes on")));
        };
        let more = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        if is_stoa {
            assert_eq!(watch.head().status, 200);
            chunk(&mut watch, &mut told);
        }
        let second = create(6);
        let (begin, end) = second.split_at(20);
        watch.raw(&more(begin));
        watch.raw(&more(end));
        if is_stoa {
            chunk(&mut watch, &mut told);
        }
        watch.raw(&more(r#"{"cancel_request":{"watch_id":"5"}}"#));
        watch.raw("0\r\n\r\n");
        if !is_stoa {
            assert_eq!(watch.head().status, 200);
        }
        while told.len() < 3 {
            chunk(&mut watch, &mut told);
        }
        // Said its last, the client is told of events all the same.
        http.post("/v3/kv/put", r#"{"key":"dw=="}"#);
        chunk(&mut watch, &mut told);
        assert_eq!(told[2]["result"]["canceled"], json!(true), "{told:?}");
        told
    });
    agree(&stories);
}
