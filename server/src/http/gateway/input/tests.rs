//! Values that come in pieces.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::http::body::Framing;

/// Everything that is found when the text comes in pieces of `step` bytes.
fn all(text: &str, step: usize) -> Vec<String> {
    let mut input = Input::new(Bytes::new(), Body::new(Framing::Length(text.len())), 64);
    let (mut buf, mut found) = (BytesMut::new(), Vec::new());
    for piece in text.as_bytes().chunks(step) {
        buf.extend_from_slice(piece);
        input.take(&mut buf).unwrap();
        loop {
            match input.next() {
                Next::Value(value) => found.push(value.to_string()),
                Next::NotYet => break,
                Next::End => {
                    found.push("end".to_owned());
                    return found;
                }
                Next::Malformed(_) => {
                    found.push("malformed".to_owned());
                    return found;
                }
            }
        }
    }
    found
}

#[test]
fn each_value_is_found_with_its_last_byte() {
    let text = r#" {"a":"}{\"\\"} [1,[2]]{} "#;
    for step in 1..=text.len() {
        let found = all(text, step);
        assert_eq!(
            found,
            [r#"{"a":"}{\"\\"}"#, "[1,[2]]", "{}", "end"],
            "{step}"
        );
    }
}

#[test]
fn what_is_no_value_ends_the_input() {
    for text in [r#"{"a":1}x"#, r#"{"a":1}{"b"#, r#"{"a":1}{]"#] {
        assert_eq!(all(text, 1), [r#"{"a":1}"#, "malformed"], "{text}");
    }
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(100));
    assert_eq!(all(&large, 10), ["malformed"]);
}
