//! What a report says.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::report;
use crate::disk::judged::Judged;
use crate::disk::world;
use crate::machine::device::Kind;
use crate::report::{Part, Plot, Tone};

fn two() -> Vec<Judged> {
    let mut turning = world::disk(Kind::Scsi, 8_300, 24_000);
    turning.dir = "/hdd".into();
    vec![
        Judged::new(world::disk(Kind::Nvme, 60, 200)),
        Judged::new(turning),
    ]
}

#[test]
fn two_disks_stand_in_one_table_and_one_plot_and_the_worst_sets_the_tone() {
    let report = report(&two(), false);
    let (tone, words) = report.verdict.unwrap();
    assert_eq!(tone, Tone::Bad);
    assert!(
        words.contains("/disk: fit for an xlarge cluster"),
        "{words}"
    );
    assert!(words.contains("/hdd: unfit"), "{words}");
    let has_both = report.parts.iter().any(|part| match part {
        Part::Table(table) => {
            let of = |dir: &str| {
                table
                    .rows
                    .iter()
                    .any(|row| row.get(1).is_some_and(|c| c == dir))
            };
            of("/disk") && of("/hdd")
        }
        _ => false,
    });
    assert!(has_both, "a table with both disks");
    let plotted = report.parts.iter().any(|part| match part {
        Part::Plot(Plot::Percentiles { series, .. }) => {
            let of = |dir: &str| series.iter().any(|(name, _)| name.starts_with(dir));
            of("/disk") && of("/hdd")
        }
        _ => false,
    });
    assert!(plotted, "a plot with both disks");
    for part in &report.parts {
        if let Part::Table(table) = part {
            let columns = table.columns.len();
            assert!(
                table.rows.iter().all(|row| row.len() == columns),
                "{}",
                table.title
            );
        }
    }
}

#[test]
fn the_json_has_the_documented_keys() {
    let report = report(&two(), true);
    let disk = &report.json["disks"][1];
    assert_eq!(disk["dir"], "/hdd");
    assert_eq!(disk["verdict"], "unfit");
    assert_eq!(report.json["interrupted"], json!(true));
    let measured = &disk["measurements"][0];
    assert_eq!(measured["pattern"], "overwrite-fdatasync");
    assert_eq!(measured["block_bytes"], 4096);
    for key in ["depth", "logs", "per_second"] {
        assert!(measured[key].is_number(), "{key}: {measured}");
    }
    let latency = &measured["latency_us"];
    let p50 = latency["p50"].as_f64().unwrap();
    assert!((8_290.0..8_310.0).contains(&p50), "{latency}");
    for key in ["p99", "p999", "max"] {
        assert!(latency[key].is_number(), "{key}: {latency}");
    }
    // A pattern with nothing beside it is there once.
    let quiet = disk["measurements"].as_array().unwrap();
    let etcd = quiet
        .iter()
        .filter(|m| m["pattern"] == "etcd" && m["depth"] == 1);
    assert_eq!(etcd.count(), 1);
    assert_eq!(disk["profile"]["name"], "spinning");
}
