//! How writer, observer and verifier talk: lines of text over TCP. The writer says `run ID`, then
//! `promised N` after each sync and waits for `ok`, so that a promise counts only when it was
//! heard. The verifier asks `last ID` or `last`, and is answered `promised ID N`.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::record::RunId;
use super::writer::Promise;

/// Longest line.
pub(super) const LINE_BYTES: u64 = 128;
/// How long the other side may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that speaks in lines.
pub(super) struct Lines {
    reader: BufReader<TcpStream>,
}

impl Lines {
    pub(super) fn new(stream: TcpStream) -> io::Result<Lines> {
        stream.set_nodelay(true)?;
        Ok(Lines {
            reader: BufReader::new(stream),
        })
    }

    pub(super) fn say(&mut self, line: &str) -> io::Result<()> {
        self.reader
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
    }

    /// The next line; `None` when the other side has left. A line cut off by a time-out is kept
    /// in `line` and goes on with the next call.
    pub(super) fn hear(&mut self, line: &mut String) -> io::Result<Option<()>> {
        let room = LINE_BYTES.saturating_sub(line.len() as u64);
        let mut limited = io::Read::take(&mut self.reader, room);
        match limited.read_line(line)? {
            _ if line.ends_with('\n') => {
                line.truncate(line.trim_end().len());
                Ok(Some(()))
            }
            0 if room > 0 => Ok(None),
            _ => Err(io::Error::other(
                "the other side sent no line of this protocol",
            )),
        }
    }
}

/// The observer, as the writer sees it.
pub(super) struct Told {
    lines: Lines,
    address: SocketAddr,
}

impl Told {
    /// Begins a run.
    pub(super) fn connect(address: SocketAddr, run: RunId) -> io::Result<Told> {
        let mut told = Told {
            lines: connect(address)?,
            address,
        };
        told.exchange(&format!("run {run}"))?;
        Ok(told)
    }

    fn exchange(&mut self, line: &str) -> io::Result<()> {
        let address = self.address;
        let lost = |e: io::Error| {
            let why = match e.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    format!("no answer within {} s", PATIENCE.as_secs())
                }
                _ => e.to_string(),
            };
            io::Error::new(e.kind(), format!("observer {address}: {why}"))
        };
        self.lines.say(line).map_err(lost)?;
        let mut answer = String::new();
        match self.lines.hear(&mut answer).map_err(lost)? {
            Some(()) if answer == "ok" => Ok(()),
            Some(()) => Err(lost(io::Error::other(format!("said {answer:?} for ok")))),
            None => Err(lost(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

impl Promise for Told {
    fn promise(&mut self, number: u64) -> io::Result<()> {
        self.exchange(&format!("promised {number}"))
    }
}

fn connect(address: SocketAddr) -> io::Result<Lines> {
    let named = |e: io::Error| {
        let text = format!("observer {address}: {e}; is `disk power-cut-observer` running there?");
        io::Error::new(e.kind(), text)
    };
    let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(named)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Lines::new(stream)
}

/// Asks the observer what was promised: for `run`, or for the latest run if the disk kept nothing
/// that names one.
pub(super) fn ask(address: SocketAddr, run: Option<RunId>) -> io::Result<(RunId, u64)> {
    let mut lines = connect(address)?;
    lines.say(&run.map_or("last".to_owned(), |run| format!("last {run}")))?;
    let mut answer = String::new();
    lines.hear(&mut answer)?;
    let mut words = answer.split(' ');
    let parsed = match (words.next(), words.next(), words.next()) {
        (Some("promised"), Some(run), Some(number)) => run.parse().ok().zip(number.parse().ok()),
        _ => None,
    };
    parsed.ok_or_else(|| {
        let run = run.map_or("any run".to_owned(), |run| format!("run {run}"));
        io::Error::other(format!("observer {address} knows of no promise of {run}"))
    })
}

/// Reads `RUN:NUMBER`.
pub(super) fn parse_promised(text: &str) -> io::Result<(RunId, u64)> {
    let parts = text.split_once(':');
    let parsed = parts.and_then(|(run, number)| run.parse().ok().zip(number.parse().ok()));
    let bad = || format!("--promised {text:?}: give RUN:NUMBER as the observer printed it");
    parsed.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, bad()))
}
