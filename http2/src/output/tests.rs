//! Bytes leave in the order in which they came, however they are taken.
#![allow(clippy::unwrap_used)]

use super::*;

fn drain(out: &mut Output, step: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while !out.is_empty() {
        let mut slices = [IoSlice::new(&[]); 3];
        let n = out.slices(&mut slices);
        let seen: Vec<u8> = slices[..n].iter().flat_map(|s| s.iter().copied()).collect();
        let taken = step.min(seen.len());
        all.extend_from_slice(&seen[..taken]);
        out.advance(taken);
    }
    all
}

#[test]
fn small_and_large_pieces_leave_in_order_in_steps_of_any_size() {
    for step in [1, 7, 2048, 5000, usize::MAX] {
        let mut out = Output::default();
        let mut want = Vec::new();
        for n in 0..40usize {
            let piece = Bytes::from(vec![n as u8; n * n * 13 % 5000]);
            want.extend_from_slice(&piece);
            out.put(&piece);
            out.tail().push(0xaa);
            want.push(0xaa);
        }
        assert_eq!(out.len(), want.len());
        assert!(drain(&mut out, step) == want, "step {step}");
        assert_eq!(out.gathered.len(), 0);
    }
}

#[test]
fn what_was_sent_long_ago_takes_no_space() {
    let mut out = Output::default();
    for _ in 0..1000 {
        out.tail().extend_from_slice(&[1; 1000]);
        out.advance(990);
    }
    assert_eq!(out.len(), 10_000);
    assert!(
        out.gathered.capacity() < 200_000,
        "{}",
        out.gathered.capacity()
    );
}

#[test]
fn a_body_is_cut_anywhere() {
    let mut body = Pieces::new(
        Bytes::from_static(b"ab"),
        [
            Bytes::new(),
            Bytes::from_static(b"cdefg"),
            Bytes::from_static(b"h"),
        ]
        .into(),
    );
    body.append(Bytes::from_static(b"ij").into());
    let mut out = Output::default();
    for n in [1, 0, 3, 4, 2] {
        body.move_to(n, &mut out);
    }
    assert!(body.is_empty());
    assert_eq!(drain(&mut out, 4), b"abcdefghij");
}
