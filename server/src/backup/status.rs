//! `stoa snapshot status`: what is in a snapshot file, in the words of `etcdutl snapshot status`.

use std::path::Path;

use super::cli::Form;
use super::etcd;
use super::file::SnapshotFile;
use super::progress::Progress;
use crate::fatal::Exit;

/// Units of a size, as etcd's tools write them.
const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// What is in a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Status {
    /// CRC-32C of names, keys and values of all buckets.
    hash: u32,
    revision: i64,
    /// Pairs in all buckets.
    pairs: u64,
    bytes: u64,
}

/// Reads the whole file, and says what is in it.
///
/// # Errors
/// It is no snapshot, or damaged.
pub fn run(path: &Path, form: Form) -> Result<String, Exit> {
    let file = SnapshotFile::open(path, false, false)?;
    let progress = Progress::new("reading", file.bytes());
    let mut status = Status {
        bytes: file.bytes(),
        ..Status::default()
    };
    for (name, bucket) in file.buckets()? {
        status.hash = crc32c::crc32c_append(status.hash, &name);
        let mut pairs = file.pairs(&bucket)?;
        while let Some((key, value)) = pairs.next()? {
            status.hash = crc32c::crc32c_append(status.hash, key);
            status.hash = crc32c::crc32c_append(status.hash, value);
            status.pairs += 1;
            if name == etcd::KEY {
                let revision = etcd::read_revision(key);
                let bad = || file.bad(&format!("{} is no revision", key.escape_ascii()));
                status.revision = revision.ok_or_else(bad)?.0.main;
            }
            progress.add(key.len() + value.len());
        }
    }
    Ok(status.text(form))
}

impl Status {
    fn text(&self, form: Form) -> String {
        let Self {
            hash,
            revision,
            pairs,
            bytes,
        } = self;
        let size = human(*bytes);
        match form {
            Form::Simple => format!("{hash:x}, {revision}, {pairs}, {size}\n"),
            Form::Json => {
                let fields = format!(r#""hash":{hash},"revision":{revision},"totalKey":{pairs}"#);
                format!("{{{fields},\"totalSize\":{bytes}}}\n")
            }
            Form::Table => table(
                &["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE"],
                &[
                    format!("{hash:x}"),
                    revision.to_string(),
                    pairs.to_string(),
                    size,
                ],
            ),
        }
    }
}

/// One row under its heads, each in the middle of its head's column or at its right end.
fn table(heads: &[&str], row: &[String]) -> String {
    let widths: Vec<usize> = heads
        .iter()
        .zip(row)
        .map(|(head, cell)| head.len().max(cell.len()))
        .collect();
    let line: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    let line = format!("+{}+\n", line.join("+"));
    let heads: Vec<String> = heads
        .iter()
        .zip(&widths)
        .map(|(head, width)| format!(" {head:^width$} "))
        .collect();
    let cells: Vec<String> = row
        .iter()
        .zip(&widths)
        .map(|(cell, width)| format!(" {cell:>width$} "))
        .collect();
    format!(
        "{line}|{}|\n{line}|{}|\n{line}",
        heads.join("|"),
        cells.join("|")
    )
}

/// A size as etcd's tools write it: powers of 1000, one decimal below 10.
fn human(bytes: u64) -> String {
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut scale = 1u64;
    while unit + 1 < UNITS.len() && bytes / scale >= 1000 {
        unit += 1;
        scale *= 1000;
    }
    let value = (bytes as f64 / scale as f64 * 10.0 + 0.5).floor() / 10.0;
    let decimals = usize::from(value < 10.0);
    format!("{value:.decimals$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests;
