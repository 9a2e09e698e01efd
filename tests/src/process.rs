//! One server process: started with its log captured, waited for by its log, ended by its pid.
//! Used by `peer` (etcd) and `node` (Stoa), which only differ in the command line.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The log line by which etcd and Stoa alike say that clients may come.
pub const READY: &str = "ready to serve client requests";

/// How long a server may take from its start to [`READY`].
pub const START_LIMIT: Duration = Duration::from_secs(60);

/// A running (or ended) child process with its captured log. Dropping it kills the process, and
/// prints the end of the log if the test is failing.
pub struct Process {
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

/// Processor time, resident memory and such of a running process, from `/proc`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User plus system time since the start, in nanoseconds (ticks of 10 ms).
    pub cpu_ns: u64,
    /// Resident set, in bytes.
    pub rss_bytes: u64,
}

/// A port on loopback that was free a moment ago. Another process may take it before the server
/// does: the callers retry their start with new ports.
///
/// # Errors
/// When loopback has no free port.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

impl Process {
    /// Starts `command` with standard output and error appended to `log`.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn spawn(command: &mut Command, log: &Path) -> io::Result<Process> {
        let file = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("{:?}: {e}", command.get_program())))?;
        Ok(Process {
            child,
            log: log.to_owned(),
            ended: None,
        })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All the log so far.
    #[must_use]
    pub fn log_text(&self) -> String {
        fs::read(&self.log)
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .unwrap_or_default()
    }

    /// Length of the log now: a mark for [`Process::wait_for_line`].
    #[must_use]
    pub fn log_len(&self) -> u64 {
        fs::metadata(&self.log).map(|m| m.len()).unwrap_or(0)
    }

    /// Waits until the log holds `needle` behind byte `from`.
    ///
    /// # Errors
    /// When the process ends first or `limit` passes; the message carries the log's end.
    pub fn wait_for_line(&mut self, needle: &str, from: u64, limit: Duration) -> io::Result<()> {
        let end = Instant::now() + limit;
        loop {
            // Status first: what the process logged before it ended is then in the log we read.
            let ended = self.try_wait()?;
            let mut text = Vec::new();
            let mut file = File::open(&self.log)?;
            file.seek(SeekFrom::Start(from))?;
            file.read_to_end(&mut text)?;
            let text = String::from_utf8_lossy(&text);
            if text.contains(needle) {
                return Ok(());
            }
            if let Some(status) = ended {
                let why = format!("ended with {status} before {needle:?}:\n{}", tail(&text));
                return Err(io::Error::other(why));
            }
            if Instant::now() > end {
                let why = format!("no {needle:?} after {limit:?}:\n{}", tail(&text));
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The exit status, if the process has ended.
    ///
    /// # Errors
    /// When the system refuses to say.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    /// Waits for the process to end by itself.
    ///
    /// # Errors
    /// `TimedOut` when it still runs after `limit`.
    pub fn wait_exit(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > end {
                let why = format!("still runs after {limit:?}:\n{}", tail(&self.log_text()));
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends `signal` to this process alone.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        if self.ended.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the process has ended",
            ));
        }
        let pid = libc::pid_t::try_from(self.pid()).map_err(io::Error::other)?;
        // SAFETY: kill takes two integers; the pid is our unreaped child, so it is not reused.
        if unsafe { libc::kill(pid, signal) } == 0 {
            return Ok(());
        }
        Err(io::Error::last_os_error())
    }

    /// `kill -9`, then waits for the end, so that ports and locks are free when this returns.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
    }

    /// Asks politely (SIGTERM) and waits; kills when `limit` passes.
    ///
    /// # Errors
    /// `TimedOut` when it had to be killed.
    pub fn stop(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        let _ = self.signal(libc::SIGTERM);
        let result = self.wait_exit(limit);
        self.kill();
        result
    }

    /// Processor time and memory right now.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn usage(&self) -> io::Result<Usage> {
        usage_of(&self.pid().to_string())
    }
}

impl Drop for Process {
    #[allow(clippy::print_stderr)]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let status = self.ended.map(|s| (s.code(), s.signal()));
            let log = self.log_text();
            eprintln!(
                "---- {} (exit, signal {status:?}) ----\n{}",
                self.log.display(),
                tail(&log)
            );
        }
    }
}

/// Processor time and memory of the process named `who` (a pid or `self`).
///
/// # Errors
/// When there is no such process.
pub fn usage_of(who: &str) -> io::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{who}/stat"))?;
    let bad = || io::Error::other(format!("/proc/{who}/stat has another form: {stat}"));
    // The second field is the name in parentheses and may hold blanks: count behind its end.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .ok_or_else(bad)?
        .split_whitespace()
        .collect();
    let field = |n: usize| {
        fields
            .get(n)
            .and_then(|f| f.parse::<u64>().ok())
            .ok_or_else(bad)
    };
    let ticks = field(11)? + field(12)?;
    let pages = field(21)?;
    Ok(Usage {
        cpu_ns: ticks * 10_000_000,
        rss_bytes: pages * 4096,
    })
}

/// The largest resident set so far of the process `pid`, in bytes.
///
/// # Errors
/// When there is no such process.
pub fn peak_of(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib << 10)
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/status has no VmHWM: it has ended")))
}

/// Lets [`peak_of`] begin anew.
///
/// # Errors
/// When there is no such process, or it is another user's.
pub fn reset_peak(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// The last lines of a log, enough to see why a server ended.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
