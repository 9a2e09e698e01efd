//! Tests of what a reader of the terminal, the JSON and the HTML gets.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde_json::json;

use super::run::without_secrets;
use super::{Outputs, Part, Plot, Report, Run, Table, Tone};
use crate::machine::Machine;

const EVIL: &str = "/mnt/<script>alert(\"1\")</script>&'";

fn run() -> Run {
    Run {
        began: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        seconds: 61.5,
        arguments: vec!["disk".into(), "--dir".into(), EVIL.into()],
        machine: Machine::read(),
    }
}

fn strings(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn evil_everywhere() -> Report {
    let mut histogram = Histogram::new(3).unwrap();
    histogram.record(1_000_000).unwrap();
    let title = || EVIL.to_owned();
    let points = vec![(0.0, 1.0), (1.0, 2.0)];
    Report {
        command: "disk",
        title: title(),
        verdict: Some((Tone::Bad, title())),
        facts: vec![(title(), title())],
        parts: vec![
            Part::Warning(title()),
            Part::Heading(title()),
            Part::Text(title()),
            Part::Table(Table {
                title: title(),
                columns: vec![title()],
                rows: vec![vec![title()]],
            }),
            Part::Plot(Plot::Percentiles {
                title: title(),
                series: vec![(title(), histogram)],
            }),
            Part::Plot(Plot::Timeline {
                title: title(),
                label: title(),
                log: false,
                series: vec![(title(), points)],
                marks: vec![(0.2, 0.3, title())],
            }),
            Part::Plot(Plot::Bars {
                title: title(),
                label: title(),
                groups: vec![(title(), vec![(title(), 1.0)])],
            }),
        ],
        json: json!({"disks": []}),
    }
}

#[test]
fn names_are_text_in_html_wherever_they_stand() {
    let html = evil_everywhere().html(&run()).unwrap();
    assert!(!html.contains("<script"), "a name became a script");
    assert!(!html.contains("\"1\""), "a name ended an attribute");
    // Once escaped is enough: a reader sees the name as it is.
    assert!(html.contains("&lt;script&gt;") || html.contains("&#60;script&#62;"));
    assert!(!html.contains("&amp;lt;") && !html.contains("&#38;#60;"));
}

#[test]
fn the_html_asks_for_nothing_from_elsewhere() {
    let html = evil_everywhere().html(&run()).unwrap();
    for word in [
        "http:", "https:", "//cdn", "src=", "@import", "url(", "<link",
    ] {
        assert!(!html.contains(word), "{word}");
    }
}

#[test]
fn the_terminal_is_commanded_by_no_name() {
    let mut report = evil_everywhere();
    report.title = "/mnt/\u{1b}[2J\r".to_owned();
    report.facts = vec![("Dir".to_owned(), "a\u{1b}]0;x\u{7}".to_owned())];
    let text = report.text(&run(), false);
    let is_command = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(is_command), "{text:?}");
}

#[test]
fn numbers_stand_to_the_right_below_each_other_and_the_verdict_comes_last() {
    let report = Report {
        title: "Disk /a".to_owned(),
        verdict: Some((Tone::Good, "fit for a large cluster".to_owned())),
        parts: vec![Part::Table(Table {
            title: "Syncs".to_owned(),
            columns: strings(&["pattern", "a second", "where"]),
            rows: vec![
                strings(&["wal", "45,600/s", "here"]),
                strings(&["overwrite-fdatasync", "812/s"]),
            ],
        })],
        ..Report::default()
    };
    let text = report.text(&run(), false);
    let expected = "Disk /a\n2023-11-14T22:13:20Z, took 61.5 s\n\nSyncs\n\
        pattern              a second  where\n\
        wal                  45,600/s  here\n\
        overwrite-fdatasync     812/s\n\
        \nverdict: fit for a large cluster\n";
    assert_eq!(text, expected);
    assert!(report.text(&run(), true).contains("\u{1b}[32m"));
}

#[test]
fn long_text_is_broken_into_lines() {
    let report = Report {
        parts: vec![Part::Warning("word ".repeat(60))],
        ..Report::default()
    };
    let text = report.text(&run(), false);
    assert!(text.contains("warning: word"));
    assert!(text.lines().all(|line| line.len() <= 96), "{text}");
    assert_eq!(text.matches("word").count(), 60);
}

#[test]
fn the_json_says_what_is_needed_to_repeat_a_run() {
    let value: serde_json::Value =
        serde_json::from_str(&evil_everywhere().json(&run()).unwrap()).unwrap();
    assert_eq!(value["format"], "stoa-loadgen");
    assert_eq!(value["version"], 1);
    assert_eq!(value["command"], "disk");
    assert_eq!(value["program"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(value["began"], "2023-11-14T22:13:20Z");
    assert_eq!(value["seconds"], 61.5);
    assert_eq!(value["arguments"], json!(["disk", "--dir", EVIL]));
    assert!(value["machine"]["kernel"].is_string());
    assert_eq!(value["summary"]["tone"], "bad");
    assert_eq!(value["summary"]["warnings"], json!([EVIL]));
    // The command's own keys stand beside those of all commands.
    assert_eq!(value["disks"], json!([]));
}

#[test]
fn passwords_are_not_told() {
    let line = [
        "bench",
        "--user",
        "root:geheim",
        "--password=geheim",
        "--endpoints",
        "http://root:geheim@127.0.0.1:2379,https://h:1",
        "--clients",
        "8",
    ];
    let shown = without_secrets(line.iter().map(Into::into));
    assert_eq!(
        shown.join(" "),
        "bench --user root:*** --password=*** --endpoints \
         http://***@127.0.0.1:2379,https://h:1 --clients 8"
    );
}

#[test]
fn one_file_that_cannot_be_written_is_named_and_costs_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let outputs = Outputs {
        json: Some(dir.path().join("missing/report.json")),
        html: Some(dir.path().join("report.html")),
        with_hostname: false,
    };
    let early = outputs.check().unwrap_err().to_string();
    assert!(early.contains("missing/report.json"), "{early}");
    let late = Report::default().publish(&outputs).unwrap_err().to_string();
    assert!(late.contains("missing/report.json"), "{late}");
    let html = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(html.ends_with("</html>\n") || html.ends_with("</html>"));
}

#[test]
fn looking_whether_a_file_can_be_written_leaves_nothing_and_keeps_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (json, html) = (dir.path().join("a.json"), dir.path().join("b.html"));
    std::fs::write(&json, "old").unwrap();
    let outputs = Outputs {
        json: Some(json.clone()),
        html: Some(html.clone()),
        with_hostname: false,
    };
    outputs.check().unwrap();
    assert_eq!(std::fs::read_to_string(json).unwrap(), "old");
    assert!(!html.exists());
    let standard = Outputs {
        html: Some(PathBuf::from("-")),
        ..Outputs::default()
    };
    assert!(standard.check().is_err());
}
