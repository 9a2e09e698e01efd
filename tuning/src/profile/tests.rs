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
fn a_spindle_has_one_log_and_gathers_many_writes_into_one() {
    let profile = Profile::load("spinning").unwrap();
    assert_eq!(profile.wal.lanes, Lanes::Device);
    assert_eq!(profile.wal.durable_writes, DurableWrites::Dsync);
    assert!(profile.wal.group_commit_delay_us > 0);
}

#[test]
fn a_virtual_disk_has_one_log_for_two_cores_and_more_for_more() {
    let lanes = Profile::load("virtio").unwrap().wal.lanes;
    assert_eq!([1, 2, 3, 16].map(|cores| lanes.count(cores)), [1, 1, 3, 16]);
    assert_eq!([1, 2, 16].map(|cores| Lanes::Core.count(cores)), [1, 2, 16]);
    assert_eq!(
        [1, 2, 16].map(|cores| Lanes::Device.count(cores)),
        [1, 1, 1]
    );
}

#[test]
fn what_will_not_do_is_named_with_file_and_line_or_setting() {
    for (from, to, why) in [
        (
            "segment_count = 6",
            "segment_coun = 6",
            "unknown field `segment_coun`",
        ),
        ("segment_count = 6", "", "missing field `segment_count`"),
        (
            "segment_count = 6",
            "segment_count = 1",
            "wal.segment_count is 1; give 2 to 1024",
        ),
        ("segment_count = 6", "segment_count = \"x\"", "invalid type"),
        ("segment_count = 6", "segment_count =", "my.toml, line "),
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
        (
            "heartbeat_interval_ms = 300",
            "heartbeat_interval_ms = 0",
            "raft.heartbeat_interval_ms is 0; give 1 to 10000",
        ),
        (
            "election_timeout_ms = 3000",
            "election_timeout_ms = 1499",
            "raft.election_timeout_ms is 1499; give 1500 (5 heartbeats) to 50000",
        ),
        ("election_timeout_ms = 3000", "", "missing field"),
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

/// A few changes of bytes, chosen by `seed`, in a text that stays UTF-8.
fn mutate(text: &str, seed: &mut u64) -> String {
    let mut below = |n: usize| {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) as usize % n.max(1)
    };
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=below(3) {
        let at = below(bytes.len());
        match below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, b"0-\"[]=\n#9\xff"[below(10)]),
            2 if !bytes.is_empty() => bytes[at] = below(256) as u8,
            3 if !bytes.is_empty() => bytes[at] ^= 1 << below(8),
            _ => {
                let end = at + below(bytes.len() - at);
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn mutated_profiles_are_refused_in_one_line_or_within_bounds() {
    let mut seed = 10;
    let mut taken = 0;
    let texts: Vec<String> = Profile::built_in_names()
        .map(|name| Profile::built_in(name).unwrap().to_toml())
        .collect();
    for case in 0..5_000 {
        let text = mutate(&texts[case % texts.len()], &mut seed);
        match Profile::parse("my.toml", &text) {
            Ok(profile) => {
                taken += 1;
                assert!((2..=1024).contains(&profile.wal.segment_count), "{text}");
                assert_eq!(profile.wal.segment_bytes % (1 << 20), 0, "{text}");
                assert!(!profile.name.is_empty(), "{text}");
                let again = Profile::parse("again", &profile.to_toml());
                assert_eq!(again.unwrap(), profile);
            }
            Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
        }
    }
    assert!(taken > 100, "{taken}: too wild to test anything");
}
