//! Golden scripts: steps with the answers that they must get, so that what was once found needs no
//! etcd to be found again.
//!
//! A line that begins in its first column is a step, in the form of `step`; the lines below it,
//! indented by two blanks, are what must be said to it. `#` begins a comment.

use std::io;
use std::path::{Path, PathBuf};

use super::contest::Contest;
use super::peers::Entrant;
use super::step::Step;

/// Where the golden scripts are.
#[must_use]
pub fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

/// A step and what must be said to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The comments before it.
    pub comments: Vec<String>,
    /// The step.
    pub step: Step,
    /// The lines that must be said.
    pub said: Vec<String>,
}

/// Reads a script, golden or without answers.
///
/// # Errors
/// The line that cannot be read, and why.
pub fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut comments = Vec::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        if line.starts_with('#') {
            comments.push(line.to_owned());
        } else if let Some(said) = line.strip_prefix("  ") {
            let last = entries.last_mut().ok_or("an answer before any step")?;
            last.said.push(said.to_owned());
        } else {
            entries.push(Entry {
                comments: std::mem::take(&mut comments),
                step: line.parse()?,
                said: Vec::new(),
            });
        }
    }
    Ok(entries)
}

/// The text of a script.
#[must_use]
pub fn text(entries: &[Entry]) -> String {
    let mut out = String::new();
    for entry in entries {
        for comment in &entry.comments {
            out.push_str(&format!("{comment}\n"));
        }
        out.push_str(&format!("{}\n", entry.step));
        for said in &entry.said {
            out.push_str(&format!("  {said}\n"));
        }
    }
    out
}

/// Plays a script to servers. Gives it back with what the first one said, and the differences
/// between them.
///
/// # Errors
/// When a server does not start. `Ok(None)` when one is not on this machine.
pub async fn play(
    entrants: &[Entrant],
    entries: &[Entry],
) -> io::Result<Option<(Vec<Entry>, Vec<String>)>> {
    let Some(mut contest) = Contest::start(entrants).await? else {
        return Ok(None);
    };
    let mut played = Vec::new();
    for entry in entries {
        contest.step(&entry.step).await;
        played.push(Entry {
            said: contest.said.clone(),
            ..entry.clone()
        });
        if contest.is_over() {
            break;
        }
    }
    Ok(Some((played, contest.differences)))
}
