//! ctrl-C and SIGTERM: the first asks for an end with what was measured so far, the second ends the
//! process.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::iterator::Signals;
use tokio::sync::watch;

/// What the shell makes of a process that ctrl-C ended.
const ENDED_BY_SIGNAL: i32 = 130;

/// The one that hears the signals; a process has them once.
static HEARS: Mutex<Option<Stop>> = Mutex::new(None);

/// Whether the run was told to end (ctrl-C or SIGTERM). The first such signal asks for an end with
/// what was measured so far, the second ends the process at once with exit code 130.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    told: &'static Told,
}

/// The same twice: read at no cost by those who ask, and sent to those who wait.
#[derive(Debug)]
struct Told {
    flag: AtomicBool,
    sender: watch::Sender<bool>,
}

impl Stop {
    /// Hears the signals from now on. All that hear them in this process are told alike.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn listen() -> io::Result<Stop> {
        let mut hears = HEARS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stop) = *hears {
            return Ok(stop);
        }
        let stop = Stop::deaf();
        let heard = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Order matters: the second signal finds the flag that the first has set. The end
            // happens in the handler, so that no thread that hangs can hold it up.
            register_conditional_shutdown(signal, ENDED_BY_SIGNAL, heard.clone())?;
            signal_hook::flag::register(signal, heard.clone())?;
        }
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let hear = move || {
            for _ in signals.forever() {
                stop.set();
            }
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(hear)?;
        *hears = Some(stop);
        Ok(stop)
    }

    /// One that hears no signal and is only told by [`Stop::set`]. Each leaks a few bytes.
    #[must_use]
    pub fn deaf() -> Stop {
        let told = Told {
            flag: AtomicBool::new(false),
            sender: watch::Sender::new(false),
        };
        Stop {
            told: Box::leak(Box::new(told)),
        }
    }

    /// Whether the run should end. A plain load: it may be asked before each operation.
    #[must_use]
    pub fn is_set(self) -> bool {
        // Nothing else is read on the strength of it.
        self.told.flag.load(Ordering::Relaxed)
    }

    /// Tells the run to end, as a signal does.
    pub fn set(self) {
        self.told.flag.store(true, Ordering::Relaxed);
        self.told.sender.send_replace(true);
    }

    /// Waits until the run should end; at once if it should already.
    pub async fn wait(self) {
        let mut receiver = self.told.sender.subscribe();
        // The sender is never dropped, so there is no other end to this.
        let _ = receiver.wait_for(|told| *told).await;
    }
}
