//! A server under test, Stoa or etcd alike: its command line, data directory and ports, start,
//! kill and restart. Every case runs against one of these and does not ask which it is, unless
//! the two are known to differ.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use loadgen::progress::Stop;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::process::{self, Process};
use crate::throttle::Throttle;
use crate::{node, peer, skip};

/// How often it is seen whether a start is still wanted.
const LISTEN_EVERY: Duration = Duration::from_millis(200);

/// Which program, and how it is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The real etcd, newest found.
    Etcd,
    /// A given etcd executable.
    EtcdAt(PathBuf),
    /// Stoa with this many shards.
    Stoa(u16),
}

/// How a server is started, where that is not as usual.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The directory in which that of the server is made.
    pub dir: PathBuf,
    /// Another executable than the one that is found.
    pub program: Option<PathBuf>,
    /// It writes as slowly as this lets it.
    pub throttle: Option<Arc<Throttle>>,
    /// How long it may take until it serves.
    pub limit: Duration,
    /// Once it is set, nobody waits for that any more.
    pub stop: Option<Stop>,
    /// It is killed when the thread that started it ends, however that happens, and ctrl-C on the
    /// terminal is not for it. For programs that are no tests.
    pub is_bound: bool,
}

impl Default for Launch {
    fn default() -> Launch {
        Launch {
            dir: disk_dir(),
            program: None,
            throttle: None,
            limit: process::START_LIMIT,
            stop: None,
            is_bound: false,
        }
    }
}

/// A server with its data on disk. The data directory goes when this is dropped.
pub struct Target {
    /// What runs.
    pub kind: Kind,
    // Before `home`: a process that is dropped in a failing test still prints its log.
    process: Option<Process>,
    program: PathBuf,
    home: tempfile::TempDir,
    extra: Vec<String>,
    launch: Launch,
    client_port: u16,
    peer_port: u16,
    ran: bool,
}

/// Where servers keep their data: `STOA_TEST_DIR`, else the target directory's disk (a temp
/// directory may be memory, on which nothing about syncs is proved).
#[must_use]
pub fn disk_dir() -> PathBuf {
    let dir = std::env::var_os("STOA_TEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            let exe = std::env::current_exe().unwrap_or_default();
            let found = exe.ancestors().find(|d| d.join("CACHEDIR.TAG").exists());
            found
                .map(|d| d.join("tmp"))
                .unwrap_or_else(std::env::temp_dir)
        });
    let _ = std::fs::create_dir_all(&dir);
    dir
}

impl Target {
    /// Makes a fresh data directory and starts the server in it. `Ok(None)`, with a note on why,
    /// when the program is not on this machine.
    ///
    /// # Errors
    /// When the server is there but does not start.
    pub fn start(kind: Kind, extra: &[&str]) -> io::Result<Option<Target>> {
        let Some(mut target) = Target::prepare(kind, extra)? else {
            return Ok(None);
        };
        target.restart()?;
        Ok(Some(target))
    }

    /// As [`Target::start`], but leaves the server stopped.
    ///
    /// # Errors
    /// When the data directory cannot be made or Stoa cannot be built.
    pub fn prepare(kind: Kind, extra: &[&str]) -> io::Result<Option<Target>> {
        Target::prepare_as(kind, extra, Launch::default())
    }

    /// As [`Target::prepare`], for a start that is not as usual.
    ///
    /// # Errors
    /// As [`Target::prepare`].
    pub fn prepare_as(kind: Kind, extra: &[&str], launch: Launch) -> io::Result<Option<Target>> {
        let program = match (&kind, &launch.program) {
            (_, Some(path)) | (Kind::EtcdAt(path), None) => path.clone(),
            (Kind::Etcd, None) => match peer::etcd() {
                Some(tool) => tool.path,
                None => {
                    skip::skip("no etcd found (set STOA_PEER_ETCD)");
                    return Ok(None);
                }
            },
            (Kind::Stoa(_), None) => node::stoa()?,
        };
        let home = tempfile::Builder::new()
            .prefix("stoa-")
            .tempdir_in(&launch.dir)?;
        let extra = extra.iter().map(|s| (*s).to_owned()).collect();
        let (client_port, peer_port) = (process::free_port()?, process::free_port()?);
        Ok(Some(Target {
            kind,
            program,
            home,
            extra,
            launch,
            client_port,
            peer_port,
            ran: false,
            process: None,
        }))
    }

