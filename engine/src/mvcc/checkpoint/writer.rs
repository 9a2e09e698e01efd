//! Writing one shard's index file: entries pushed in bounded steps, written in large writes.

use std::collections::BTreeMap;

use super::CheckpointError;
use super::entry;
use super::manifest::index_path;
use crate::env::{Disk, DiskFile, OpenMode};
use crate::format::checkpoint::{ChunkHead, ChunkKind, FileImage, Footer, IndexHead};
use crate::format::fault::Fault;
use crate::format::raw::u32_at;
use crate::limits::{
    BLOCK_BYTES, INDEX_CHUNK_BYTES, INDEX_CHUNK_BYTES_MAX, INDEX_ENTRY_VERSIONS, WRITE_BYTES,
};
use crate::mvcc::pages::weight;
use crate::mvcc::version::{Value, Version};

/// Writes an index file. Push a step's entries, call [`IndexWriter::write_out`], and so on; a
/// writer that is dropped leaves a file that the next start removes.
pub struct IndexWriter<D: Disk> {
    file: D::File,
    path: String,
    /// Whole chunks not yet written, which begin at `offset` of the file.
    out: Vec<u8>,
    offset: u64,
    /// Payload of the chunk being filled.
    chunk: Vec<u8>,
    entries: u32,
    chunks: u32,
    checksum: u32,
    key: Vec<u8>,
    footer: Footer,
    live: BTreeMap<u32, u64>,
}

/// A finished index file: what the manifest says of it, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexSummary {
    /// Length, bytes.
    pub bytes: u64,
    /// Checksum of the footer chunk, which chains all others.
    pub checksum: u32,
    /// Counts, and the page files it names.
    pub footer: Footer,
}

impl<D: Disk> IndexWriter<D> {
    /// Begins the index file of a shard. Fails if it is there already: a generation is used once.
    pub async fn create(disk: &D, head: IndexHead) -> Result<Self, CheckpointError> {
        let path = index_path(head.generation, head.shard);
        let file = disk.open(&path, OpenMode::CREATE).await;
        let file = file.map_err(|e| Fault::io(&path, "create", &e))?;
        let head = head.encode();
        Ok(Self {
            file,
            path,
            out: head.to_vec(),
            offset: 0,
            chunk: Vec::with_capacity(INDEX_CHUNK_BYTES * 2),
            entries: 0,
            chunks: 0,
            checksum: u32_at(&head, 60),
            key: Vec::new(),
            footer: Footer::default(),
            live: BTreeMap::new(),
        })
    }

    /// Adds a key with its versions, tombstones too, oldest first. Keys must rise. A key without
    /// versions is left out. After an error the checkpoint is to be given up.
    pub fn push(&mut self, key: &[u8], versions: &[Version]) -> Result<(), CheckpointError> {
        if versions.is_empty() {
            return Ok(());
        }
        if self.footer.keys > 0 && *key <= *self.key {
            return Err(CheckpointError::Order);
        }
        self.key.clear();
        self.key.extend_from_slice(key);
        let mut rest = versions;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(INDEX_ENTRY_VERSIONS));
            rest = behind;
            entry::encode(&mut self.chunk, key, piece, !rest.is_empty())
                .map_err(CheckpointError::Staged)?;
            self.entries += 1;
            if self.chunk.len() >= INDEX_CHUNK_BYTES {
                self.close_chunk(ChunkKind::Entries);
            }
        }
        for version in versions {
            if let Value::Sealed(slot) = &version.value {
                *self.live.entry(slot.page.file).or_default() += weight(slot.len);
            }
        }
        self.footer.keys += 1;
        self.footer.versions += versions.len() as u64;
        Ok(())
    }

    /// Writes what is gathered, in writes of [`WRITE_BYTES`]; what is less stays.
    pub async fn write_out(&mut self) -> Result<(), CheckpointError> {
        let whole = self.out.len() / WRITE_BYTES * WRITE_BYTES;
        self.write(whole).await
    }

    /// Ends the file and makes it durable; its name becomes durable with [`super::commit`].
    ///
    /// `files` are the page files there are now ([`crate::mvcc::pages::Pages::files`]); those that
    /// no entry names are left out.
    pub async fn finish(mut self, files: &[FileImage]) -> Result<IndexSummary, CheckpointError> {
        if self.entries > 0 {
            self.close_chunk(ChunkKind::Entries);
        }
        for (number, live) in std::mem::take(&mut self.live) {
            let file = files.iter().find(|file| file.number == number);
            let file = file.ok_or(CheckpointError::NoFile(number))?;
            self.footer.files.push(FileImage { live, ..*file });
        }
        self.chunk = self.footer.encode();
        self.close_chunk(ChunkKind::Footer);
        self.out
            .resize(self.out.len().next_multiple_of(BLOCK_BYTES), 0);
        self.write(self.out.len()).await?;
        let synced = self.file.sync().await;
        synced.map_err(|e| Fault::io(&self.path, "sync", &e))?;
        Ok(IndexSummary {
            bytes: self.offset,
            checksum: self.checksum,
            footer: self.footer,
        })
    }

    fn close_chunk(&mut self, kind: ChunkKind) {
        assert!(
            self.chunk.len() <= INDEX_CHUNK_BYTES_MAX,
            "a chunk over its bound"
        );
        let head = ChunkHead {
            kind,
            number: self.chunks,
            entries: self.entries,
            payload_len: self.chunk.len() as u32,
            previous: self.checksum,
        };
        self.checksum = head.encode(&self.chunk, &mut self.out);
        self.out.append(&mut self.chunk);
        self.chunks += 1;
        self.entries = 0;
    }

    async fn write(&mut self, len: usize) -> Result<(), CheckpointError> {
        for piece in self.out[..len].chunks(WRITE_BYTES) {
            let mut buf = self.file.alloc(piece.len());
            buf.as_mut()[..piece.len()].copy_from_slice(piece);
            let written = self.file.write(self.offset, buf).await;
            written.map_err(|e| Fault::io(&self.path, "write", &e))?;
            self.offset += piece.len() as u64;
        }
        self.out.drain(..len);
        Ok(())
    }
}
