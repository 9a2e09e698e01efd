//! The records: one block each, in a ring of slots, so that a run may go on for hours.
//!
//! | bytes | are |
//! |---|---|
//! | 0..8 | magic |
//! | 8..16 | the run |
//! | 16..24 | the number, from 1 |
//! | 24..28 | CRC32C of all other bytes |
//! | 28..4096 | the number's lowest byte, again and again |
//!
//! A record goes into the slot of its number modulo [`SLOTS`]; only one is under way at a time, so
//! the record which it replaces is the only older one that a cut may damage.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::str::FromStr;

/// Bytes of a record.
pub const RECORD_BYTES: usize = 4096;
/// Records in the ring: 64 MiB.
pub const SLOTS: u64 = 16_384;
const MAGIC: [u8; 8] = *b"STOAPCUT";

/// A run of the writer, so that records of an earlier one are not taken for this one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for RunId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<RunId, Self::Err> {
        u64::from_str_radix(text, 16).map(RunId)
    }
}

/// What records are kept on: a file, or a disk that is played.
pub trait Medium {
    /// Writes a record; durable with the next sync, or at once.
    ///
    /// # Errors
    /// When the medium fails.
    fn write(&mut self, offset: u64, record: &[u8]) -> io::Result<()>;
    /// Makes durable what was written.
    ///
    /// # Errors
    /// When the medium fails.
    fn sync(&mut self) -> io::Result<()>;
    /// Reads a record.
    ///
    /// # Errors
    /// `UnexpectedEof` where there is none; else when the medium fails.
    fn read(&mut self, offset: u64, record: &mut [u8]) -> io::Result<()>;
}

impl Medium for File {
    fn write(&mut self, offset: u64, record: &[u8]) -> io::Result<()> {
        self.write_all_at(record, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn read(&mut self, offset: u64, record: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(record, offset)
    }
}

/// Where a record is.
#[must_use]
pub fn offset(number: u64) -> u64 {
    number % SLOTS * RECORD_BYTES as u64
}

/// The bytes of a record, in a buffer of `RECORD_BYTES`.
pub fn image(run: RunId, number: u64, record: &mut [u8]) {
    record.fill(number as u8);
    record[..8].copy_from_slice(&MAGIC);
    record[8..16].copy_from_slice(&run.0.to_le_bytes());
    record[16..24].copy_from_slice(&number.to_le_bytes());
    let sum = checksum(record);
    record[24..28].copy_from_slice(&sum.to_le_bytes());
}

fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..24]), &record[28..])
}

/// The run and the number of a whole record.
#[must_use]
pub fn parse(record: &[u8]) -> Option<(RunId, u64)> {
    let number = |at: usize| Some(u64::from_le_bytes(record.get(at..at + 8)?.try_into().ok()?));
    let sum = u32::from_le_bytes(record.get(24..28)?.try_into().ok()?);
    let is_whole = record.len() == RECORD_BYTES && record[..8] == MAGIC && sum == checksum(record);
    is_whole.then_some((RunId(number(8)?), number(16)?))
}
