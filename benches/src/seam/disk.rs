//! Direct synchronous writes on blocks that were written before, through the runtime and by plain
//! `pwrite` on a thread, which is what the runtime's price is measured against.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use engine::env::{Disk, DiskFile, OpenMode};
use futures::stream::{FuturesUnordered, StreamExt};
use server::runtime::disk::DirectDisk;
use server::runtime::executor::{ExecutorConfig, start};

use super::{Row, cpu, histogram};

const BLOCK: usize = 4096;
const BLOCKS: u64 = 2048;

/// Writes single blocks in turn for `length`, `depth` at a time, below `root`.
///
/// # Panics
/// When the disk fails.
pub fn sync_writes(name: &str, root: PathBuf, depth: usize, length: Duration) -> Row {
    let (result, results) = channel();
    let executors = start(&ExecutorConfig::new(1), vec![root], move |_, root| {
        let result = result.clone();
        async move {
            let disk = DirectDisk::open(&root).await.expect("a directory");
            let mode = OpenMode {
                durable_writes: true,
                ..OpenMode::CREATE
            };
            let file = disk.open("seam.wal", mode).await.expect("a file");
            let all = file.alloc(BLOCK * BLOCKS as usize);
            file.write(0, all).await.expect("space for it");
            file.sync().await.expect("a sync");
            let mut latency = histogram();
            let write = |block: u64| {
                let begin = Instant::now();
                let mut buf = file.alloc(BLOCK);
                buf.fill(block as u8);
                let written = file.write(block % BLOCKS * BLOCK as u64, buf);
                async move {
                    written.await.expect("a write");
                    begin.elapsed()
                }
            };
            let (begin, cpu_before) = (Instant::now(), cpu::threads_ns(&["stoa-core"]));
            let mut running: FuturesUnordered<_> = (0..depth as u64).map(write).collect();
            let mut next = depth as u64;
            while let Some(took) = running.next().await {
                latency.saturating_record(took.as_nanos() as u64);
                if begin.elapsed() < length {
                    running.push(write(next));
                    next += 1;
                }
            }
            let cpu_ns = cpu::threads_ns(&["stoa-core"]) - cpu_before;
            disk.remove("seam.wal").await.expect("the file is there");
            result
                .send((begin.elapsed(), latency, cpu_ns))
                .expect("the bench waits");
        }
    })
    .expect("an executor");
    executors.join();
    let (elapsed, latency, cpu_ns) = results.recv().expect("the core measured");
    Row::new(name, elapsed, &latency, cpu_ns)
}

/// The same writes by `pwrite` on a plain thread, one at a time.
///
/// # Panics
/// When the disk fails.
pub fn plain_sync_writes(name: &str, root: PathBuf, length: Duration) -> Row {
    let thread = thread::Builder::new().name("plain-writer".to_string());
    let measured = thread.spawn(move || {
        let path = root.join("seam.plain");
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .custom_flags(libc::O_DIRECT | libc::O_DSYNC);
        let file = options.open(&path).expect("a file");
        let mut memory = vec![0u8; 3 * BLOCK];
        let start = memory.as_ptr().align_offset(BLOCK);
        for block in 0..BLOCKS {
            let at = block * BLOCK as u64;
            file.write_all_at(&memory[start..start + BLOCK], at)
                .expect("space for it");
        }
        let mut latency = histogram();
        let (begin, cpu_before) = (Instant::now(), cpu::threads_ns(&["plain-writer"]));
        for block in 0u64.. {
            memory[start..start + BLOCK].fill(block as u8);
            let written = Instant::now();
            let at = block % BLOCKS * BLOCK as u64;
            file.write_all_at(&memory[start..start + BLOCK], at)
                .expect("a write");
            latency.saturating_record(written.elapsed().as_nanos() as u64);
            if begin.elapsed() > length {
                break;
            }
        }
        let cpu_ns = cpu::threads_ns(&["plain-writer"]) - cpu_before;
        std::fs::remove_file(&path).expect("the file is there");
        (begin.elapsed(), latency, cpu_ns)
    });
    let measured = measured.expect("a thread").join();
    let (elapsed, latency, cpu_ns) = measured.expect("the writer measured");
    Row::new(name, elapsed, &latency, cpu_ns)
}
