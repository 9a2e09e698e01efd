//! How far a run is, on the terminal, and whether it was told to end.

mod stop;

#[cfg(test)]
mod tests;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub use stop::Stop;

/// A bar on standard error with the time that is left; nothing where that is no terminal, as in
/// the log of a CI job.
pub struct Progress {
    bar: ProgressBar,
}

/// How often a bar moves that nobody moves, so that the time it shows goes on.
const TICK: Duration = Duration::from_millis(250);

/// What is done, how far it is, and an estimate of what is left.
const TEMPLATE: &str = "{wide_msg} {bar:24} {percent:>3}% {eta:>4} left";

impl Progress {
    /// A bar of `total` units that says `what` is done.
    #[must_use]
    pub fn new(what: &str, total: u64) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        // A template is checked when it is used first; this one never changes.
        let style = ProgressStyle::with_template(TEMPLATE);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("━╸ "));
        bar.set_message(one_line(what));
        if !bar.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Progress { bar }
    }

    /// Says what is done now.
    pub fn say(&self, what: &str) {
        self.bar.set_message(one_line(what));
    }

    /// So many units are done.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// So many more units are done.
    pub fn add(&self, more: u64) {
        self.bar.inc(more);
    }

    /// Leaves a line above the bar, where there is one.
    pub fn note(&self, what: &str) {
        self.bar.println(one_line(what));
    }
}

/// A name of a file may hold what moves the cursor.
fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), "\u{fffd}")
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
