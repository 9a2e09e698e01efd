//! The memory disk as the engine sees it: [`Disk`] and [`DiskFile`] over operations that complete
//! later. Called through those traits.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::Bytes;

use super::super::{Disk, DiskFile, OpenMode};
use super::{BLOCK_BYTES, FileRef, MemoryDisk, Op, Reply};

/// Where an operation's outcome is awaited.
#[derive(Default)]
pub(super) struct Slot {
    reply: RefCell<Option<io::Result<Reply>>>,
    waker: RefCell<Option<Waker>>,
}

impl Slot {
    pub(super) fn finish(&self, reply: io::Result<Reply>) {
        *self.reply.borrow_mut() = Some(reply);
    }

    pub(super) fn wake(&self) {
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

async fn outcome(slot: Rc<Slot>) -> io::Result<Reply> {
    poll_fn(|context| match slot.reply.borrow_mut().take() {
        Some(reply) => Poll::Ready(reply),
        None => {
            *slot.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        }
    })
    .await
}

fn mismatch<T>() -> io::Result<T> {
    Err(io::Error::other("the memory disk mixed up its answers"))
}

impl MemoryDisk {
    async fn act(self, path: String, op: Op) -> io::Result<Reply> {
        let slot = self.submit(self.generation(), &path, op);
        outcome(slot).await
    }

    async fn done(self, path: String, op: Op) -> io::Result<()> {
        self.act(path, op).await.map(|_| ())
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn open(
        &self,
        path: &str,
        mode: OpenMode,
    ) -> impl Future<Output = io::Result<MemoryFile>> + use<> {
        let (disk, path) = (self.clone(), path.to_owned());
        async move {
            let reply = disk.clone().act(path.clone(), Op::Open(mode)).await?;
            let Reply::File(content) = reply else {
                return mismatch();
            };
            let generation = disk.generation();
            Ok(MemoryFile(Rc::new(Open {
                disk,
                path,
                mode,
                generation,
                content,
            })))
        }
    }

    fn list(&self, dir: &str) -> impl Future<Output = io::Result<Vec<String>>> + use<> {
        let reply = self.clone().act(dir.to_owned(), Op::List);
        async move {
            match reply.await? {
                Reply::Names(names) => Ok(names),
                _ => mismatch(),
            }
        }
    }

    fn remove(&self, path: &str) -> impl Future<Output = io::Result<()>> + use<> {
        self.clone().done(path.to_owned(), Op::Remove)
    }

    fn rename(&self, from: &str, to: &str) -> impl Future<Output = io::Result<()>> + use<> {
        self.clone()
            .done(from.to_owned(), Op::Rename(to.to_owned()))
    }

    fn make_dir(&self, dir: &str) -> impl Future<Output = io::Result<()>> + use<> {
        self.clone().done(dir.to_owned(), Op::MakeDir)
    }

    fn sync_dir(&self, dir: &str) -> impl Future<Output = io::Result<()>> + use<> {
        self.clone().done(dir.to_owned(), Op::SyncDir)
    }

    fn free_bytes(&self) -> impl Future<Output = io::Result<u64>> + use<> {
        let reply = self.clone().act(String::new(), Op::Free);
        async move {
            match reply.await? {
                Reply::Size(size) => Ok(size),
                _ => mismatch(),
            }
        }
    }
}

struct Open {
    disk: MemoryDisk,
    path: String,
    mode: OpenMode,
    generation: u64,
    content: FileRef,
}

/// A file of a [`MemoryDisk`]. Dead after a crash.
#[derive(Clone)]
pub struct MemoryFile(Rc<Open>);

impl MemoryFile {
    async fn act(self, op: Op) -> io::Result<Reply> {
        let slot = self.0.disk.submit(self.0.generation, &self.0.path, op);
        outcome(slot).await
    }
}

/// A buffer for a [`MemoryFile`].
pub struct MemoryBuf(Vec<u8>);

impl AsRef<[u8]> for MemoryBuf {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for MemoryBuf {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl DiskFile for MemoryFile {
    type Buf = MemoryBuf;

    fn alloc(&self, len: usize) -> MemoryBuf {
        MemoryBuf(vec![0; len])
    }

    fn trim(&self, mut buf: MemoryBuf, len: usize) -> MemoryBuf {
        buf.0.truncate(len);
        buf
    }

    fn write(&self, offset: u64, buf: MemoryBuf) -> impl Future<Output = io::Result<()>> + use<> {
        let file = self.clone();
        async move {
            let open = &file.0;
            if !open.mode.write {
                let text = format!("{}: opened for reading", open.path);
                return Err(io::Error::new(ErrorKind::PermissionDenied, text));
            }
            let block = BLOCK_BYTES as u64;
            if !offset.is_multiple_of(block) || !buf.0.len().is_multiple_of(BLOCK_BYTES) {
                let text = format!(
                    "{}: {} bytes at {offset}: unaligned",
                    open.path,
                    buf.0.len()
                );
                return Err(io::Error::new(ErrorKind::InvalidInput, text));
            }
            let (content, durable) = (open.content.clone(), open.mode.durable_writes);
            let op = Op::Write {
                file: content,
                offset,
                data: buf.0.into(),
                durable,
            };
            file.act(op).await.map(|_| ())
        }
    }

    fn read(&self, offset: u64, len: usize) -> impl Future<Output = io::Result<Bytes>> + use<> {
        let op = Op::Read {
            file: self.0.content.clone(),
            offset,
            len,
        };
        let reply = self.clone().act(op);
        async move {
            match reply.await? {
                Reply::Data(data) => Ok(data),
                _ => mismatch(),
            }
        }
    }

    fn sync(&self) -> impl Future<Output = io::Result<()>> + use<> {
        let op = Op::Sync(self.0.content.clone());
        let reply = self.clone().act(op);
        async move { reply.await.map(|_| ()) }
    }

    fn len(&self) -> impl Future<Output = io::Result<u64>> + use<> {
        let op = Op::Len(self.0.content.clone());
        let reply = self.clone().act(op);
        async move {
            match reply.await? {
                Reply::Size(size) => Ok(size),
                _ => mismatch(),
            }
        }
    }
}
