//! The server's process, where it runs on this machine: found by the port that it listens on, its
//! processor time and memory read from `/proc`.

use std::cell::{Cell, RefCell};
use std::fs;

use crate::client::Endpoint;

/// Microseconds of one tick of the times in `/proc`: the kernel's interface counts 100 a second.
const TICK_US: u64 = 10_000;
const PAGE_BYTES: u64 = 4096;

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

/// Looks at the servers' processes now and then; a restarted one is found again.
pub struct Watcher {
    ports: Vec<u16>,
    pids: RefCell<Vec<Option<u32>>>,
    last: RefCell<Vec<Usage>>,
    cpu_us: Cell<u64>,
    rss_max: Cell<u64>,
    own: Cell<Option<Usage>>,
    own_us: Cell<u64>,
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
        let watcher = Watcher {
            pids: RefCell::new(vec![None; ports.len()]),
            last: RefCell::new(vec![Usage::default(); ports.len()]),
            ports,
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
        let (mut pids, mut last) = (self.pids.borrow_mut(), self.last.borrow_mut());
        let mut rss = 0;
        for (n, port) in self.ports.iter().enumerate() {
            let read = |pid: u32| usage(&pid.to_string()).filter(|usage| usage.rss_bytes > 0);
            let Some(now) = pids[n].and_then(read) else {
                // Gone, or not found yet: from zero or from what it had spent before.
                pids[n] = find(*port);
                last[n] = pids[n].and_then(read).unwrap_or_default();
                continue;
            };
            let spent = now.cpu_us.saturating_sub(last[n].cpu_us);
            self.cpu_us.set(self.cpu_us.get() + spent);
            last[n] = now;
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
        let is_known = self.pids.borrow().iter().any(Option::is_some);
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
}
