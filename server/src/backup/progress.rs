//! Shows on a terminal how far a snapshot is; says nothing where standard error is none.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the bar may be drawn, in a second.
const DRAWS_PER_S: u8 = 10;

/// A bar over some bytes.
pub struct Progress(ProgressBar);

impl Progress {
    /// Over `bytes`, called `what`.
    pub fn new(what: &'static str, bytes: u64) -> Self {
        let bar = ProgressBar::with_draw_target(
            Some(bytes),
            ProgressDrawTarget::stderr_with_hz(DRAWS_PER_S),
        );
        let form = "{msg:9} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what);
        Self(bar)
    }

    /// So many more bytes are done.
    pub fn add(&self, bytes: usize) {
        self.0.inc(bytes as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
