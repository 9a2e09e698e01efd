//! Where a report goes: the terminal and the files that were asked for.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use console::Term;

use super::{Outputs, Report, Run, envelope, html, terminal};

/// The name of a file that means standard output.
const STANDARD: &str = "-";

impl Outputs {
    /// Makes sure that the files can be written, before a long run measures for nothing. What is
    /// in them stays for now.
    ///
    /// # Errors
    /// When one cannot be written; it is named.
    pub fn check(&self) -> io::Result<()> {
        if self.html.as_deref() == Some(Path::new(STANDARD)) {
            let what = "--html takes a file; only --json can be - (standard output)";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        [&self.json, &self.html]
            .into_iter()
            .flatten()
            .try_for_each(|path| check_file(path))
    }

    fn json_is_standard(&self) -> bool {
        self.json.as_deref() == Some(Path::new(STANDARD))
    }
}

/// Makes sure that a file can be written, without changing what is in it; `-` is standard output
/// and always can.
///
/// # Errors
/// When it cannot; it is named.
pub fn check_file(path: &Path) -> io::Result<()> {
    if path == Path::new(STANDARD) {
        return Ok(());
    }
    let is_new = !path.exists();
    let opened = File::options().append(true).create(true).open(path);
    opened.map_err(|error| named(path, &error))?;
    if is_new {
        fs::remove_file(path).map_err(|error| named(path, &error))?;
    }
    Ok(())
}

impl Report {
    /// Prints the summary and writes what else is wanted. Each is tried, whatever became of the
    /// others: a full disk must not cost the only copy of an hour's results.
    ///
    /// # Errors
    /// When a file cannot be written; the first such is named.
    pub fn publish(&self, outputs: &Outputs) -> io::Result<()> {
        let run = Run::now(outputs.with_hostname);
        let mut first = Ok(());
        let mut keep = |result: io::Result<()>| {
            if first.is_ok() {
                first = result;
            }
        };
        if let Some(path) = outputs
            .json
            .as_deref()
            .filter(|_| !outputs.json_is_standard())
        {
            keep(write(path, self.json(&run)));
        }
        if let Some(path) = &outputs.html {
            keep(write(path, self.html(&run)));
        }
        let screen = if outputs.json_is_standard() {
            keep(
                self.json(&run)
                    .and_then(|text| show(&mut io::stdout().lock(), &text)),
            );
            Term::stderr()
        } else {
            Term::stdout()
        };
        let coloured = screen.features().colors_supported();
        keep(show(&mut &screen, &self.text(&run, coloured)));
        first
    }

    /// The summary as [`Report::publish`] prints it; in colours if `coloured`.
    #[must_use]
    pub fn text(&self, run: &Run, coloured: bool) -> String {
        terminal::text(self, run, coloured)
    }

    /// The JSON as [`Report::publish`] writes it.
    ///
    /// # Errors
    /// When the command's own keys are no JSON.
    pub fn json(&self, run: &Run) -> io::Result<String> {
        envelope::json(self, run).map_err(io::Error::other)
    }

    /// The HTML as [`Report::publish`] writes it.
    ///
    /// # Errors
    /// When the template cannot be written out.
    pub fn html(&self, run: &Run) -> io::Result<String> {
        html::page(self, run).map_err(io::Error::other)
    }
}

fn write(path: &Path, text: io::Result<String>) -> io::Result<()> {
    fs::write(path, text?).map_err(|error| named(path, &error))
}

/// Whoever closed the pipe, as `head` does, has read what they wanted.
fn show(to: &mut impl Write, text: &str) -> io::Result<()> {
    let shown = to.write_all(text.as_bytes()).and_then(|()| to.flush());
    match shown {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    let what = format!("cannot write {}: {error}", path.display());
    io::Error::new(error.kind(), what)
}
