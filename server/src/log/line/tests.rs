//! Lines as scripts and people read them.
#![allow(clippy::unwrap_used)]

use super::{Fields, Head, LINE_BYTES_MAX, Value, console, json, time};
use crate::config::LogLevel;
use std::time::{Duration, UNIX_EPOCH};

fn head() -> Head<'static> {
    Head {
        level: LogLevel::Info,
        time: UNIX_EPOCH + Duration::from_millis(1_795_334_128_123),
        file: "server/src/net/accept.rs",
        line: 7,
    }
}

fn fields(message: &str, others: Vec<(&'static str, Value)>) -> Fields {
    Fields {
        message: message.to_owned(),
        others,
    }
}

#[test]
fn json_has_the_fields_of_etcd_in_its_order() {
    let others = vec![
        ("local_member_id", Value::Text("8e9e".to_owned())),
        ("took_ms", Value::Bare("3".to_owned())),
    ];
    let line = String::from_utf8(json(&head(), &fields("hi \"you\"\n", others))).unwrap();
    assert_eq!(
        line,
        "{\"level\":\"info\",\"ts\":\"2026-11-22T07:55:28.123Z\",\"caller\":\"net/accept.rs:7\",\
         \"msg\":\"hi \\\"you\\\"\\n\",\"local-member-id\":\"8e9e\",\"took-ms\":3}\n"
    );
}

#[test]
fn console_lines_are_columns() {
    let others = vec![
        ("a_b", Value::Text("x".to_owned())),
        ("n", Value::Bare("1".to_owned())),
    ];
    let line = String::from_utf8(console(&head(), &fields("two\nlines", others))).unwrap();
    let columns = "2026-11-22T07:55:28.123Z\tinfo\tnet/accept.rs:7\ttwo lines";
    assert_eq!(line, format!("{columns}\t{{\"a-b\": \"x\", \"n\": 1}}\n"));
    let bare = String::from_utf8(console(&head(), &fields("m", vec![]))).unwrap();
    assert!(bare.ends_with("\tm\n"));
}

#[test]
fn a_long_line_is_cut_and_still_json() {
    let long = || Value::Text("x".repeat(LINE_BYTES_MAX / 2));
    let fields = fields(
        "m",
        vec![("a", long()), ("b", long()), ("c", Value::Bare("1".into()))],
    );
    let line = json(&head(), &fields);
    assert!(line.len() <= LINE_BYTES_MAX + 64);
    let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(value["cut"], true);
}

#[test]
fn dates_are_right_around_leap_days_and_new_years() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399, "2000-02-28T23:59:59.000Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
        (951_868_800, "2000-03-01T00:00:00.000Z"),
        (1_709_164_800, "2024-02-29T00:00:00.000Z"),
        (1_735_689_599, "2024-12-31T23:59:59.000Z"),
        (1_735_689_600, "2025-01-01T00:00:00.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"),
    ] {
        assert_eq!(time(UNIX_EPOCH + Duration::from_secs(seconds)), text);
    }
}
