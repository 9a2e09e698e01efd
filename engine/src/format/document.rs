//! A small file that is written whole and replaced whole: the frame that the superblock and the
//! manifest share, and the only safe order of writing one.
//!
//! | offset | bytes | field (little endian) |
//! |---|---|---|
//! | 0 | 8 | magic of the kind of document |
//! | 8 | 2 | format version of the kind |
//! | 10 | 2 | zero |
//! | 12 | 4 | length of the payload, bytes |
//! | 16 | 4 | CRC32C of everything behind this header, padding included |
//! | 20 | 8 | zero |
//! | 28 | 4 | CRC32C of bytes 0..28 |
//! | 32 | | payload: an rkyv archive, its root last |
//! | | | zeros up to the next block |
//!
//! The header keeps this shape in every version, so that an older build can tell a newer file
//! from a damaged one.

use std::io::ErrorKind;

use rkyv::util::AlignedVec;

use super::fault::{Fault, join};
use super::raw::{put, u16_at, u32_at};
use crate::env::{Disk, DiskFile, OpenMode};
use crate::limits::{BLOCK_BYTES, DOCUMENT_BYTES_MAX};

/// Bytes of the header.
pub const HEAD_BYTES: usize = 32;

/// A kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// First bytes of the file.
    pub magic: [u8; 8],
    /// The only format version that is written and read.
    pub version: u16,
}

impl Kind {
    /// The file around `payload`, a multiple of the block long.
    pub fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let payload_len = u32::try_from(payload.len()).expect("a document is far below 4 GiB");
        let mut image = vec![0; (HEAD_BYTES + payload.len()).next_multiple_of(BLOCK_BYTES)];
        put(&mut image, HEAD_BYTES, payload);
        let crc = crc32c::crc32c(&image[HEAD_BYTES..]);
        put(&mut image, 0, &self.magic);
        put(&mut image, 8, &self.version.to_le_bytes());
        put(&mut image, 12, &payload_len.to_le_bytes());
        put(&mut image, 16, &crc.to_le_bytes());
        let head_crc = crc32c::crc32c(&image[..28]);
        put(&mut image, 28, &head_crc.to_le_bytes());
        image
    }

    /// The payload of the file `image`, checked; aligned for rkyv.
    pub fn decode(&self, path: &str, image: &[u8]) -> Result<AlignedVec, Fault> {
        let bad = |offset: usize, what: &str| Fault::corrupt(path, offset as u64, what);
        if image.len() < HEAD_BYTES {
            return Err(bad(image.len(), "the file ends inside its header"));
        }
        if image[..8] != self.magic {
            return Err(bad(0, "magic of the file"));
        }
        if crc32c::crc32c(&image[..28]) != u32_at(image, 28) {
            return Err(bad(0, "checksum of the header"));
        }
        let found = u16_at(image, 8);
        if found > self.version {
            let path = path.to_owned();
            return Err(Fault::Newer {
                path,
                found,
                supported: self.version,
            });
        }
        if found < self.version {
            let path = path.to_owned();
            return Err(Fault::Older {
                path,
                found,
                oldest: self.version,
            });
        }
        let payload_len = u32_at(image, 12) as usize;
        if image.len() != (HEAD_BYTES + payload_len).next_multiple_of(BLOCK_BYTES) {
            return Err(bad(image.len(), "length of the file"));
        }
        if crc32c::crc32c(&image[HEAD_BYTES..]) != u32_at(image, 16) {
            return Err(bad(HEAD_BYTES, "checksum of the content"));
        }
        let mut payload = AlignedVec::with_capacity(payload_len);
        payload.extend_from_slice(&image[HEAD_BYTES..HEAD_BYTES + payload_len]);
        Ok(payload)
    }
}

/// Puts the document `dir/name` in place: written under the name `dir/temp`, made durable, then
/// renamed, then the name made durable. A crash leaves the former document or this one.
///
/// The temporary name must not exist; one that a crash left is removed by [`remove_leftover`].
pub async fn replace<D: Disk>(
    disk: &D,
    dir: &str,
    name: &str,
    temp: &str,
    image: &[u8],
) -> Result<(), Fault> {
    let (path, temp) = (join(dir, name), join(dir, temp));
    assert!(
        image.len().is_multiple_of(BLOCK_BYTES),
        "a document of whole blocks"
    );
    let written = write_new(disk, &temp, image).await;
    if let Err(fault) = written {
        // Best effort: a document cut off by a full disk would take space for nothing.
        let _ = disk.remove(&temp).await;
        return Err(fault);
    }
    disk.rename(&temp, &path)
        .await
        .map_err(|e| Fault::io(&path, "rename", &e))?;
    disk.sync_dir(dir)
        .await
        .map_err(|e| Fault::io(dir, "sync of the directory", &e))
}

async fn write_new<D: Disk>(disk: &D, path: &str, image: &[u8]) -> Result<(), Fault> {
    let file = disk
        .open(path, OpenMode::CREATE)
        .await
        .map_err(|e| Fault::io(path, "create", &e))?;
    let mut buf = file.alloc(image.len());
    buf.as_mut().copy_from_slice(image);
    file.write(0, buf)
        .await
        .map_err(|e| Fault::io(path, "write", &e))?;
    file.sync().await.map_err(|e| Fault::io(path, "sync", &e))
}

/// The whole document `path`, or `None` if it is not there.
pub async fn read<D: Disk>(disk: &D, path: &str) -> Result<Option<bytes::Bytes>, Fault> {
    let file = match disk.open(path, OpenMode::READ).await {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Fault::io(path, "open", &error)),
    };
    let len = file
        .len()
        .await
        .map_err(|e| Fault::io(path, "length", &e))?;
    if len > DOCUMENT_BYTES_MAX as u64 {
        return Err(Fault::corrupt(path, len, "length of the file"));
    }
    let image = file
        .read(0, len as usize)
        .await
        .map_err(|e| Fault::io(path, "read", &e))?;
    Ok(Some(image))
}

/// Removes what an interrupted [`replace`] left. Fine if there is nothing.
pub async fn remove_leftover<D: Disk>(disk: &D, dir: &str, temp: &str) -> Result<(), Fault> {
    let path = join(dir, temp);
    match disk.remove(&path).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Fault::io(&path, "remove", &error)),
    }
}
