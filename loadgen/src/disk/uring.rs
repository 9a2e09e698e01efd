//! The driver on io_uring: keeps a fixed number of operations under way on one file. An operation
//! is a read, a write, or a write and its fdatasync, one after the other or linked.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Instant;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, FsyncFlags};
use io_uring::{IoUring, opcode};
use server::runtime::buffer::DirectBuf;

use super::files;
use super::offsets::Offsets;
use super::recorder::Recorder;
use super::stretch::Stretch;

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A read.
    Read,
    /// A write.
    Write,
    /// A write; when it is done, an fdatasync.
    WriteThenSync,
    /// A write and an fdatasync in one submission, the second waiting for the first.
    WriteLinkedSync,
}

/// One operation's place in the ring.
struct Slot {
    began: Instant,
    buf: DirectBuf,
    is_free: bool,
}

struct Driver<'a> {
    ring: IoUring,
    file: &'a File,
    shape: Shape,
    slots: Vec<Slot>,
    under_way: usize,
    failed: Option<io::Error>,
    recorder: Recorder,
}

/// The completion of the write or read of a slot, or of its sync.
const MAIN: u64 = 0;
const SYNC: u64 = 1;

/// Runs operations of `block` bytes, `depth` at a time, on `file`.
///
/// # Errors
/// When an operation fails or there is no ring; everything under way has ended then.
pub fn run(
    file: &File,
    shape: Shape,
    block: usize,
    depth: usize,
    offsets: &mut Offsets,
    stretch: &Stretch,
) -> io::Result<Recorder> {
    let entries = (2 * depth).next_power_of_two() as u32;
    let begin = Instant::now();
    let slot = || Slot {
        began: begin,
        buf: files::random(block),
        is_free: true,
    };
    let mut driver = Driver {
        ring: ring(entries)?,
        file,
        shape,
        slots: (0..depth).map(|_| slot()).collect(),
        under_way: 0,
        failed: None,
        recorder: Recorder::new(stretch.zero),
    };
    loop {
        for index in 0..depth {
            if !driver.slots[index].is_free || driver.failed.is_some() || stretch.is_over(begin) {
                continue;
            }
            let Some(offset) = offsets.next() else { break };
            driver.start(index, offset)?;
            // By itself: neighbours that are handed over together would be merged into one write.
            driver.submit(0)?;
        }
        if driver.under_way == 0 {
            break;
        }
        driver.wait()?;
    }
    match driver.failed.take() {
        Some(error) => Err(error),
        None => Ok(driver.recorder.clone()),
    }
}

/// The best ring that this kernel has, set up as the server's and fio's are: completions that wait
/// until they are asked for (Linux 6.1), that interrupt nobody (5.19), or any.
fn ring(entries: u32) -> io::Result<IoUring> {
    let mut best = IoUring::builder();
    best.setup_single_issuer().setup_defer_taskrun();
    let mut good = IoUring::builder();
    good.setup_coop_taskrun();
    best.build(entries)
        .or_else(|_| good.build(entries))
        .or_else(|_| IoUring::new(entries))
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        if self.under_way > 0 {
            // The kernel may still use the buffers: they are given up.
            std::mem::forget(std::mem::take(&mut self.slots));
        }
    }
}

impl Driver<'_> {
    fn start(&mut self, index: usize, offset: u64) -> io::Result<()> {
        let fd = Fd(self.file.as_raw_fd());
        let slot = &mut self.slots[index];
        let len = slot.buf.len() as u32;
        slot.buf[..8].copy_from_slice(&offset.to_le_bytes());
        let data = (index as u64) << 1;
        let main = match self.shape {
            Shape::Read => opcode::Read::new(fd, slot.buf.as_mut_ptr(), len)
                .offset(offset)
                .build(),
            _ => opcode::Write::new(fd, slot.buf.as_ptr(), len)
                .offset(offset)
                .build(),
        };
        let main = main.user_data(data | MAIN);
        slot.is_free = false;
        slot.began = Instant::now();
        self.under_way += 1;
        if self.shape == Shape::WriteLinkedSync {
            let sync = self.sync_entry(index);
            self.push(&[main.flags(Flags::IO_LINK), sync])
        } else {
            self.push(&[main])
        }
    }

    fn sync_entry(&self, index: usize) -> Entry {
        let sync = opcode::Fsync::new(Fd(self.file.as_raw_fd())).flags(FsyncFlags::DATASYNC);
        sync.build().user_data((index as u64) << 1 | SYNC)
    }

    fn push(&mut self, entries: &[Entry]) -> io::Result<()> {
        // SAFETY: the buffers belong to slots that outlive what is under way, or are leaked with
        // it when the driver is dropped early; the file is borrowed for as long.
        let pushed = unsafe { self.ring.submission().push_multiple(entries) };
        // The ring has room for two entries of every slot.
        pushed.map_err(|_| io::Error::other("the submission queue is full"))
    }

    /// Hands over what is queued and waits for so many completions.
    fn submit(&self, want: usize) -> io::Result<()> {
        loop {
            match self.ring.submit_and_wait(want) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                submitted => return submitted.map(drop),
            }
        }
    }

    /// Waits for one completion or more and takes what is there.
    fn wait(&mut self) -> io::Result<()> {
        self.submit(1)?;
        let ended = Instant::now();
        let done: Vec<(u64, i32)> = self
            .ring
            .completion()
            .map(|entry| (entry.user_data(), entry.result()))
            .collect();
        for (data, result) in done {
            self.completed((data >> 1) as usize, data & 1 == SYNC, result, ended)?;
        }
        Ok(())
    }

    fn completed(
        &mut self,
        index: usize,
        is_sync: bool,
        result: i32,
        ended: Instant,
    ) -> io::Result<()> {
        let whole = if is_sync {
            0
        } else {
            self.slots[index].buf.len() as i32
        };
        if result < 0 {
            let error = io::Error::from_raw_os_error(-result);
            self.failed.get_or_insert(error);
        } else if result != whole {
            let short = format!("only {result} of {whole} bytes were moved");
            let error = io::Error::new(io::ErrorKind::WriteZero, short);
            self.failed.get_or_insert(error);
        }
        match (self.shape, is_sync) {
            // The linked sync comes by itself, cancelled if the write failed.
            (Shape::WriteLinkedSync, false) => return Ok(()),
            (Shape::WriteThenSync, false) if self.failed.is_none() => {
                let sync = self.sync_entry(index);
                return self.push(&[sync]);
            }
            _ => {}
        }
        self.under_way -= 1;
        let slot = &mut self.slots[index];
        slot.is_free = true;
        if self.failed.is_none() {
            self.recorder.record(slot.began, ended);
        }
        Ok(())
    }
}
