//! Damage to the files of a stopped server, as crashes and bad disks do it. Used by the crash
//! cases: which files are hit is the caller's choice.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::random::Random;

/// All files below `dir` whose name `wanted` accepts, in a fixed order.
///
/// # Errors
/// When a directory cannot be read.
pub fn files(dir: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let (mut found, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                dirs.push(entry.path());
            } else if wanted(&entry.file_name().to_string_lossy()) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Flips one bit at a place which `random` chooses in `from..to`; returns its offset.
///
/// # Errors
/// When the file is shorter or cannot be written.
pub fn flip_bit(path: &Path, from: u64, to: u64, random: &mut Random) -> io::Result<u64> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let offset = from + random.below((to - from).max(1));
    let mut byte = [0u8];
    file.read_exact_at(&mut byte, offset)?;
    byte[0] ^= 1 << random.below(8);
    file.write_all_at(&byte, offset)?;
    file.sync_all()?;
    Ok(offset)
}

/// Overwrites `from..to` with random bytes: what a recycled or torn place may hold.
///
/// # Errors
/// When the file cannot be written.
pub fn garbage(path: &Path, from: u64, to: u64, random: &mut Random) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let bytes: Vec<u8> = (from..to).map(|_| random.bits() as u8).collect();
    file.write_all_at(&bytes, from)?;
    file.sync_all()
}

/// Zeroes the last `len` written bytes in the file, as a write does that landed in part. The
/// written end is the last byte that is not zero, since logs are preallocated. Returns where the
/// zeros begin.
///
/// # Errors
/// When the file cannot be read or written.
pub fn tear_last_write(path: &Path, len: u64) -> io::Result<u64> {
    let end = written_end(path)?;
    let from = end.saturating_sub(len);
    let zeros = vec![0u8; usize::try_from(end - from).map_err(io::Error::other)?];
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&zeros, from)?;
    file.sync_all()?;
    Ok(from)
}

/// The offset behind the last byte that is not zero.
///
/// # Errors
/// When the file cannot be read.
pub fn written_end(path: &Path) -> io::Result<u64> {
    const PIECE: u64 = 1 << 20;
    let file = File::open(path)?;
    let mut end = file.metadata()?.len();
    let mut piece = vec![0u8; PIECE as usize];
    while end > 0 {
        let from = end.saturating_sub(PIECE);
        let piece = &mut piece[..(end - from) as usize];
        file.read_exact_at(piece, from)?;
        if let Some(last) = piece.iter().rposition(|b| *b != 0) {
            return Ok(from + last as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