    /// The command line as it would be started now. For cases that must change it.
    #[must_use]
    pub fn command(&self) -> Command {
        let client = format!("http://127.0.0.1:{}", self.client_port);
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let mut command = match &self.launch.throttle {
            Some(throttle) => throttle.command(&self.program),
            None => Command::new(&self.program),
        };
        if self.launch.is_bound {
            bind(&mut command);
        }
        command
            .args(["--name", "m1", "--data-dir"])
            .arg(self.data_dir());
        command.args([
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
        ]);
        command.args([
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
        ]);
        command.args(["--initial-cluster", &format!("m1={peer}")]);
        if let Kind::Stoa(shards) = self.kind {
            command.args(["--shards", &shards.to_string()]);
        }
        command.args(&self.extra);
        // Settings of the person who runs the tests must not change what is tested.
        for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("ETCD")) {
            command.env_remove(name);
        }
        command
    }

    /// Starts the server on its data directory, the first time with other ports if those were
    /// taken, and waits until it serves.
    ///
    /// # Errors
    /// When it does not become ready; the message holds the end of its log.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill();
        let mut last = None;
        for _ in 0..3 {
            match self.start_once() {
                Ok(()) => return Ok(()),
                // A server that ran here before has to get its port back at once, although the
                // connections of its former life linger.
                Err(e) if !self.ran && e.to_string().contains("in use") => {
                    self.client_port = process::free_port()?;
                    self.peer_port = process::free_port()?;
                    last = Some(e);
                }
                Err(e) => return Err(e),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("never started")))
    }

    fn start_once(&mut self) -> io::Result<()> {
        // The log is appended to: only what this start writes may count as its readiness.
        let from = std::fs::metadata(self.log_path())
            .map(|m| m.len())
            .unwrap_or(0);
        let mut process = Process::spawn(&mut self.command(), &self.log_path())?;
        self.wait_ready(&mut process, from)?;
        self.process = Some(process);
        self.ran = true;
        Ok(())
    }

    fn wait_ready(&self, process: &mut Process, from: u64) -> io::Result<()> {
        let (begun, launch) = (Instant::now(), &self.launch);
        loop {
            let left = launch.limit.saturating_sub(begun.elapsed());
            let ready = process.wait_for_line(process::READY, from, left.min(LISTEN_EVERY));
            match ready {
                Err(e) if e.kind() == io::ErrorKind::TimedOut && left > LISTEN_EVERY => {}
                ready => return ready,
            }
            if launch.stop.is_some_and(Stop::is_set) {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
    }

    /// Kills with signal 9 and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM, and waits. Returns how it ended, if it ran.
    ///
    /// # Errors
    /// When it does not end in 20 seconds.
    pub fn stop(&mut self) -> io::Result<Option<ExitStatus>> {
        match self.process.take() {
            Some(mut process) => process.stop(Duration::from_secs(20)).map(Some),
            None => Ok(None),
        }
    }

    /// Starts the stopped server, expecting that it refuses: how it ended, and what it said.
    ///
    /// # Errors
    /// When it does not end by itself.
    pub fn refused(&mut self) -> io::Result<(ExitStatus, String)> {
        self.kill();
        let log = self.home().join("refusal.log");
        let mut process = Process::spawn(&mut self.command(), &log)?;
        let status = process.wait_exit(process::START_LIMIT)?;
        Ok((status, process.log_text()))
    }

    /// Waits until the server ends by itself.
    ///
    /// # Errors
    /// When it runs on for `limit`.
    pub fn wait_exit(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        self.process
            .as_mut()
            .map(|process| process.wait_exit(limit))
            .transpose()
    }

    /// Other flags from the next start on.
    pub fn set_extra(&mut self, extra: &[&str]) {
        self.extra = extra.iter().map(|s| (*s).to_owned()).collect();
    }

    /// The running process.
    ///
    /// # Panics
    /// When the server is stopped: a mistake in the case.
    #[must_use]
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the case started the server")
    }

    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.client_port).into()
    }

    /// Where clients connect, as etcdctl wants it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// The server's data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// A place for other files of the case, on the same disk.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where the server's output goes.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.home.path().join("server.log")
    }

    /// Whether this is Stoa.
    #[must_use]
    pub fn is_stoa(&self) -> bool {
        matches!(self.kind, Kind::Stoa(_))
    }
}

/// Lets the command's process end with the thread that starts it, and have a process group of its
/// own.
fn bind(command: &mut Command) {
    command.process_group(0);
    // SAFETY: between fork and exec it makes one system call and touches no memory of the parent's.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}
