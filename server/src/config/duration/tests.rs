//! Durations read and written as Go does.
#![allow(clippy::unwrap_used)]

use super::{format, parse};
use std::time::Duration;

#[test]
fn reads_what_go_reads() {
    let cases = [
        ("0", 0),
        ("0s", 0),
        ("5s", 5_000_000_000),
        ("100ms", 100_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1.5h", 5_400_000_000_000),
        (".5s", 500_000_000),
        ("1us", 1_000),
        ("1µs", 1_000),
        ("2h45m30.5s", 9_930_500_000_000),
        ("+3m", 180_000_000_000),
    ];
    for (text, ns) in cases {
        assert_eq!(parse(text).unwrap(), Duration::from_nanos(ns), "{text}");
    }
}

#[test]
fn refuses_what_go_refuses_in_one_line() {
    for text in [
        "",
        "5",
        "abc",
        "5x",
        "s",
        ".s",
        "-5s",
        "1h 5m",
        "9999999h",
        "99999999999999999999h",
    ] {
        let error = parse(text).unwrap_err();
        assert!(!error.contains('\n'), "{text}: {error}");
        assert!(error.contains(&format!("{text:?}")), "{text}: {error}");
    }
}

#[test]
fn writes_what_go_writes() {
    let cases = [
        (Duration::ZERO, "0s"),
        (Duration::from_nanos(1), "1ns"),
        (Duration::from_micros(1500), "1.5ms"),
        (Duration::from_millis(100), "100ms"),
        (Duration::from_secs(5), "5s"),
        (Duration::from_millis(90_500), "1m30.5s"),
        (Duration::from_secs(600), "10m0s"),
        (Duration::from_secs(3600), "1h0m0s"),
    ];
    for (duration, text) in cases {
        assert_eq!(format(duration), text);
        assert_eq!(parse(text).unwrap(), duration);
    }
}
