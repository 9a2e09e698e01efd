//! One executor's io_uring: operations go in, their results wake who waits. Used by `local`, which
//! decides when to enter the kernel, and by files and sockets, which start operations.
//!
//! Nothing is submitted when it is queued: what gathers in a turn of the executor enters the kernel
//! with one call. An operation owns what the kernel reads or writes until it is complete, also if
//! nobody waits any more: then it is cancelled, and its memory is let go when the kernel says so.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, opcode};
use slab::Slab;

/// Operations that can be queued before the kernel has to be entered.
const ENTRIES: u32 = 256;

/// Completions that have room before the kernel has to keep some back.
const COMPLETIONS: u32 = 4096;

/// How long the end of a ring waits for operations that cannot be cancelled.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Completions of wake-ups from other executors carry this.
const MESSAGE: u64 = u64::MAX;

/// Completions that nobody waits for carry this.
const IGNORED: u64 = u64::MAX - 1;

/// What became of an operation.
enum Slot {
    Waiting(Option<Waker>),
    Done(i32),
    /// Nobody waits; what the kernel may still use.
    Orphan(#[expect(dead_code, reason = "held until the kernel is done")] Box<dyn Any>),
}

/// The ring of the calling thread, which alone may use it.
pub(super) struct Ring {
    uring: RefCell<IoUring>,
    slots: RefCell<Slab<Slot>>,
    /// Whether other rings can be woken with a message.
    messages: bool,
}

impl Ring {
    /// A ring of this thread.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub(super) fn new() -> io::Result<Self> {
        let uring = build()?;
        if !uring.params().is_feature_ext_arg() {
            // Before 5.11 a wait has no timeout.
            return Err(io::Error::from_raw_os_error(libc::ENOSYS));
        }
        let mut probe = Probe::new();
        let messages = uring.submitter().register_probe(&mut probe).is_ok()
            && probe.is_supported(opcode::MsgRingData::CODE)
            && uring.params().is_feature_skip_cqe_on_success();
        Ok(Self {
            uring: RefCell::new(uring),
            slots: RefCell::default(),
            messages,
        })
    }

    /// The descriptor that other rings send messages to; `None` where the kernel cannot.
    pub(super) fn address(&self) -> Option<RawFd> {
        self.messages.then(|| self.uring.borrow().as_raw_fd())
    }

