//! Bodies, whole and byte by byte, and what is no body.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::Dice;

/// What is taken of `wire` when it comes in pieces of `step` bytes, and what is left.
fn taken(framing: Framing, wire: &[u8], step: usize) -> Result<(String, bool, usize), StatusCode> {
    let (mut body, mut buf, mut out) = (Body::new(framing), BytesMut::new(), BytesMut::new());
    for piece in wire.chunks(step) {
        buf.extend_from_slice(piece);
        body.take(&mut buf, &mut out, usize::MAX)?;
    }
    let out = String::from_utf8_lossy(&out).into_owned();
    Ok((out, body.is_ended(), buf.len()))
}

#[test]
fn a_body_is_the_same_however_it_comes() {
    let chunked: &[u8] = b"3\r\nabc\r\n0A ;x=\"y\"\r\n0123456789\r\n0\r\nA: b\r\n\r\nREST";
    for step in 1..=chunked.len() {
        let found = taken(Framing::Chunked, chunked, step).unwrap();
        assert_eq!(found, ("abc0123456789".to_owned(), true, 4), "{step}");
        let found = taken(Framing::Length(5), b"abcdeREST", step).unwrap();
        assert_eq!(found, ("abcde".to_owned(), true, 4), "{step}");
    }
    assert!(taken(Framing::Length(0), b"", 1).unwrap().1);
    assert!(!taken(Framing::Chunked, b"3\r\nab", 1).unwrap().1);
}

#[test]
fn what_is_no_chunk_is_refused() {
    let long = format!("1;{}\r\n", "x".repeat(SIZE_LINE_MAX));
    let trailers = format!("0\r\nA: {}\r\n\r\n", "x".repeat(TRAILERS_MAX));
    for wire in [
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "+1\r\n",
        "1\n",
        "0x1\r\n",
        " 1\r\n",
        "1\r\nab\r\n",
        "1\r\na\n",
        "fffffffffffffffff\r\n",
        &long,
        &trailers,
    ] {
        for step in [1, wire.len()] {
            let found = taken(Framing::Chunked, wire.as_bytes(), step);
            assert_eq!(found, Err(StatusCode::BAD_REQUEST), "{wire:?}");
        }
    }
}

#[test]
fn no_more_is_taken_than_there_is_room_for() {
    let mut body = Body::new(Framing::Chunked);
    let (mut buf, mut out) = (
        BytesMut::from(&b"4\r\nabcd\r\n0\r\n\r\n"[..]),
        BytesMut::new(),
    );
    body.take(&mut buf, &mut out, 3).unwrap();
    assert_eq!((&out[..], body.wants_room()), (&b"abc"[..], true));
    body.take(&mut buf, &mut out, 1).unwrap();
    assert_eq!((&out[..], body.is_ended()), (&b"abcd"[..], true));
}

#[test]
fn mutated_bodies_never_panic() {
    let seed = b"3\r\nabc\r\n0a;x\r\n0123456789\r\n0\r\nA: b\r\n\r\n";
    let mut dice = Dice(3);
    for _ in 0..20_000 {
        let wire = dice.mutate(seed);
        let _ = taken(Framing::Chunked, &wire, 1 + wire.len() / 3);
    }
}
