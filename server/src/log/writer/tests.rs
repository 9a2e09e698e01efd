//! A slow output costs lines, not time.
#![allow(clippy::unwrap_used)]

use super::Writer;
use crate::config::LogOutput;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_stuck_output_drops_and_counts_and_says_so_later() {
    let (release, gate) = channel::<()>();
    let written = Arc::new(Mutex::new(Vec::new()));
    let copy = written.clone();
    let mut gate = Some(gate);
    let writer = Writer::start_with(4, move |bytes| {
        if let Some(gate) = gate.take() {
            gate.recv().unwrap();
        }
        copy.lock().unwrap().extend_from_slice(bytes);
    })
    .unwrap();
    for n in 0..100 {
        writer.write(format!("line {n}\n").into_bytes());
    }
    // One line may be in the sink and four in the queue.
    assert!(
        (95..=96).contains(&writer.dropped()),
        "{}",
        writer.dropped()
    );
    release.send(()).unwrap();
    writer.flush(LONG);
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    assert!(text.starts_with("line 0\nline 1\n"), "{text}");
    let told = format!(
        "\"msg\":\"log lines dropped\",\"count\":{}",
        writer.dropped()
    );
    assert!(text.contains(&told), "{text}");
}

#[test]
fn files_are_appended_to_and_a_bad_path_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    for text in ["one\n", "two\n"] {
        let writer = Writer::start(&[LogOutput::File(path.clone())]).unwrap();
        writer.write(text.as_bytes().to_vec());
        writer.flush(LONG);
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    let error = Writer::start(&[LogOutput::File(dir.path().join("no/log"))]).unwrap_err();
    assert!(
        error.contains("--log-outputs") && error.contains("no/log"),
        "{error}"
    );
}

#[test]
fn a_flush_of_a_stuck_output_gives_up() {
    let (_release, gate) = channel::<()>();
    let writer = Writer::start_with(1, move |_| gate.recv().unwrap_or(())).unwrap();
    for _ in 0..3 {
        writer.write(b"x\n".to_vec());
    }
    writer.flush(Duration::from_millis(5));
}
