//! Events through the subscriber, as the rest of the server makes them.
#![allow(clippy::unwrap_used)]

use super::{Log, READY, writer::Writer};
use crate::config::{LogFormat, LogLevel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn logged(level: LogLevel, events: impl FnOnce()) -> Vec<serde_json::Value> {
    let written = Arc::new(Mutex::new(Vec::new()));
    let copy = written.clone();
    let writer = Writer::start_with(64, move |bytes| {
        copy.lock().unwrap().extend_from_slice(bytes)
    })
    .unwrap();
    let log = Log {
        level,
        format: LogFormat::Json,
        writer: writer.clone(),
    };
    tracing::subscriber::with_default(log, events);
    writer.flush(Duration::from_secs(60));
    let bytes = written.lock().unwrap().clone();
    let lines = String::from_utf8(bytes).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_ready_line_reads_as_etcds_does() {
    let lines = logged(LogLevel::Info, || {
        tracing::info!(address = "127.0.0.1:2379", "{READY}")
    });
    assert_eq!(lines[0]["level"], "info");
    assert_eq!(lines[0]["msg"], "ready to serve client requests");
    assert_eq!(lines[0]["address"], "127.0.0.1:2379");
    assert!(
        lines[0]["caller"]
            .as_str()
            .unwrap()
            .starts_with("log/tests.rs:")
    );
}

#[test]
fn fields_keep_their_types() {
    let lines = logged(LogLevel::Info, || {
        let error = std::io::Error::other("boom");
        tracing::warn!(n = 3, on = true, part = 0.5, error = %error, list = ?[1], "m");
    });
    let line = &lines[0];
    assert_eq!(
        (&line["n"], &line["on"], &line["part"]),
        (&3.into(), &true.into(), &0.5.into())
    );
    assert_eq!(
        (&line["error"], &line["list"]),
        (&"boom".into(), &"[1]".into())
    );
}

#[test]
fn levels_and_foreign_chatter_are_filtered() {
    let all = || {
        tracing::debug!("ours debug");
        tracing::info!("ours info");
        tracing::info!(target: "openraft::core", "foreign info");
        tracing::warn!(target: "openraft::core", "foreign warn");
        tracing::error!(target: "openraft::core", "foreign error");
        let _span = tracing::error_span!("span").entered();
    };
    let messages = |level| -> Vec<String> {
        logged(level, all)
            .iter()
            .map(|l| l["msg"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        messages(LogLevel::Info),
        ["ours info", "foreign warn", "foreign error"]
    );
    assert_eq!(messages(LogLevel::Warn), ["foreign error"]);
    assert_eq!(messages(LogLevel::Error), ["foreign error"]);
    assert_eq!(messages(LogLevel::Debug).len(), 5);
}
