//! URLs as people write them.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn endpoints_are_read_as_etcdctl_reads_them() {
    let place = |tls, host: &str, port| Endpoint {
        tls,
        host: host.to_owned(),
        port,
    };
    for (text, wanted) in [
        ("127.0.0.1:2379", place(false, "127.0.0.1", 2379)),
        ("http://db", place(false, "db", 2379)),
        ("https://db:443/", place(true, "db", 443)),
        ("http://[::1]:99", place(false, "::1", 99)),
    ] {
        assert_eq!(Endpoint::parse(text), Ok(wanted), "{text}");
    }
    let ipv6 = Endpoint::parse("http://[::1]:99").unwrap();
    assert_eq!(ipv6.authority(), "[::1]:99");
    for text in ["", "ftp://db", "http://db/path", "http://:1", "db:99999"] {
        let error = Endpoint::parse(text).unwrap_err();
        assert!(error.contains("is no endpoint"), "{error}");
    }
}
