//! Memory for direct I/O: aligned, and kept by the thread for the next write of the same size,
//! since fresh memory costs a page fault for every 4 KiB. Made and used by `disk`.

use std::alloc::{self, Layout};
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

/// Alignment of address and length: what every disk takes.
pub const ALIGN_BYTES: usize = 4096;

/// The largest buffer that is kept.
const KEPT_MAX_BYTES: usize = 1 << 20;

/// What one thread keeps in all.
const KEPT_SUM_BYTES: usize = 4 << 20;

thread_local! {
    static KEPT: RefCell<Kept> = const { RefCell::new(Kept { bytes: 0, by_size: Vec::new() }) };
}

/// Buffers for reuse, by their number of blocks.
struct Kept {
    bytes: usize,
    by_size: Vec<Vec<NonNull<u8>>>,
}

/// A buffer whose address and capacity are multiples of [`ALIGN_BYTES`].
#[derive(Debug)]
pub struct DirectBuf {
    start: NonNull<u8>,
    capacity: usize,
    len: usize,
}

impl DirectBuf {
    /// A zeroed buffer of `len` bytes.
    pub fn zeroed(len: usize) -> Self {
        let capacity = capacity(len);
        if let Some(start) = take(capacity) {
            // SAFETY: the memory is ours and has `capacity` bytes.
            unsafe { start.write_bytes(0, capacity) };
            return Self {
                start,
                capacity,
                len,
            };
        }
        // SAFETY: the layout has a size above 0.
        let start = unsafe { alloc::alloc_zeroed(layout(capacity)) };
        Self::of(start, capacity, len)
    }

    /// A buffer for `capacity` bytes to read into, empty so far.
    pub(super) fn empty(wanted: usize) -> Self {
        let capacity = capacity(wanted);
        let start = take(capacity).map_or_else(
            // SAFETY: the layout has a size above 0.
            || unsafe { alloc::alloc(layout(capacity)) },
            NonNull::as_ptr,
        );
        Self::of(start, capacity, 0)
    }

    fn of(start: *mut u8, capacity: usize, len: usize) -> Self {
        let Some(start) = NonNull::new(start) else {
            alloc::handle_alloc_error(layout(capacity))
        };
        Self {
            start,
            capacity,
            len,
        }
    }

    /// Where the kernel may write, up to [`DirectBuf::capacity`].
    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Bytes it has room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Says how many bytes are there.
    ///
    /// # Safety
    /// That many must have been written, and the buffer must have room for them.
    pub(super) unsafe fn set_len(&mut self, len: usize) {
        debug_assert!(len <= self.capacity);
        self.len = len;
    }

    /// Keeps the first `len` bytes.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn truncate(&mut self, len: usize) {
        assert!(len <= self.len, "a buffer is cut, not grown");
        self.len = len;
    }
}

impl Drop for DirectBuf {
    fn drop(&mut self) {
        if keep(self.start, self.capacity) {
            return;
        }
        // SAFETY: it was allocated with this layout.
        unsafe { alloc::dealloc(self.start.as_ptr(), layout(self.capacity)) };
    }
}

impl Deref for DirectBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes are initialised and ours.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for DirectBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: `len` bytes are initialised and ours, and we are borrowed for writing.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for DirectBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for DirectBuf {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

// SAFETY: it owns its memory, which no thread is tied to.
unsafe impl Send for DirectBuf {}

// SAFETY: shared references only read.
unsafe impl Sync for DirectBuf {}

fn capacity(len: usize) -> usize {
    len.max(1).next_multiple_of(ALIGN_BYTES)
}

fn layout(capacity: usize) -> Layout {
    Layout::from_size_align(capacity, ALIGN_BYTES).expect("a buffer fits the address space")
}

fn take(capacity: usize) -> Option<NonNull<u8>> {
    let taken = KEPT.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        let start = kept.by_size.get_mut(capacity / ALIGN_BYTES)?.pop()?;
        kept.bytes -= capacity;
        Some(start)
    });
    taken.ok().flatten()
}

fn keep(start: NonNull<u8>, capacity: usize) -> bool {
    let kept = KEPT.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        if capacity > KEPT_MAX_BYTES || kept.bytes + capacity > KEPT_SUM_BYTES {
            return false;
        }
        let size = capacity / ALIGN_BYTES;
        if kept.by_size.len() <= size {
            kept.by_size.resize_with(size + 1, Vec::new);
        }
        kept.by_size[size].push(start);
        kept.bytes += capacity;
        true
    });
    kept.unwrap_or(false)
}

impl Drop for Kept {
    fn drop(&mut self) {
        for (size, starts) in self.by_size.iter_mut().enumerate() {
            for start in starts.drain(..) {
                // SAFETY: it was allocated with this layout, which `by_size` is sorted by.
                unsafe { alloc::dealloc(start.as_ptr(), layout(size * ALIGN_BYTES)) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_used_again_is_zeroed_and_aligned() {
        for _ in 0..3 {
            let mut buf = DirectBuf::zeroed(10_000);
            assert_eq!(buf.len(), 10_000);
            assert_eq!(buf.as_mut_ptr() as usize % ALIGN_BYTES, 0);
            assert!(buf.iter().all(|byte| *byte == 0));
            buf.fill(0xff);
            buf.truncate(5000);
        }
    }

    #[test]
    fn a_thread_keeps_no_more_than_its_share() {
        let many: Vec<_> = (0..64).map(|_| DirectBuf::zeroed(1 << 17)).collect();
        drop(many);
        drop(DirectBuf::zeroed(KEPT_MAX_BYTES + 1));
        KEPT.with_borrow(|kept| assert_eq!(kept.bytes, KEPT_SUM_BYTES));
    }
}
