//! Profiles read, refused, and written back.
#![allow(clippy::unwrap_used)]

use super::{DurableWrites, Lanes, Profile};

fn spinning_with(from: &str, to: &str) -> Result<Profile, super::ProfileError> {
    let text = include_str!("../../profiles/spinning.toml");
    assert!(text.contains(from), "the profile no longer has {from:?}");
    Profile::parse("my.toml", &text.replace(from, to))
}

#[test]
fn every_built_in_profile_reads_under_its_own_name() {
    assert_eq!(Profile::built_in_names().count(), 6);
    for name in Profile::built_in_names() {
        let profile = Profile::built_in(name).unwrap();
        assert_eq!(profile.name, name);
        assert_eq!(Profile::parse("copy", &profile.to_toml()).unwrap(), profile);
    }
}

#[test]
fn a_spindle_has_one_log_and_one_flush_for_many_writes() {
    let profile = Profile::load("spinning").unwrap();
    assert_eq!(profile.wal.lanes, Lanes::Device);
    assert_eq!(profile.wal.durable_writes, DurableWrites::WriteSync);
    assert!(profile.wal.group_commit_delay_us > 0);
}

#[test]
fn what_will_not_do_is_named_with_file_and_line_or_setting() {
    for (from, to, why) in [
        (
            "queue_depth = 1",
            "queue_dept = 1",
            "unknown field `queue_dept`",
        ),
        ("queue_depth = 1", "", "missing field `queue_depth`"),
        (
            "queue_depth = 1",
            "queue_depth = 0",
            "wal.queue_depth is 0; give 1 to 256",
        ),
        ("queue_depth = 1", "queue_depth = \"x\"", "invalid type"),
        ("queue_depth = 1", "queue_depth =", "my.toml, line "),
        (
            "lanes = \"device\"",
            "lanes = \"many\"",
            "unknown variant `many`",
        ),
        (
            "segment_bytes = 33554432",
            "segment_bytes = 33554433",
            "whole MiB",
        ),
        (
            "segment_bytes = 33554432",
            "segment_bytes = 1048576",
            "wal.segment_bytes is 1048576",
        ),
        ("name = \"spinning\"", "name = \"\"", "name is empty"),
    ] {
        let error = spinning_with(from, to).unwrap_err().to_string();
        assert!(
            error.contains(why) && error.starts_with("my.toml"),
            "{to}: {error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_syntax_error_is_placed_on_its_line() {
    let error = Profile::parse("f", "name = \"a\"\n\n???")
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("f, line 3:"), "{error}");
}

#[test]
fn an_unknown_name_lists_the_known_ones_and_a_missing_file_is_named() {
    let unknown = Profile::load("ssd").unwrap_err().to_string();
    assert!(
        unknown.contains("sata-ssd") && unknown.contains("\"ssd\""),
        "{unknown}"
    );
    let missing = Profile::load("./none.toml").unwrap_err().to_string();
    assert!(missing.starts_with("./none.toml: "), "{missing}");
}
