//! Waits for points in time exactly: tokio's own timers are a millisecond coarse, which would be
//! seen in every latency that counts from when an operation was due.

use std::io;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// A timer of the kernel's.
pub(super) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// A timer on the current runtime.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn new() -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: an `OwnedFd` always gives the same descriptor, and only closes it when it is
        // dropped, which the `AsyncFd` that owns it does after it was deregistered.
        Ok(Timer(unsafe { AsyncFd::register(fd) }?))
    }

    /// Returns at `at`, or at once if that is over.
    ///
    /// # Errors
    /// What the kernel reports.
    pub async fn until(&self, at: Instant) -> io::Result<()> {
        let left = at.saturating_duration_since(Instant::now());
        if left < Duration::from_micros(1) {
            return Ok(());
        }
        let spec = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            },
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &spec)?;
        loop {
            let mut ready = self.0.readable().await?;
            let mut expired = [0_u8; 8];
            let read = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut expired)?));
            // Else it was not ready after all.
            if let Ok(result) = read {
                return result.map(drop);
            }
        }
    }
}
