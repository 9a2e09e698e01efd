//! Reading one shard's index file back: a chunk a step, everything checked on the way.

use super::CheckpointError;
use super::entry::{take_entry, take_version};
use super::manifest::index_path;
use crate::env::{Disk, DiskFile, OpenMode};
use crate::format::checkpoint::{
    CHUNK_HEAD_BYTES, ChunkHead, ChunkKind, Footer, INDEX_HEAD_BYTES, IndexHead, ShardImage,
};
use crate::format::fault::Fault;
use crate::format::raw::u32_at;
use crate::limits::{INDEX_CHUNK_BYTES_MAX, WRITE_BYTES};
use crate::mvcc::version::{Key, Version};

/// Reads an index file.
pub struct IndexReader<D: Disk> {
    file: D::File,
    path: String,
    image: ShardImage,
    /// Bytes read and not yet taken, which begin at `offset` of the file.
    bytes: Vec<u8>,
    taken: usize,
    offset: u64,
    checksum: u32,
    chunks: u32,
    /// A key whose versions go on in the next entry.
    open: Option<(Key, Vec<Version>)>,
    last: Option<Key>,
    keys: u64,
    versions: u64,
    footer: Option<Footer>,
}

impl<D: Disk> IndexReader<D> {
    /// Opens the index file that a manifest names and checks its header.
    pub async fn open(
        disk: &D,
        head: IndexHead,
        image: ShardImage,
    ) -> Result<Self, CheckpointError> {
        let path = index_path(head.generation, head.shard);
        let file = disk.open(&path, OpenMode::READ).await;
        let file = file.map_err(|e| Fault::io(&path, "open", &e))?;
        let len = file
            .len()
            .await
            .map_err(|e| Fault::io(&path, "length", &e))?;
        let mut reader = Self {
            file,
            path,
            image,
            bytes: Vec::new(),
            taken: 0,
            offset: 0,
            checksum: 0,
            chunks: 0,
            open: None,
            last: None,
            keys: 0,
            versions: 0,
            footer: None,
        };
        if len != image.index_bytes {
            let what = format!(
                "length of the file, the manifest says {}",
                image.index_bytes
            );
            return Err(Fault::corrupt(&reader.path, len, what).into());
        }
        reader.fill(INDEX_HEAD_BYTES).await?;
        head.check(&reader.path, &reader.bytes)?;
        reader.checksum = u32_at(&reader.bytes, 60);
        reader.taken = INDEX_HEAD_BYTES;
        Ok(reader)
    }

    /// Reads one chunk and hands out its keys with their versions, in key order; `false` at the
    /// end of the file. Nothing is to be trusted before the end was reached.
    pub async fn step(
        &mut self,
        take: &mut impl FnMut(Key, Vec<Version>),
    ) -> Result<bool, CheckpointError> {
        if self.footer.is_some() {
            return Ok(false);
        }
        self.fill(CHUNK_HEAD_BYTES).await?;
        let head = ChunkHead::read(&self.bytes[self.taken..]).map_err(|what| self.bad(what))?;
        if head.payload_len as usize > INDEX_CHUNK_BYTES_MAX {
            return Err(self.bad("length of the chunk"));
        }
        let len = CHUNK_HEAD_BYTES + head.payload_len as usize;
        self.fill(len).await?;
        let chunk = &self.bytes[self.taken..self.taken + len];
        let checksum = head.check(chunk).map_err(|what| self.bad(what))?;
        if (head.number, head.previous) != (self.chunks, self.checksum) {
            return Err(self.bad("a chunk is missing, doubled or of another file"));
        }
        self.checksum = checksum;
        self.chunks += 1;
        match head.kind {
            ChunkKind::Entries => {
                // Out of the reader, so that its other fields can be changed meanwhile.
                let bytes = std::mem::take(&mut self.bytes);
                let payload = &bytes[self.taken + CHUNK_HEAD_BYTES..self.taken + len];
                let entries = self.entries(payload, head.entries, take);
                self.bytes = bytes;
                entries.map_err(|what| self.bad(what))?;
                self.taken += len;
                Ok(true)
            }
            ChunkKind::Footer => {
                self.end(len).await?;
                Ok(false)
            }
        }
    }

    /// The footer, once [`IndexReader::step`] has returned `false`.
    pub fn footer(&self) -> Option<&Footer> {
        self.footer.as_ref()
    }

    fn entries(
        &mut self,
        mut bytes: &[u8],
        count: u32,
        take: &mut impl FnMut(Key, Vec<Version>),
    ) -> Result<(), &'static str> {
        const CUT: &str = "an entry of the chunk";
        for _ in 0..count {
            let entry = take_entry(&mut bytes).ok_or(CUT)?;
            let (key, mut versions) = match self.open.take() {
                Some((key, versions)) if *key == *entry.key => (key, versions),
                Some(_) => return Err("a key that breaks off"),
                None => {
                    if self.last.as_ref().is_some_and(|last| *entry.key <= **last) {
                        return Err("order of the keys");
                    }
                    // The count is not to be trusted with an allocation of any size.
                    let room = entry.versions.min(bytes.len() as u64) as usize;
                    (Key::from(entry.key), Vec::with_capacity(room))
                }
            };
            for _ in 0..entry.versions {
                versions.push(take_version(&mut bytes).ok_or(CUT)?);
            }
            self.versions += entry.versions;
            if entry.more {
                self.open = Some((key, versions));
                continue;
            }
            self.keys += 1;
            self.last = Some(Key::clone(&key));
            take(key, versions);
        }
        if bytes.is_empty() {
            Ok(())
        } else {
            Err("bytes behind the entries of the chunk")
        }
    }

    async fn end(&mut self, len: usize) -> Result<(), CheckpointError> {
        let payload = &self.bytes[self.taken + CHUNK_HEAD_BYTES..self.taken + len];
        let footer = Footer::decode(payload).ok_or_else(|| self.bad("the footer"))?;
        if self.open.is_some() || (footer.keys, footer.versions) != (self.keys, self.versions) {
            return Err(self.bad("counts of the footer"));
        }
        if self.checksum != self.image.index_checksum {
            return Err(self.bad("checksum of the file, the manifest says another"));
        }
        self.taken += len;
        let at = self.offset + self.taken as u64;
        let padding = self.image.index_bytes.saturating_sub(at);
        if padding >= crate::limits::BLOCK_BYTES as u64 {
            return Err(self.bad("bytes behind the footer"));
        }
        self.fill(padding as usize).await?;
        if self.bytes[self.taken..].iter().any(|&byte| byte != 0) {
            return Err(self.bad("bytes behind the footer"));
        }
        self.footer = Some(footer);
        Ok(())
    }

    /// Makes `len` bytes behind `taken` available.
    async fn fill(&mut self, len: usize) -> Result<(), CheckpointError> {
        while self.bytes.len() - self.taken < len {
            let at = self.offset + self.bytes.len() as u64;
            let left = self
                .image
                .index_bytes
                .saturating_sub(at)
                .min(WRITE_BYTES as u64) as usize;
            let read = self.file.read(at, left).await;
            let read = read.map_err(|e| Fault::io(&self.path, "read", &e))?;
            if read.is_empty() {
                return Err(self.bad("the file ends inside a chunk"));
            }
            self.bytes.drain(..self.taken);
            self.offset += self.taken as u64;
            self.taken = 0;
            self.bytes.extend_from_slice(&read);
        }
        Ok(())
    }

    /// Damage in the chunk that is being taken.
    fn bad(&self, what: &str) -> CheckpointError {
        Fault::corrupt(&self.path, self.offset + self.taken as u64, what).into()
    }
}
