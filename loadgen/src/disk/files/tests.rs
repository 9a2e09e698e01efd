//! Files made ready, and that they go.
#![allow(clippy::unwrap_used)]

use std::io;

use super::WorkDir;
use crate::progress::Stop;

#[test]
fn a_file_is_written_in_full_and_goes_with_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let work = WorkDir::below(dir.path()).unwrap();
    let path = work.written("one", 2 << 20, Stop::deaf()).unwrap();
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(bytes.len(), 2 << 20);
    assert!(
        bytes
            .chunks(4096)
            .all(|block| block.iter().any(|byte| *byte != 0))
    );
    drop(work);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_run_that_is_told_to_end_does_not_write_its_files_first() {
    let dir = tempfile::tempdir().unwrap();
    let work = WorkDir::below(dir.path()).unwrap();
    let stop = Stop::deaf();
    stop.set();
    let error = work.written("one", 1 << 30, stop).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Interrupted);
}
