//! The profile in force: asked for, kept, or found by the probe; and files that will not do.
#![allow(clippy::unwrap_used)]

use super::{KEPT_FILE, Measured, find, summary};
use crate::fatal::Exit;
use tuning::{Durable, Profile};

#[test]
fn the_first_start_probes_and_later_ones_keep_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = find(dir.path(), None, None).unwrap();
    assert!(first.why.contains(" us"), "{}", first.why);
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, [KEPT_FILE], "the probe leaves nothing else");
    let text = std::fs::read_to_string(dir.path().join(KEPT_FILE)).unwrap();
    assert!(text.contains(&first.why), "{text}");

    // What people change there counts from then on.
    let mut changed = first.profile.clone();
    changed.name = "mine".to_owned();
    changed.wal.segment_count = 5;
    std::fs::write(dir.path().join(KEPT_FILE), changed.to_toml()).unwrap();
    let second = find(dir.path(), None, None).unwrap();
    assert_eq!(second.profile, changed);
    assert!(second.why.contains(KEPT_FILE), "{}", second.why);
}

#[test]
fn a_profile_that_was_asked_for_beats_the_kept_one_and_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let given = Profile::built_in("spinning").unwrap();
    assert_eq!(find(dir.path(), None, Some(&given)).unwrap().profile, given);
    assert!(!dir.path().join(KEPT_FILE).exists());
}

#[test]
fn a_damaged_file_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(KEPT_FILE);
    std::fs::write(&path, "name = \"x\"\n???\n").unwrap();
    match find(dir.path(), None, None) {
        Err(Exit::BadConfig(text)) => {
            assert!(
                text.contains(&format!("{}, line 2", path.display())),
                "{text}"
            );
            assert!(text.contains("remove"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_middle_and_the_tail_are_taken_from_the_sorted_times() {
    let measured = |p50_us, mean_us, p99_us, writes| Measured {
        durable: Durable {
            p50_us,
            mean_us,
            p99_us,
        },
        writes,
    };
    assert_eq!(summary(vec![7]), measured(7, 7, 7, 1));
    assert_eq!(
        summary((1..=101).rev().collect()),
        measured(51, 51, 100, 101)
    );
}
