//! The process as its service manager sees it: signals that ask it to stop, and the word that it
//! is ready or stopping. Called by `main.rs` and the boot.

use std::io;
use std::mem::MaybeUninit;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::fatal::{self, Exit};

/// A signal that asks the process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// From a service manager.
    Terminate,
    /// From a terminal.
    Interrupt,
}

impl StopSignal {
    /// etcd's word for it in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Terminate => "terminated",
            Self::Interrupt => "interrupt",
        }
    }
}

/// SIGTERM and SIGINT, kept from ending the process by themselves.
#[derive(Debug)]
pub struct Signals {
    _blocked: (),
}

impl Signals {
    /// Blocks both signals for this thread and all it starts later: call it first in `main`.
    ///
    /// # Errors
    /// The system's, which has none for valid arguments.
    pub fn block() -> io::Result<Self> {
        let set = stop_set();
        // SAFETY: `set` is an initialised signal set that outlives the call, and a null pointer
        // for the old mask is allowed.
        let status =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        match status {
            0 => Ok(Self { _blocked: () }),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Starts a thread that calls `stop` on the first signal. A second signal, or more than
    /// `grace` without the process having ended, ends it at once
    /// ([`Exit::StopForced`], [`Exit::StopTimedOut`]).
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn listen(
        self,
        grace: Duration,
        stop: impl FnOnce(StopSignal) + Send + 'static,
    ) -> io::Result<()> {
        let watch = move || {
            let first = wait(None).expect("without a deadline a wait ends with a signal");
            tracing::info!(signal = first.name(), "received signal; shutting down");
            stop(first);
            fatal::exit(&match wait(Some(grace)) {
                Some(_) => Exit::StopForced,
                None => Exit::StopTimedOut(grace),
            })
        };
        std::thread::Builder::new()
            .name("stoa-signals".to_owned())
            .spawn(watch)
            .map(drop)
    }
}

/// Waits for a signal; none when `most` passed first.
fn wait(most: Option<Duration>) -> Option<StopSignal> {
    let set = stop_set();
    let deadline = most.map(|most| std::time::Instant::now() + most);
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(std::time::Instant::now()));
        let spec = left.map(|left| libc::timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let timeout = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: `set` and, if there is one, `spec` are initialised and outlive the call; a null
        // pointer for the signal's details is allowed.
        let signal = unsafe { libc::sigtimedwait(&raw const set, std::ptr::null_mut(), timeout) };
        match signal {
            libc::SIGTERM => return Some(StopSignal::Terminate),
            libc::SIGINT => return Some(StopSignal::Interrupt),
            _ if left == Some(Duration::ZERO) => return None,
            // Another signal's handler ran, or the time is up: look at the clock again.
            _ => {}
        }
    }
}

fn stop_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set it is given; `sigaddset` gets an initialised set
    // and signal numbers that exist.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
        set.assume_init()
    }
}

/// What a service manager is told (`sd_notify`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Clients are served.
    Ready,
    /// The process is closing down.
    Stopping,
}

/// Tells the service manager, if `NOTIFY_SOCKET` names one. Units of `Type=notify` wait for it.
///
/// # Errors
/// The socket is there and cannot be written to.
pub fn notify(notice: Notice) -> io::Result<()> {
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(path) if !path.is_empty() => send(path.as_bytes(), notice),
        _ => Ok(()),
    }
}

/// Sends to a socket in the file system or, if it begins with `@`, to an abstract one.
fn send(path: &[u8], notice: Notice) -> io::Result<()> {
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let text: &[u8] = match notice {
        Notice::Ready => b"READY=1",
        Notice::Stopping => b"STOPPING=1",
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold up the start.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(text, &address).map(drop)
}

#[cfg(test)]
mod tests;
