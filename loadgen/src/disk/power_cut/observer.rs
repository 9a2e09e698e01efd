//! Takes note of promises on a host whose power stays.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::record::RunId;
use super::wire::Lines;

/// How often it looks whether it should end.
const LOOK: Duration = Duration::from_millis(100);
/// Most connections at once.
const CONNECTIONS_MAX: usize = 64;

/// Listens, and knows the last promise of each run.
pub(super) struct Observer {
    listener: TcpListener,
    promises: Mutex<BTreeMap<RunId, u64>>,
    keep: Option<PathBuf>,
}

impl Observer {
    /// Listens on `address`.
    pub(super) fn bind(address: SocketAddr, keep: Option<PathBuf>) -> io::Result<Observer> {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{address}: {e}"));
        let listener = TcpListener::bind(address).map_err(named)?;
        listener.set_nonblocking(true)?;
        Ok(Observer {
            listener,
            promises: Mutex::default(),
            keep,
        })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The last promise of each run.
    pub(super) fn promises(&self) -> BTreeMap<RunId, u64> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, u64>> {
        // A map of numbers is whole at any time.
        self.promises.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves until `is_over`; every connection has ended then.
    pub(super) fn serve(&self, is_over: impl Fn() -> bool + Sync) -> io::Result<()> {
        thread::scope(|scope| {
            let mut running = Vec::new();
            while !is_over() {
                match self.listener.accept() {
                    Ok((stream, _)) => {
                        running.retain(|one: &thread::ScopedJoinHandle<'_, _>| !one.is_finished());
                        if running.len() < CONNECTIONS_MAX {
                            // Who breaks off or talks nonsense only ends its own connection.
                            let is_over = &is_over;
                            running.push(scope.spawn(move || self.converse(stream, is_over)));
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(LOOK),
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })?;
        self.write_kept()
    }

    fn converse(&self, stream: TcpStream, is_over: impl Fn() -> bool) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(LOOK))?;
        let mut lines = Lines::new(stream)?;
        let (mut line, mut run) = (String::new(), None);
        let mut is_new = false;
        while !is_over() {
            match lines.hear(&mut line) {
                Ok(Some(())) => {
                    let answer = self.answer(&line, &mut run);
                    lines.say(&answer)?;
                    line.clear();
                    is_new = true;
                }
                Ok(None) => break,
                Err(error) if is_time_out(&error) => {
                    // A writer that falls silent may be the cut.
                    if std::mem::take(&mut is_new) {
                        self.write_kept()?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.write_kept()
    }

    fn answer(&self, line: &str, run: &mut Option<RunId>) -> String {
        let mut words = line.split(' ');
        let (command, argument) = (words.next().unwrap_or_default(), words.next());
        let id = argument.and_then(|text| text.parse::<RunId>().ok());
        let number = argument.and_then(|text| text.parse::<u64>().ok());
        match (command, *run) {
            ("run", _) if id.is_some() => {
                *run = id;
                self.lock().extend(id.map(|id| (id, 0)));
                "ok".to_owned()
            }
            ("promised", Some(run)) if number.is_some() => {
                let number = number.unwrap_or_default();
                let mut promises = self.lock();
                let last = promises.entry(run).or_default();
                *last = number.max(*last);
                "ok".to_owned()
            }
            ("last", _) => {
                let promises = self.lock();
                let found = match argument {
                    Some(_) => id.and_then(|id| Some((id, *promises.get(&id)?))),
                    None => promises
                        .last_key_value()
                        .map(|(run, number)| (*run, *number)),
                };
                found.map_or("none".to_owned(), |(run, number)| {
                    format!("promised {run} {number}")
                })
            }
            _ => "what".to_owned(),
        }
    }

    fn write_kept(&self) -> io::Result<()> {
        let Some(path) = &self.keep else {
            return Ok(());
        };
        let mut text = Vec::new();
        for (run, number) in self.promises() {
            writeln!(text, "{run}:{number}")?;
        }
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        std::fs::write(path, text).map_err(named)
    }
}

fn is_time_out(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
