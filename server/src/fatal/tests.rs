//! Names and codes against the documentation, the lock, and the exit itself in a child process.
#![allow(clippy::unwrap_used)]

use super::{Exit, lock};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

fn one_of_each() -> Vec<Exit> {
    let text = || "x".to_owned();
    let all = vec![
        Exit::BadConfig(text()),
        Exit::DataDirInUse {
            dir: "d".into(),
            holder: text(),
        },
        Exit::DataDirUnusable {
            dir: "d".into(),
            why: text(),
        },
        Exit::NewerFormat {
            file: text(),
            what: text(),
        },
        Exit::IdentityMismatch(text()),
        Exit::PortInUse {
            address: text(),
            flag: "--f",
        },
        Exit::ListenFailed {
            address: text(),
            flag: "--f",
            why: text(),
        },
        Exit::LockedMemory(text()),
        Exit::IoUringForbidden(text()),
        Exit::ExecutorsFailed(text()),
        Exit::NoSpace(text()),
        Exit::Corruption(text()),
        Exit::DiskFailed(text()),
        Exit::BadSnapshot(text()),
        Exit::CoreStalled {
            core: 0,
            stalled_ms: 1,
        },
        Exit::CorePanicked {
            core: 0,
            message: text(),
        },
        Exit::StopForced,
        Exit::StopTimedOut(Duration::from_secs(1)),
    ];
    let names: std::collections::BTreeSet<_> = all.iter().map(Exit::name).collect();
    let codes: std::collections::BTreeSet<_> = all.iter().map(Exit::code).collect();
    assert_eq!(
        (names.len(), codes.len()),
        (all.len(), all.len()),
        "a name or code comes twice"
    );
    all
}

#[test]
fn the_documentation_lists_exactly_these_names_and_codes() {
    let page = include_str!("../../../docs/exit-codes.md");
    let mut documented = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        if let Ok(code) = cells[1].parse::<u8>() {
            documented.insert(code, cells[2].trim_matches('`').to_owned());
        }
    }
    assert_eq!(documented.remove(&0).as_deref(), Some("orderly stop"));
    let coded: BTreeMap<_, _> = one_of_each()
        .iter()
        .map(|exit| (exit.code(), exit.name().to_owned()))
        .collect();
    assert_eq!(documented, coded);
    // The list above must not fall behind the type: count the arms of `code`.
    let source = include_str!("../fatal.rs");
    let arms = source
        .lines()
        .filter(|l| l.contains("Self::") && l.contains(" => \""))
        .count();
    assert_eq!(arms, coded.len());
}

#[test]
fn codes_are_out_of_the_way_and_lines_are_single() {
    for exit in one_of_each() {
        assert!((10..=125).contains(&exit.code()), "{}", exit.line());
        assert!(!exit.line().contains('\n'));
    }
    assert!(
        !Exit::Corruption("two\nlines".to_owned())
            .line()
            .contains('\n')
    );
}

#[test]
fn a_full_disk_is_told_apart_from_a_broken_one() {
    let named = |errno| Exit::of_io("wal/0", &std::io::Error::from_raw_os_error(errno)).name();
    assert_eq!(named(libc::ENOSPC), "NoSpace");
    assert_eq!(named(libc::EDQUOT), "NoSpace");
    assert_eq!(named(libc::EIO), "DiskFailed");
}

#[test]
fn a_data_directory_is_held_by_one_and_free_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("made/if/missing");
    let held = lock::take(&data).unwrap();
    let refused = lock::take(&data).unwrap_err();
    assert_eq!(refused.code(), 11);
    assert!(
        refused
            .line()
            .contains(&format!("process {}", std::process::id())),
        "{refused}"
    );
    drop(held);
    lock::take(&data).unwrap();
}

#[test]
fn a_data_directory_of_etcd_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("member/snap")).unwrap();
    std::fs::write(dir.path().join("member/snap/db"), b"bolt").unwrap();
    assert_eq!(lock::take(dir.path()).unwrap_err().name(), "NewerFormat");
    assert!(!dir.path().join(lock::LOCK_FILE).exists());
}

#[test]
fn a_file_in_place_of_the_directory_is_unusable() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    std::fs::write(&file, b"").unwrap();
    assert_eq!(lock::take(&file).unwrap_err().name(), "DataDirUnusable");
}

/// Run as a child by the test below; does nothing in an ordinary run.
#[test]
fn child_that_exits() {
    if std::env::var_os("STOA_TEST_EXIT").is_some() {
        super::exit(&Exit::Corruption("wal/3 at offset 4096".to_owned()));
    }
}

#[test]
fn exit_prints_one_line_and_leaves_with_its_code() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fatal::tests::child_that_exits", "--nocapture"])
        .env("STOA_TEST_EXIT", "1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(21));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let expected = "stoa: Corruption (exit code 21): corruption: wal/3 at offset 4096; restore \
                    this member from a snapshot or add it anew";
    assert_eq!(
        stderr.lines().filter(|line| *line == expected).count(),
        1,
        "{stderr}"
    );
}

#[test]
fn a_port_that_cannot_be_had_ends_by_its_name_and_flag() {
    use crate::net::port;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let exit = |address, flag| Exit::of_port(&port::check(address).unwrap_err(), flag);
    let taken = Exit::PortInUse {
        address: address.to_string(),
        flag: "--listen-client-urls",
    };
    assert_eq!(exit(address, "--listen-client-urls"), taken);
    let nowhere = exit("203.0.113.1:1".parse().unwrap(), "--listen-metrics-urls");
    assert_eq!(nowhere.code(), 16);
    assert!(
        nowhere.line().contains("--listen-metrics-urls"),
        "{}",
        nowhere.line()
    );
}
