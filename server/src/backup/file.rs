//! A snapshot file: a database of etcd's, and behind it, where it came through `snapshot save`, the
//! SHA-256 of it. Used by `status` and `restore`.

use std::fs::File;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::bbolt::{BoltError, Bucket, Cursor, Database, Pair, Source};
use super::progress::Progress;
use crate::fatal::Exit;

/// Bytes of the hash.
const HASH_BYTES: u64 = 32;

/// The database is a multiple of this many bytes: by it a file with a hash is known, as in etcd.
const SECTOR_BYTES: u64 = 512;

/// Bytes read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A database in a file that was opened for reading.
pub struct SnapshotFile {
    path: PathBuf,
    database: Database<File>,
}

impl SnapshotFile {
    /// Opens the file. Its hash is checked, unless `skip_hash`; without one it is refused if
    /// `need_hash`.
    ///
    /// # Errors
    /// It cannot be read, or is no snapshot, or is damaged.
    pub fn open(path: &Path, skip_hash: bool, need_hash: bool) -> Result<Self, Exit> {
        let bad = |what: String| Exit::BadSnapshot(format!("{}: {what}", path.display()));
        let file = File::open(path).map_err(|error| bad(error.to_string()))?;
        let about = file.metadata().map_err(|error| bad(error.to_string()))?;
        if !about.is_file() {
            return Err(bad("it is no file".to_owned()));
        }
        let mut len = about.len();
        let has_hash = len % SECTOR_BYTES == HASH_BYTES;
        if has_hash {
            len -= HASH_BYTES;
        }
        if !skip_hash {
            match has_hash {
                true => check_hash(&file, len).map_err(bad)?,
                false if need_hash => {
                    let what = "it has no hash: it is cut, or was not made by `snapshot save`; \
                                a database that was copied is taken with --skip-hash-check";
                    return Err(bad(what.to_owned()));
                }
                false => {}
            }
        }
        let database = Database::open(file, len).map_err(|error| bad(error.to_string()))?;
        let path = path.to_owned();
        Ok(Self { path, database })
    }

    /// Bytes of the database.
    pub fn bytes(&self) -> u64 {
        self.database.bytes()
    }

    /// Buckets by name.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn buckets(&self) -> Result<Vec<(Vec<u8>, Bucket)>, Exit> {
        self.database.buckets().map_err(|error| self.bad(&error))
    }

    /// A walk over the pairs of the bucket called `name`; `None` if there is no such bucket.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn bucket(&self, name: &[u8]) -> Result<Option<Pairs<'_>>, Exit> {
        let found = self.database.bucket(name);
        match found.map_err(|error| self.bad(&error))? {
            Some(bucket) => self.pairs(&bucket).map(Some),
            None => Ok(None),
        }
    }

    /// A walk over the pairs of a bucket.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn pairs(&self, bucket: &Bucket) -> Result<Pairs<'_>, Exit> {
        let cursor = Cursor::new(&self.database, bucket).map_err(|error| self.bad(&error))?;
        Ok(Pairs { file: self, cursor })
    }

    /// The value of `key` in the bucket `name`, which is a small one.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn value(&self, name: &[u8], key: &[u8]) -> Result<Option<Vec<u8>>, Exit> {
        let Some(mut pairs) = self.bucket(name)? else {
            return Ok(None);
        };
        while let Some((found, value)) = pairs.next()? {
            if found == key {
                return Ok(Some(value.to_vec()));
            }
        }
        Ok(None)
    }

    /// What is wrong with this file.
    pub fn bad(&self, what: &dyn std::fmt::Display) -> Exit {
        Exit::BadSnapshot(format!("{}: {what}", self.path.display()))
    }
}

/// The pairs of a bucket.
pub struct Pairs<'a> {
    file: &'a SnapshotFile,
    cursor: Cursor<'a, File>,
}

impl Pairs<'_> {
    /// The next pair, `None` at the end.
    ///
    /// # Errors
    /// The file is damaged.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Pair<'_>>, Exit> {
        let bad = |error: BoltError| self.file.bad(&error);
        self.cursor.next().map_err(bad)
    }
}

/// Compares the hash behind the first `len` bytes.
fn check_hash(file: &File, len: u64) -> Result<(), String> {
    let progress = Progress::new("checking", len);
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while at < len {
        let some = (len - at).min(CHUNK_BYTES as u64) as usize;
        let read = file.read_at(at, &mut chunk[..some]);
        read.map_err(|error| error.to_string())?;
        hash.update(&chunk[..some]);
        progress.add(some);
        at += some as u64;
    }
    let mut expected = [0; HASH_BYTES as usize];
    let read = file.read_at(len, &mut expected);
    read.map_err(|error| error.to_string())?;
    if hash.finalize()[..] == expected {
        return Ok(());
    }
    Err("its SHA-256 is another than the one behind it: it is damaged".to_owned())
}
