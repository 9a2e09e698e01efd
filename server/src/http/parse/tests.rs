//! Heads: taken, refused, and what is read from them; and mutated ones.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::Dice;

const BODY_BYTES_MAX: usize = 2 << 20;

fn head(text: &str) -> Result<Option<Head>, StatusCode> {
    take_head(&mut BytesMut::from(text.as_bytes()), BODY_BYTES_MAX)
}

fn status(text: &str) -> u16 {
    head(text).unwrap_err().as_u16()
}

#[test]
fn a_head_is_taken_when_complete_and_leaves_what_follows() {
    let text = "POST /a/b?x=1&y HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcREST";
    for cut in 0..text.find("abc").unwrap() {
        assert!(head(&text[..cut]).unwrap().is_none(), "{cut}");
    }
    let mut buf = BytesMut::from(text.as_bytes());
    let head = take_head(&mut buf, BODY_BYTES_MAX).unwrap().unwrap();
    assert_eq!((head.path.as_str(), head.query.as_str()), ("/a/b", "x=1&y"));
    assert_eq!((head.framing, head.keep_alive), (Framing::Length(3), true));
    assert_eq!(buf, "abcREST");
}

#[test]
fn what_could_smuggle_or_flood_is_refused() {
    let post = |headers: &str| format!("POST / HTTP/1.1\r\n{headers}\r\n");
    assert_eq!(
        status(&post("Content-Length: 1\r\nContent-Length: 2\r\n")),
        400
    );
    assert_eq!(status(&post("Content-Length: +1\r\n")), 400);
    assert_eq!(
        status(&post("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")),
        400
    );
    let chunked = head(&post("Transfer-Encoding: Chunked\r\n")).unwrap();
    assert_eq!(chunked.unwrap().framing, Framing::Chunked);
    for other in [
        "gzip",
        "gzip, chunked",
        "chunked\r\nTransfer-Encoding: chunked",
    ] {
        assert_eq!(
            status(&post(&format!("Transfer-Encoding: {other}\r\n"))),
            501
        );
    }
    assert_eq!(
        status(&post("Content-Length: 99999999999999999999999\r\n")),
        413
    );
    assert_eq!(status(&post(&"A: b\r\n".repeat(65))), 431);
    assert_eq!(
        status(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(HEAD_BYTES_MAX))),
        431
    );
    assert_eq!(status("GET / HTTP/3.0\r\n\r\n"), 505);
    assert_eq!(status("\u{1}\u{2}\r\n\r\n"), 400);
}

#[test]
fn connections_live_on_as_each_version_says() {
    let keep = |version: &str, header: &str| {
        head(&format!("GET / HTTP/{version}\r\n{header}\r\n"))
            .unwrap()
            .unwrap()
            .keep_alive
    };
    assert!(keep("1.1", ""));
    assert!(!keep("1.1", "Connection: foo, Close\r\n"));
    assert!(!keep("1.0", ""));
    assert!(keep("1.0", "Connection: keep-alive\r\n"));
}

#[test]
fn mutated_requests_never_panic_and_stay_within_bounds() {
    let seeds: [&[u8]; 3] = [
        b"GET /health?serializable=true HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"POST /v3/kv/range HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n{}{}",
        b"HEAD http://h/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ];
    let mut dice = Dice(1);
    let mut taken = 0;
    for i in 0..30_000 {
        let mut buf = BytesMut::from(&dice.mutate(seeds[i % 3])[..]);
        if let Ok(Some(head)) = take_head(&mut buf, BODY_BYTES_MAX) {
            assert!(!matches!(head.framing, Framing::Length(n) if n > BODY_BYTES_MAX));
            taken += 1;
        }
    }
    assert!(
        taken > 1000,
        "{taken}: the mutations are too wild to test anything"
    );
}
