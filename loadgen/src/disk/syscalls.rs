//! The driver with plain system calls: one operation at a time on the calling thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use super::files;
use super::offsets::Offsets;
use super::recorder::Recorder;
use super::stretch::Stretch;

/// Writes blocks to `file`, each with an fdatasync if `sync`, and records the two as one.
///
/// # Errors
/// When a write or a sync fails.
pub fn write(
    file: &File,
    block: usize,
    offsets: &mut Offsets,
    sync: bool,
    stretch: &Stretch,
) -> io::Result<Recorder> {
    let mut recorder = Recorder::new(stretch.zero);
    let mut buf = files::random(block);
    let begin = Instant::now();
    for (number, offset) in offsets.enumerate() {
        if stretch.is_over(begin) {
            break;
        }
        buf[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let began = Instant::now();
        file.write_all_at(&buf, offset)?;
        if sync {
            file.sync_data()?;
        }
        recorder.record(began, Instant::now());
    }
    Ok(recorder)
}
