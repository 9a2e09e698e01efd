//! The server's process, where it runs on this machine: found by the port that it listens on, its
//! processor time and memory read from `/proc`.

use std::cell::{Cell, RefCell};
use std::fs;
use std::time::{Duration, Instant};

use crate::client::Endpoint;

/// Microseconds of one tick of the times in `/proc`: the kernel's interface counts 100 a second.
const TICK_US: u64 = 10_000;
const PAGE_BYTES: u64 = 4096;

/// How often a server is looked for that has gone: all processes have to be gone through.
const FIND_EVERY: Duration = Duration::from_secs(1);

/// Processor time and memory of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time since its start, microseconds.
    pub cpu_us: u64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
}

/// Reads the usage of a process (`self` or a number).
#[must_use]
pub fn usage(who: &str) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{who}/stat")).ok()?;
    // The name may hold blanks and parentheses.
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let field = |n: usize| fields.get(n)?.parse::<u64>().ok();
    Some(Usage {
        cpu_us: (field(11)? + field(12)?) * TICK_US,
        rss_bytes: field(21)? * PAGE_BYTES,
    })
}

/// The sockets that listen on a port, as `/proc/*/fd` names them.
fn listeners(port: u16) -> Vec<String> {
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(&state), Some(inode)) =
                (fields.get(1), fields.get(3), fields.get(9))
            else {
                continue;
            };
            let listens = state == "0A" && local.ends_with(&format!(":{port:04X}"));
            if listens {
                found.push(format!("socket:[{inode}]"));
            }
        }
    }
    found
}

/// The process that listens on a port of this machine, if it may be seen.
#[must_use]
pub fn find(port: u16) -> Option<u32> {
    let sockets = listeners(port);
    if sockets.is_empty() {
        return None;
    }
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut pids = pids.filter(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten();
        open.flatten().any(|fd| {
            let target = fs::read_link(fd.path()).unwrap_or_default();
            target
                .to_str()
                .is_some_and(|t| sockets.iter().any(|s| s == t))
        })
    });
    pids.next()
}

/// A server of this machine.
struct Local {
    port: u16,
    pid: Option<u32>,
    last: Usage,
    /// When it is looked for again: never, if it was not found at the start, as nothing changes
    /// who may see it.
    find_at: Option<Instant>,
}

/// Looks at the servers' processes now and then; a restarted one is found again.
pub struct Watcher {
    local: RefCell<Vec<Local>>,
    cpu_us: Cell<u64>,
    rss_max: Cell<u64>,
    own: Cell<Option<Usage>>,
    own_us: Cell<u64>,
}

impl Local {
    /// What it has used; nothing while it is not there.
    fn look(&mut self) -> Option<Usage> {
        let read = |pid: u32| usage(&pid.to_string()).filter(|usage| usage.rss_bytes > 0);
        if let Some(now) = self.pid.and_then(read) {
            return Some(now);
        }
        let now = Instant::now();
        let has_gone = self.pid.take().is_some();
        if has_gone || self.find_at.is_some_and(|at| at <= now) {
            self.pid = find(self.port);
            // What a new one has spent, it has spent since this one has gone.
            self.last = Usage::default();
            self.find_at = Some(now + FIND_EVERY);
        }
        self.pid.and_then(read)
    }
}

impl Watcher {
    /// Of the servers among `endpoints` that are on this machine.
    pub fn new(endpoints: &[Endpoint]) -> Watcher {
        let is_local = |host: &str| {
            let address = host.parse::<std::net::IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        };
        let local = endpoints.iter().filter(|e| is_local(&e.host));
        let mut ports: Vec<u16> = local.map(|e| e.port).collect();
        ports.sort_unstable();
        ports.dedup();
        let local = ports.into_iter().map(|port| Local {
            port,
            pid: find(port),
            last: Usage::default(),
            find_at: None,
        });
        let watcher = Watcher {
            local: RefCell::new(local.collect()),
            cpu_us: Cell::default(),
            rss_max: Cell::default(),
            own: Cell::new(usage("self")),
            own_us: Cell::default(),
        };
        watcher.begin();
        watcher
    }

    /// Counts from now on.
    pub fn begin(&self) {
        self.look();
        self.cpu_us.set(0);
        self.rss_max.set(0);
        self.own_us.set(0);
        self.look();
    }

    /// Looks at them.
    pub fn look(&self) {
        let mut rss = 0;
        for server in self.local.borrow_mut().iter_mut() {
            let Some(now) = server.look() else { continue };
            let spent = now.cpu_us.saturating_sub(server.last.cpu_us);
            self.cpu_us.set(self.cpu_us.get() + spent);
            server.last = now;
            rss += now.rss_bytes;
        }
        self.rss_max.set(rss.max(self.rss_max.get()));
        if let (Some(before), Some(now)) = (self.own.get(), usage("self")) {
            let spent = now.cpu_us.saturating_sub(before.cpu_us);
            self.own_us.set(self.own_us.get() + spent);
            self.own.set(Some(now));
        }
    }

    /// Processor time of the servers, microseconds, and the most memory they had; nothing of
    /// servers elsewhere.
    pub fn servers(&self) -> Option<Usage> {
        let is_known = self
            .local
            .borrow()
            .iter()
            .any(|server| server.pid.is_some());
        is_known.then(|| Usage {
            cpu_us: self.cpu_us.get(),
            rss_bytes: self.rss_max.get(),
        })
    }

    /// Processor time of this process, microseconds.
    pub fn own_us(&self) -> u64 {
        self.own_us.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_behind_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        assert_eq!(find(port), Some(std::process::id()));
        let seen = usage(&std::process::id().to_string()).expect("this process");
        assert!(seen.rss_bytes > 100_000);
        drop(listener);
        assert_eq!(find(port), None);
    }

    #[test]
    fn a_server_that_has_gone_is_looked_for_once_a_second_and_one_never_seen_not_again() {
        let local = |pid, find_at| Local {
            port: 1,
            pid,
            last: Usage::default(),
            find_at,
        };
        // No process has this number.
        let mut gone = local(Some(u32::MAX), None);
        assert!(gone.look().is_none());
        let again = gone.find_at.expect("it is looked for again");
        assert!(gone.look().is_none());
        assert_eq!(gone.find_at, Some(again));
        let mut unseen = local(None, None);
        assert!(unseen.look().is_none());
        assert_eq!(unseen.find_at, None);
        let mut here = local(Some(std::process::id()), None);
        assert!(here.look().is_some());
    }
}
