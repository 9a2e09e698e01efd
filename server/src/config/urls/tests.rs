//! Which URLs are taken and which refused.
#![allow(clippy::unwrap_used)]

use super::{Url, join, parse_list};

#[test]
fn takes_http_urls_and_keeps_their_text() {
    for (text, host, port) in [
        ("http://127.0.0.1:2379", "127.0.0.1", 2379),
        ("http://localhost:2380", "localhost", 2380),
        ("http://[::1]:80", "::1", 80),
        (" http://node-1.example:0 ", "node-1.example", 0),
    ] {
        let url = Url::parse(text).unwrap();
        assert_eq!(
            (url.host(), url.port(), url.as_str()),
            (host, port, text.trim())
        );
    }
}

#[test]
fn refuses_with_one_line_that_says_why() {
    for (text, why) in [
        ("127.0.0.1:2379", "not a URL"),
        ("", "not a URL"),
        ("https://127.0.0.1:2379", "TLS is not yet supported"),
        ("unix://tmp", "Unix sockets are not yet supported"),
        ("ftp://127.0.0.1:21", "unknown scheme"),
        ("http://127.0.0.1", "host:port"),
        ("http://127.0.0.1:", "host:port"),
        ("http://127.0.0.1:http", "host:port"),
        ("http://127.0.0.1:70000", "host:port"),
        ("http://::1:2379", "host:port"),
        ("http://[::1:2379", "host:port"),
        ("http://[zz]:2379", "host:port"),
        ("http://127.0.0.1:2379/", "no path"),
        ("http://127.0.0.1:2379/v3", "no path"),
        ("http://u:p@127.0.0.1:2379", "names no user"),
        ("http://a b:1", "blanks"),
    ] {
        let error = Url::parse(text).unwrap_err();
        assert!(
            error.contains(why) && !error.contains('\n'),
            "{text}: {error}"
        );
    }
}

#[test]
fn binds_to_addresses_and_localhost_only() {
    let bind = |text: &str| Url::parse(text).unwrap().bind_addr();
    assert_eq!(
        bind("http://localhost:1").unwrap().to_string(),
        "127.0.0.1:1"
    );
    assert_eq!(bind("http://0.0.0.0:2").unwrap().to_string(), "0.0.0.0:2");
    assert_eq!(bind("http://[::]:3").unwrap().to_string(), "[::]:3");
    assert!(
        bind("http://example.com:4")
            .unwrap_err()
            .contains("IP address")
    );
    assert!(bind("http://:5").is_err());
}

#[test]
fn a_list_is_sorted_and_without_doubles() {
    let urls = parse_list("http://b:2,http://a:1,http://b:2").unwrap();
    assert_eq!(join(&urls), "http://a:1,http://b:2");
    assert!(parse_list("").is_err());
    assert!(parse_list("http://a:1,").is_err());
}