    /// Starts an operation; `hold` is what the kernel uses meanwhile.
    ///
    /// # Safety
    /// All memory that `entry` points to must be owned by `hold`, at an address that does not
    /// change when `hold` is moved, and descriptors must stay open as long as `hold` lives.
    pub(super) unsafe fn start<T: 'static>(self: &Rc<Self>, entry: Entry, hold: T) -> Op<T> {
        let key = self.slots.borrow_mut().insert(Slot::Waiting(None));
        self.push(entry.user_data(key as u64));
        Op {
            ring: self.clone(),
            key,
            hold: Some(hold),
        }
    }

    /// Waits until `fd` is ready for one of `events` (of poll(2)).
    pub(super) fn ready(self: &Rc<Self>, fd: RawFd, events: i16) -> Op<()> {
        let entry = opcode::PollAdd::new(Fd(fd), events as u16 as u32).build();
        // SAFETY: the entry points to no memory. A descriptor that is closed and used again for
        // something else can only make this complete too early, which its users expect.
        unsafe { self.start(entry, ()) }
    }

    /// Wakes the executor behind `address`, with the next submission.
    pub(super) fn message(&self, address: RawFd) {
        let entry = opcode::MsgRingData::new(Fd(address), 0, MESSAGE, None).build();
        self.push(entry.flags(Flags::SKIP_SUCCESS).user_data(IGNORED));
    }

    fn push(&self, entry: Entry) {
        loop {
            // SAFETY: by the contract of `start`; what `message` and `cancel` push points nowhere.
            if unsafe { self.uring.borrow_mut().submission().push(&entry) }.is_ok() {
                return;
            }
            self.enter(0, None);
        }
    }

    /// Whether an entry to the kernel would find something to do.
    pub(super) fn has_work(&self) -> bool {
        let mut uring = self.uring.borrow_mut();
        let submission = uring.submission();
        !submission.is_empty() || submission.taskrun() || submission.cq_overflow()
    }

    /// Whether there are results to hand out.
    pub(super) fn has_results(&self) -> bool {
        !self.uring.borrow_mut().completion().is_empty()
    }

    /// Submits what is queued, and waits for a completion, at most for `timeout`.
    pub(super) fn wait(&self, timeout: Option<Duration>) {
        self.enter(1, timeout);
    }

    /// Submits what is queued and lets the kernel deliver, without waiting.
    pub(super) fn submit(&self) {
        self.enter(0, None);
    }

    fn enter(&self, want: usize, timeout: Option<Duration>) {
        let uring = self.uring.borrow();
        let submitter = uring.submitter();
        let result = match timeout {
            None if want == 0 => submitter.submit(),
            None => submitter.submit_and_wait(want),
            Some(timeout) => {
                let timespec = Timespec::from(timeout);
                submitter.submit_with_args(want, &SubmitArgs::new().timespec(&timespec))
            }
        };
        let Err(error) = result else { return };
        match error.raw_os_error() {
            // The time is over; a signal came; completions wait for room, which reaping makes.
            Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => {}
            _ => panic!("io_uring_enter of a ring that was set up here: {error}"),
        }
    }

    /// Hands results to those who wait; whether there were any.
    pub(super) fn reap(&self) -> bool {
        let mut any = false;
        loop {
            let completion = self.uring.borrow_mut().completion().next();
            let Some(completion) = completion else {
                return any;
            };
            any = true;
            let data = completion.user_data();
            if data != MESSAGE && data != IGNORED {
                self.complete(data as usize, completion.result());
            }
        }
    }

    fn complete(&self, key: usize, result: i32) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else {
            return;
        };
        match mem::replace(slot, Slot::Done(result)) {
            Slot::Waiting(waker) => {
                drop(slots);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            orphan => {
                slots.remove(key);
                // What it held may be a file, whose end comes back here.
                drop(slots);
                drop(orphan);
            }
        }
    }

    fn poll(&self, key: usize, cx: &mut Context<'_>) -> Poll<i32> {
        let mut slots = self.slots.borrow_mut();
        match &mut slots[key] {
            Slot::Waiting(Some(waker)) if waker.will_wake(cx.waker()) => Poll::Pending,
            Slot::Waiting(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Slot::Done(result) => {
                let result = *result;
                slots.remove(key);
                Poll::Ready(result)
            }
            Slot::Orphan(_) => unreachable!("an operation is polled by its owner"),
        }
    }

    fn abandon(&self, key: usize, hold: Box<dyn Any>) {
        let mut slots = self.slots.borrow_mut();
        if matches!(slots[key], Slot::Done(_)) {
            slots.remove(key);
            drop(slots);
            drop(hold);
            return;
        }
        let before = mem::replace(&mut slots[key], Slot::Orphan(hold));
        drop(slots);
        drop(before);
        let entry = opcode::AsyncCancel::new(key as u64).build();
        self.push(entry.user_data(IGNORED));
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let begin = std::time::Instant::now();
        if self.has_work() {
            self.submit();
        }
        while !self.slots.borrow().is_empty() && begin.elapsed() < LAST_WAIT {
            self.enter(1, Some(Duration::from_millis(10)));
            self.reap();
        }
        // The kernel may still write there.
        for slot in self.slots.borrow_mut().drain() {
            mem::forget(slot);
        }
    }
}

/// An operation under way. Dropping it cancels it.
pub(super) struct Op<T: 'static> {
    ring: Rc<Ring>,
    key: usize,
    hold: Option<T>,
}

impl<T: Unpin + 'static> Future for Op<T> {
    /// The kernel's result, and what the operation held.
    type Output = (io::Result<u32>, T);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = std::task::ready!(self.ring.poll(self.key, cx));
        let hold = self
            .hold
            .take()
            .expect("a complete operation is not polled");
        let result = u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
        Poll::Ready((result, hold))
    }
}

impl<T: 'static> Drop for Op<T> {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            self.ring.abandon(self.key, Box::new(hold));
        }
    }
}

impl<T> std::fmt::Debug for Op<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Op")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// The best ring that this kernel has: completions that wait until the executor asks for them
/// (6.1), that interrupt nobody (5.19), or any.
fn build() -> io::Result<IoUring> {
    let builder = || {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(COMPLETIONS).setup_clamp();
        builder
    };
    let mut best = builder();
    best.setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all();
    let mut good = builder();
    good.setup_coop_taskrun().setup_taskrun_flag();
    best.build(ENTRIES)
        .or_else(|_| good.build(ENTRIES))
        .or_else(|_| builder().build(ENTRIES))
}
