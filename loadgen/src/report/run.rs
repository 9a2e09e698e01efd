//! The run that a report tells of: when it began, how long it took, how it was called, and on what
//! machine.

use std::ffi::OsString;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use crate::machine::Machine;

/// When the program began; set once by [`begin`].
static BEGAN: OnceLock<(SystemTime, Instant)> = OnceLock::new();

/// Options whose values are secrets, in whole or from the first colon on.
const SECRETS: [&str; 3] = ["--user", "--password", "--token"];

/// Starts the clock of the run. Called first in `main`; later calls change nothing.
pub fn begin() {
    BEGAN.get_or_init(|| (SystemTime::now(), Instant::now()));
}

/// What every report says about its run.
#[derive(Clone, Debug)]
pub struct Run {
    /// When it began, by the machine's clock.
    pub began: SystemTime,
    /// How long it took until now.
    pub seconds: f64,
    /// The command line without the program's name and without passwords.
    pub arguments: Vec<String>,
    /// What it ran on.
    pub machine: Machine,
}

impl Run {
    /// This process's run until now. The host's name is part of it only if asked for.
    #[must_use]
    pub fn now(with_hostname: bool) -> Run {
        let now = (SystemTime::now(), Instant::now());
        let (began, start) = *BEGAN.get_or_init(|| now);
        let machine = Machine::read();
        Run {
            began,
            seconds: (start.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            arguments: without_secrets(std::env::args_os().skip(1)),
            machine: if with_hostname {
                machine.with_host()
            } else {
                machine
            },
        }
    }

    /// The beginning as RFC 3339 in UTC, to the second: `2026-11-25T17:16:58Z`.
    #[must_use]
    pub fn began_text(&self) -> String {
        humantime::format_rfc3339_seconds(self.began).to_string()
    }
}

/// A report is passed around, so passwords on the command line stay out of it: those of `--user
/// name:password` and the like, and those in a URL.
pub(super) fn without_secrets(arguments: impl Iterator<Item = OsString>) -> Vec<String> {
    let mut next_is_secret = false;
    let mut shown = Vec::new();
    for argument in arguments {
        let text = argument.to_string_lossy().into_owned();
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text.as_str(), None),
        };
        let is_secret = SECRETS.contains(&name);
        shown.push(match value {
            _ if next_is_secret => hidden(&text),
            Some(value) if is_secret => format!("{name}={}", hidden(value)),
            _ => without_userinfo(&text),
        });
        next_is_secret = is_secret && value.is_none();
    }
    shown
}

/// The name before a colon stays.
fn hidden(value: &str) -> String {
    match value.split_once(':') {
        Some((name, _)) => format!("{name}:***"),
        None => "***".to_owned(),
    }
}

/// `http://name:password@host` without the name and the password, wherever in the text.
fn without_userinfo(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = tail.find(['/', ',', '?', '#']).unwrap_or(tail.len());
        let host = tail[..end].rfind('@').map_or(0, |at| at + 1);
        if host > 0 {
            out.push_str("***@");
        }
        out.push_str(&tail[host..end]);
        rest = &tail[end..];
    }
    out + rest
}
