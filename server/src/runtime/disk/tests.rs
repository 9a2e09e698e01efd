//! The contract of `engine::env::disk` on a real file system and on a tmpfs.
#![allow(clippy::unwrap_used)]

use openraft::AsyncRuntime;

use super::*;
use crate::runtime::raft_rt::CoreRuntime;

/// Directories on what this machine has: the temporary one, the build's, and a tmpfs.
fn roots() -> Vec<tempfile::TempDir> {
    let places = [
        std::env::temp_dir(),
        std::env::current_dir().unwrap(),
        "/dev/shm".into(),
    ];
    places
        .iter()
        .filter_map(|place| tempfile::tempdir_in(place).ok())
        .collect()
}

fn on_every_disk<F: Future<Output = ()>>(body: impl Fn(DirectDisk) -> F) {
    let roots = roots();
    assert!(!roots.is_empty());
    for root in roots {
        CoreRuntime::run(async { body(DirectDisk::open(root.path()).await.unwrap()).await });
    }
}

fn filled(file: &DirectFile, len: usize, seed: u64) -> DirectBuf {
    let mut buf = file.alloc(len);
    assert!(buf.iter().all(|b| *b == 0), "a new buffer is zeroed");
    for (i, b) in buf.as_mut().iter_mut().enumerate() {
        *b = pattern(seed + i as u64);
    }
    buf
}

fn pattern(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

#[test]
fn what_was_written_is_read_at_any_alignment_up_to_the_end() {
    on_every_disk(|disk| async move {
        let file = disk.open("data", OpenMode::CREATE).await.unwrap();
        file.write(0, filled(&file, 16384, 0)).await.unwrap();
        file.write(16384, filled(&file, 4096, 16384)).await.unwrap();
        assert_eq!(file.len().await.unwrap(), 20480);
        let spans = [
            (0, 20480),
            (1, 1),
            (511, 2),
            (4095, 4098),
            (20000, 480),
            (20000, 9999),
        ];
        for (at, len) in spans {
            let got = file.read(at, len).await.unwrap();
            assert_eq!(got.len(), len.min(20480 - at as usize), "{at} {len}");
            assert!(
                got.iter().zip(at..).all(|(b, at)| *b == pattern(at)),
                "{at} {len}"
            );
        }
        assert!(file.read(20480, 10).await.unwrap().is_empty());
        assert!(file.read(1 << 40, 10).await.unwrap().is_empty());
    });
}

#[test]
fn a_file_cut_at_an_odd_length_is_read_to_that_length() {
    on_every_disk(|disk| async move {
        let bytes: Vec<u8> = (0..5001).map(pattern).collect();
        fs::write(disk.root().join("odd"), &bytes).unwrap();
        let file = disk.open("odd", OpenMode::READ).await.unwrap();
        assert_eq!(file.read(0, 9000).await.unwrap(), bytes);
        assert_eq!(file.read(4999, 4096).await.unwrap(), bytes[4999..]);
        assert!(file.read(5001, 1).await.unwrap().is_empty());
        assert!(file.read(5100, 1).await.unwrap().is_empty());
    });
}

#[test]
fn durable_writes_land_in_a_file_opened_for_them() {
    on_every_disk(|disk| async move {
        let mode = OpenMode {
            durable_writes: true,
            ..OpenMode::CREATE
        };
        let file = disk.open("wal", mode).await.unwrap();
        for i in 0..8u64 {
            file.write(i * 4096, filled(&file, 4096, i * 4096))
                .await
                .unwrap();
        }
        file.sync().await.unwrap();
        drop(file);
        let file = disk.open("wal", OpenMode::READ).await.unwrap();
        let got = file.read(0, 32768).await.unwrap();
        assert!(got.iter().zip(0..).all(|(b, at)| *b == pattern(at)));
    });
}

#[test]
fn names_can_be_made_listed_renamed_and_removed() {
    on_every_disk(|disk| async move {
        disk.make_dir("a/b").await.unwrap();
        disk.make_dir("a/b").await.unwrap();
        for name in ["a/2", "a/10", "a/1"] {
            disk.open(name, OpenMode::CREATE).await.unwrap();
        }
        assert_eq!(disk.list("a").await.unwrap(), ["1", "10", "2", "b"]);
        let again = disk.open("a/1", OpenMode::CREATE).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        disk.rename("a/1", "a/2").await.unwrap();
        disk.remove("a/10").await.unwrap();
        disk.sync_dir("a").await.unwrap();
        assert_eq!(disk.list("a").await.unwrap(), ["2", "b"]);
        assert_eq!(disk.list("").await.unwrap(), ["a"], "no trace of the probe");
        assert!(disk.free_bytes().await.unwrap() > 0);
    });
}

#[test]
fn what_is_missing_or_outside_is_refused_by_kind_and_name() {
    on_every_disk(|disk| async move {
        let missing = disk.open("gone/file", OpenMode::READ).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.to_string().contains("gone/file"), "{missing}");
        assert_eq!(
            disk.list("gone").await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert_eq!(
            disk.remove("gone").await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        for path in ["../x", "/etc/passwd", "a/../../x"] {
            let outside = disk.open(path, OpenMode::READ).await.unwrap_err();
            assert_eq!(outside.kind(), ErrorKind::InvalidInput, "{path}");
        }
    });
}

#[test]
fn writing_what_was_opened_for_reading_fails_and_names_file_and_offset() {
    on_every_disk(|disk| async move {
        disk.open("r", OpenMode::CREATE).await.unwrap();
        let file = disk.open("r", OpenMode::READ).await.unwrap();
        let error = file
            .write(8192, file.alloc(4096))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("r: writing at offset 8192"), "{error}");
        // The failure is final, and clones share it.
        let error = file.clone().sync().await.unwrap_err().to_string();
        assert_eq!(error, "r: an earlier write or sync failed");
        assert!(file.read(0, 1).await.unwrap().is_empty(), "reading goes on");
    });
}

#[test]
fn many_writes_at_once_all_land() {
    // More than the ring is deep.
    on_every_disk(|disk| async move {
        let file = disk.open("many", OpenMode::CREATE).await.unwrap();
        let writes = (0..600u64).map(|i| file.write(i * 4096, filled(&file, 4096, i * 4096)));
        for written in futures::future::join_all(writes).await {
            written.unwrap();
        }
        let got = file.read(0, 600 * 4096).await.unwrap();
        assert_eq!(got.len(), 600 * 4096);
        assert!(got.iter().zip(0..).all(|(b, at)| *b == pattern(at)));
    });
}

#[test]
fn a_closed_file_gives_its_descriptor_back() {
    on_every_disk(|disk| async move {
        disk.open("f", OpenMode::CREATE).await.unwrap();
        // More opens than one process may hold open files, were they kept.
        for _ in 0..3000 {
            let file = disk.open("f", OpenMode::READ).await.unwrap();
            drop(file.clone());
        }
    });
}

#[test]
fn passes_the_suite_of_the_engine() {
    on_every_disk(engine::env::suite::run);
}
